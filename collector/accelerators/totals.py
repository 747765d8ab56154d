"""A device's running totals to increments."""

from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels

_Key = tuple[str, Metric, Labels]


class Totals:
    """The first total of a series is its baseline. One that fell began anew: a reset, a reloaded driver, a wrap."""

    def __init__(self) -> None:
        self._last: dict[_Key, float] = {}
        self._power: dict[str, tuple[float, float]] = {}

    def increment(self, device_id: str, metric: Metric, labels: Labels, total: float) -> float:
        key = (device_id, metric, labels)
        last = self._last.get(key)
        self._last[key] = total
        if last is None:
            return 0.0
        return total - last if total >= last else total

    def energy_joules(self, device_id: str, power_watts: float, at: float, longest_gap_seconds: float) -> float:
        """
        Energy since the last reading of a device without a meter, by the trapezoid rule; 0 over a longer gap.

        :param at: unix seconds
        """
        last = self._power.get(device_id)
        self._power[device_id] = (power_watts, at)
        if last is None or not 0 < at - last[1] <= longest_gap_seconds:
            return 0.0
        return (power_watts + last[0]) / 2 * (at - last[1])

    def forget(self, device_id: str) -> None:
        """The device is no longer listed."""
        self._power.pop(device_id, None)
        self._last = {key: total for key, total in self._last.items() if key[0] != device_id}
