"""The series of one device: labels made once, running totals to increments, what stays as it was told seldom."""

from collections.abc import Sequence
from typing import Final

from collector.accelerators.driver import Measured
from collector.accelerators.sanity import can_gain
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import Gap, Labels, Reason, Sample
from watchkeeper.core.vocabulary import devices as vocabulary

RENEW_SECONDS: Final = 60.0
"""how often a number that stays the same is told again"""
EVERY_TIME: Final = frozenset(
    (
        vocabulary.UTILIZATION, vocabulary.COMPUTE_ACTIVE, vocabulary.MATRIX_ACTIVE, vocabulary.MEMORY_USAGE,
        vocabulary.POWER, vocabulary.CLOCK,
    )
)  # fmt: skip
"""what detectors follow over time: told at every sample, changed or not"""
_FOLLOWED: Final = ((), (("hw.gpu.task", "general"),), (("clock", "core"),))
"""the labels with which they are: neither the encoder's share nor the clock of memory"""
_NEVER: Final = float("-inf")
FORGET_TICKS: Final = 1024
"""a series of whoever had the device (a container, a process) is let go so long after it was last put in"""


class _Series:
    """`value` is the one told last, of a counter the newest total; equal until `until` it need not be told again."""

    __slots__ = (
        "at", "every_time", "extra", "is_counter", "is_shown", "labels", "metric", "seen", "total", "total_at", "until",
        "value",
    )  # fmt: skip

    def __init__(self, metric: Metric, extra: Labels, labels: Labels) -> None:
        self.metric = metric
        self.extra = extra
        self.labels = labels
        self.is_counter = metric.kind is Kind.COUNTER
        self.every_time = metric in EVERY_TIME and extra in _FOLLOWED
        self.is_shown = False
        self.seen = 0
        self.value = 0.0
        self.at = 0.0
        self.until = _NEVER
        self.total: float | None = None
        self.total_at = 0.0


class DeviceSeries:
    """
    Between `begin` and `end` of a tick, numbers are put in; `samples` are those that must be told.

    A gauge that changed, or is followed over time, is told at once, any other once in RENEW_SECONDS. The first total
    of a counter is its baseline; a total that fell began anew: a reset, a reloaded driver, a wrap. A gain that
    cannot be (a total that was read wrongly once) is none, and the new total the baseline.
    """

    def __init__(self, who: Labels) -> None:
        self.samples: list[Sample] = []
        self._who = who
        self._own = dict(who)
        self._series: dict[tuple[Metric, Labels], _Series] = {}
        self._places: dict[str, list[_Series]] = {}
        """by group the series of what was put in last, in its order"""
        self._shown = 0
        self._fresh = 0
        """gauges put in at this tick; as many as are shown: none is stale"""
        self._tick = 0
        self._power: tuple[float, float] | None = None

    def begin(self, who: Labels) -> list[Gap]:
        """What was told with other labels, if the device has been given to somebody else."""
        self.samples = []
        self._tick += 1
        self._fresh = 0
        if who == self._who:
            return []
        gaps = self.forget(Reason.OFF)
        self._who, self._own = who, dict(who)
        for (_, extra), series in self._series.items():
            series.labels = self._named(series.metric, extra)
            series.at, series.until = 0.0, _NEVER  # told anew, counters too
        return gaps

    def put(self, metric: Metric, value: float, at: float, extra: Labels = ()) -> None:
        """A gauge's value or a counter's running total. `extra` are labels beside the device's own."""
        self._put(self._find(metric, extra), value, at)

    def put_all(self, group: str, measured: Sequence[Measured], at: float) -> None:
        """
        As `put` for each, without looking up those that come in the place of last time. Nearly all do, and nearly all
        are as they were: this is the hot path.
        """
        places = self._places.get(group)
        if places is None or len(places) != len(measured):
            places = self._places[group] = [self._find(one.metric, one.labels) for one in measured]
        tick, fresh = self._tick, 0
        for place, one in enumerate(measured):
            series = places[place]
            if series.metric is not one.metric or (series.extra is not one.labels and series.extra != one.labels):
                series = places[place] = self._find(one.metric, one.labels)
            if one.value == series.value and series.at <= at < series.until:
                if series.is_counter:
                    series.total_at = at
                elif series.seen != tick:
                    fresh += 1
                series.seen = tick
            else:
                self._put(series, one.value, at)
        self._fresh += fresh

    def add(self, metric: Metric, amount: float, at: float, extra: Labels = ()) -> None:
        """An increment of a counter."""
        series = self._find(metric, extra)
        series.seen = self._tick
        if amount or not 0 <= at - series.at < RENEW_SECONDS:
            self._tell(series, amount, at)

    def has(self, metric: Metric, extra: Labels) -> bool:
        return (metric, extra) in self._series

    def count(self, metric: Metric) -> int:
        """How many series of this metric there are. Walks all."""
        return sum(1 for known, _ in self._series if known is metric)

    def integrate(self, power_watts: float, at: float, longest_gap_seconds: float) -> float:
        """Joules since the last reading of a device without a meter, by the trapezoid rule; 0 over a longer gap."""
        last, self._power = self._power, (power_watts, at)
        if last is None or not 0 < at - last[1] <= longest_gap_seconds:
            return 0.0
        return (power_watts + last[0]) / 2 * (at - last[1])

    def end(self, reason: Reason) -> list[Gap]:
        """Gauges shown before and not put this time: they go stale, for this reason."""
        if self._tick % FORGET_TICKS == 0:
            self._let_go()
        if self._fresh == self._shown:
            return []
        stale = [series for series in self._series.values() if series.is_shown and series.seen != self._tick]
        return self._hide(stale, reason)

    def _let_go(self) -> None:
        """Those nobody put in for long; running totals stay, so that their next one is not taken for the first."""
        self._places.clear()
        oldest = self._tick - FORGET_TICKS
        self._series = {
            key: series
            for key, series in self._series.items()
            if series.seen > oldest or series.is_shown or series.total is not None
        }

    def forget(self, reason: Reason) -> list[Gap]:
        """All gauges shown go stale, and the totals of whoever had the device are at their end."""
        ended = [series for series in self._series.values() if series.is_counter and series.at]
        return [
            *self._hide([series for series in self._series.values() if series.is_shown], reason),
            *(Gap(series.metric, reason, series.labels, is_one_series=True) for series in ended),
        ]

    def gap(self, metric: Metric, reason: Reason) -> Gap:
        """A number that this device should have brought and did not."""
        return Gap(metric, reason, self._named(metric, ()))

    def _put(self, series: _Series, value: float, at: float) -> None:
        if series.is_counter:
            last, series.total = series.total, value
            since, series.total_at = series.total_at, at
            if value != last or not 0 <= at - series.at < RENEW_SECONDS:
                gained = 0.0 if last is None else value - last if value >= last else value
                self._tell(series, gained if can_gain(gained, series.metric, at - since) else 0.0, at)
            series.value = value
        else:
            if series.seen != self._tick:
                self._fresh += 1
            is_known = series.is_shown and value == series.value
            if not is_known or series.every_time or not 0 <= at - series.at < RENEW_SECONDS:
                series.value = value
                self._tell(series, value, at)
        series.seen = self._tick

    def _tell(self, series: _Series, value: float, at: float) -> None:
        series.at = at
        series.until = _NEVER if series.every_time else at + RENEW_SECONDS
        if not (series.is_counter or series.is_shown):
            series.is_shown = True
            self._shown += 1
        self.samples.append(Sample(series.metric, value, at, series.labels))

    def _find(self, metric: Metric, extra: Labels) -> _Series:
        series = self._series.get((metric, extra))
        if series is None:
            series = self._series[(metric, extra)] = _Series(metric, extra, self._named(metric, extra))
        return series

    def _named(self, metric: Metric, extra: Labels) -> Labels:
        """The metric's labels in its order; those without a value are left out."""
        values = {**self._own, **dict(extra)} if extra else self._own
        return tuple((name, values[name]) for name in metric.labels if values.get(name))

    def _hide(self, stale: Sequence[_Series], reason: Reason) -> list[Gap]:
        for series in stale:
            series.is_shown, series.until = False, _NEVER
        self._shown -= len(stale)
        return [Gap(series.metric, reason, series.labels, is_one_series=True) for series in stale]
