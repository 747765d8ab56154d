"""Counts of watchkeeper's own work, added to from any thread and drained into the pipeline."""

from threading import Lock

from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import Labels, Sample
from watchkeeper.core.steps import Steps


class Ledger:
    """
    Counter increments and gauge settings waiting to become samples. Bounded by the label sets in use. Beside them
    `steps`: what was done when, for traces.

    >>> ledger = Ledger()
    >>> ledger.add(REJECTED, 2, (("reason", "too_large"),))     # doctest: +SKIP
    """

    def __init__(self) -> None:
        self.steps = Steps()
        self._lock = Lock()
        self._counts: dict[tuple[Metric, Labels], float] = {}
        self._gauges: dict[tuple[Metric, Labels], float] = {}

    def add(self, metric: Metric, amount: float = 1, labels: Labels = ()) -> None:
        """Add to a counter; amount 0 makes the series exist from the start, so that its first increment shows."""
        key = (metric, labels)
        with self._lock:
            self._counts[key] = self._counts.get(key, 0.0) + amount

    def set(self, metric: Metric, value: float, labels: Labels = ()) -> None:
        with self._lock:
            self._gauges[(metric, labels)] = value

    def drain(self, now: float) -> tuple[Sample, ...]:
        """Increments since the last drain and current gauges, as samples at `now`."""
        with self._lock:
            counts, self._counts = self._counts, {}
            gauges, self._gauges = self._gauges, {}
        return tuple(
            Sample(metric, value, now, labels)
            for (metric, labels), value in (*counts.items(), *gauges.items())
            if metric.kind is not Kind.HISTOGRAM
        )
