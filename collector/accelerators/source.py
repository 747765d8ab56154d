"""All accelerators of this host, tick by tick."""

import logging
from collections.abc import Sequence

from collector.accelerators.held import Held
from collector.accelerators.places import Placement
from collector.accelerators.readings import Readings
from collector.accelerators.vendor import Vendor
from watchkeeper.core.records import Gap, Reading, Sample


class AcceleratorsSource:
    def __init__(
        self,
        vendors: Sequence[Vendor],
        placement: Placement,
        interval_seconds: float,
        patience_seconds: float,
        held: Held | None = None,
    ) -> None:
        """:param held: is told what is read, for sources that would read it too"""
        self._vendors = vendors
        self._placement = placement
        self._patience_seconds = patience_seconds
        self._held = held
        self._readings = Readings(placement, longest_gap_seconds=10 * interval_seconds)
        self._is_first = True

    def read(self, now: float) -> Reading:
        samples: list[Sample] = []
        gaps: list[Gap] = []
        for vendor in self._vendors:
            vendor.tick(now, self._patience_seconds)
            if vendor.devices:  # where there is none, nobody needs to know whose it is
                self._placement.refresh(now)
            brought, missing = self._readings.of(vendor, vendor.faults(now), now)
            samples += brought
            if self._held is not None and self._held.is_wanted:
                self._held.tell(brought, now)
            gaps += missing
        if self._is_first and all(vendor.is_absent for vendor in self._vendors):
            self._say_none()
        self._is_first = False
        return Reading(tuple(samples), tuple(gaps))

    def close(self) -> None:
        for vendor in self._vendors:
            vendor.close()
        self._placement.close()

    def _say_none(self) -> None:
        names = ", ".join(vendor.name for vendor in self._vendors)
        logging.getLogger("watchkeeper.accelerators").info(
            "no accelerator found: no library of %s is here; it is looked for again every 2 minutes"
            " (`watchkeeper devices` says what each needs)", names,
        )  # fmt: skip
