"""Fault codes on a page to events: only what came while we watched counts."""

from collections.abc import Mapping

from collector.vendor_exporter.observe import Sighting


class Faults:
    """
    The state of one exporter's devices. What a device shows when it is first seen happened before, nobody knows when:
    it is where we begin.

    A value that is the last code tells a fault by changing to another one; the same fault again does not show, so the
    count is a lower bound. A code among those that hold now counts when it comes.
    """

    def __init__(self) -> None:
        self._totals: dict[str, dict[str, float]] = {}
        self._standing: dict[str, frozenset[str]] = {}

    def events(self, sighting: Sighting) -> Mapping[str, float]:
        """Faults since the last page by code; 0 for a code of which a running total just came into view."""
        key = sighting.device.id
        if sighting.totals is not None:
            return self._from_totals(key, sighting.totals)
        if sighting.codes is None:
            return {}
        before = self._standing.get(key)
        self._standing[key] = sighting.codes
        return {} if before is None else dict.fromkeys(sighting.codes - before, 1.0)

    def _from_totals(self, key: str, totals: Mapping[str, float]) -> Mapping[str, float]:
        before = self._totals.get(key)
        self._totals[key] = dict(totals)
        if before is None:
            return dict.fromkeys(totals, 0.0)
        since = {code: before.get(code, 0.0) for code in totals}
        return {code: total - since[code] if total >= since[code] else total for code, total in totals.items()}

    def forget(self, device_id: str) -> None:
        self._totals.pop(device_id, None)
        self._standing.pop(device_id, None)
