"""The series of one device: labels made once, running totals to increments, what stays as it was told seldom."""

from collections.abc import Sequence
from itertools import compress
from operator import is_not
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
FORGET_TICKS: Final = 1024
"""a series of whoever had the device (a container, a process) is let go so long after it was last put in"""


class _Series:
    """
    `value` is the one told last, of a counter the newest total. `seen` and `total_at`, the tick and the time at which
    it was put in last, are behind for those that a group skips, until the group notes them.
    """

    __slots__ = (
        "at", "every_time", "extra", "is_counter", "is_shown", "labels", "metric", "seen", "total", "total_at", "value",
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
        self.total: float | None = None
        self.total_at = 0.0


class _Group:
    """
    Numbers that are put in together, as they were last time. Until `until` those that are the same objects need not be
    looked at; of these, `followed` are the places of those told every time.
    """

    __slots__ = ("at", "followed", "gauges", "measured", "series", "tick", "until")

    def __init__(self, measured: Sequence[Measured], series: list[_Series], at: float, tick: int) -> None:
        self.measured = measured
        self.series = series
        self.followed = [place for place, one in enumerate(series) if one.every_time]
        self.gauges = len({id(one) for one in series if not one.is_counter})
        self.at = at
        self.tick = tick
        self.until = min((one.at for one in series if not one.every_time), default=at) + RENEW_SECONDS

    def changed(self, measured: Sequence[Measured], at: float) -> list[int] | None:
        """The places of those that are not the same objects; None when all have to be looked at."""
        if len(measured) != len(self.series) or not self.at <= at < self.until:
            return None
        if measured is self.measured:
            return []
        places = list(compress(range(len(measured)), map(is_not, measured, self.measured)))
        for place in places:
            one, series = measured[place], self.series[place]
            if series.metric is not one.metric or (series.extra is not one.labels and series.extra != one.labels):
                return None
        return places

    def note(self) -> None:
        """What was skipped was there all the same."""
        for series in self.series:
            series.seen = max(series.seen, self.tick)
            series.total_at = max(series.total_at, self.at)


class DeviceSeries:
    """
    Between `begin` and `end` of a tick, numbers are put in; `samples` are those that must be told. A series is put in
    alone or in one group.

    A gauge that changed, or is followed over time, is told at once, any other once in RENEW_SECONDS. The first total
    of a counter is its baseline; a total that fell began anew: a reset, a reloaded driver, a wrap. A gain that
    cannot be (a total that was read wrongly once) is none, and the new total the baseline.
    """

    def __init__(self, who: Labels) -> None:
        self.samples: list[Sample] = []
        self._who = who
        self._own = {pair[0]: pair for pair in who}
        """by name; a device has hundreds of series, which share the pairs themselves"""
        self._series: dict[tuple[Metric, Labels], _Series] = {}
        self._groups: dict[str, _Group] = {}
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
        self._break_up()
        self._who, self._own = who, {pair[0]: pair for pair in who}
        named = [(series, self._named(series.metric, extra)) for (_, extra), series in self._series.items()]
        moved = [(series, labels) for series, labels in named if labels != series.labels]  # others name their own place
        gaps = self._ended([series for series, _ in moved], Reason.OFF)
        for series, labels in moved:
            series.labels = labels
            series.at = 0.0  # told anew, counters too
        return gaps

    def put(self, metric: Metric, value: float, at: float, extra: Labels = ()) -> None:
        """A gauge's value or a counter's running total. `extra` are labels beside the device's own."""
        series = self._find(metric, extra)
        self._see(series)
        self._put(series, value, at, series.total_at)
        series.total_at = at

    def put_all(self, group: str, measured: Sequence[Measured], at: float) -> bool:
        """
        As `put` for each. Nearly all are as they were, and what is the same object is skipped: the hot path.

        :return: False where numbers may have come in other places than last time
        """
        known = self._groups.get(group)
        changed = None if known is None else known.changed(measured, at)
        if known is None or changed is None:
            self._put_each(group, measured, at)
            return False
        for place in changed:
            one, series = measured[place], known.series[place]
            if one.value == series.value:
                continue
            if series.is_counter:
                self._put(series, one.value, at, known.at)
            else:
                series.value = one.value
                self._tell(series, one.value, at)
        for place in known.followed:
            if known.series[place].at != at:
                self._tell(known.series[place], measured[place].value, at)
        known.measured, known.at, known.tick = measured, at, self._tick
        self._fresh += known.gauges
        return True

    def _put_each(self, group: str, measured: Sequence[Measured], at: float) -> None:
        if group in self._groups:
            self._groups[group].note()
        found = [self._find(one.metric, one.labels) for one in measured]
        for series, one in zip(found, measured, strict=True):
            self._see(series)
            self._put(series, one.value, at, series.total_at)
            series.total_at = at
        self._groups[group] = _Group(measured, found, at, self._tick)

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
        self._note_groups()
        stale = [series for series in self._series.values() if series.is_shown and series.seen != self._tick]
        return self._hide(stale, reason)

    def _let_go(self) -> None:
        """Those nobody put in for long; running totals stay, so that their next one is not taken for the first."""
        self._break_up()
        oldest = self._tick - FORGET_TICKS
        self._series = {
            key: series
            for key, series in self._series.items()
            if series.seen > oldest or series.is_shown or series.total is not None
        }

    def forget(self, reason: Reason) -> list[Gap]:
        """All gauges shown go stale, and the totals of whoever had the device are at their end."""
        return self._ended(list(self._series.values()), reason)

    def gap(self, metric: Metric, reason: Reason) -> Gap:
        """
        A number that this device should have brought and did not. What another call brought of the same metric stays:
        `end` names, one by one, those that went.
        """
        return Gap(metric, reason, self._named(metric, ()), is_one_series=metric.kind is Kind.GAUGE)

    def _note_groups(self) -> None:
        for group in self._groups.values():
            group.note()

    def _break_up(self) -> None:
        """All that is put in next is looked at."""
        self._note_groups()
        self._groups.clear()

    def _see(self, series: _Series) -> None:
        if series.seen != self._tick and not series.is_counter:
            self._fresh += 1
        series.seen = self._tick

    def _put(self, series: _Series, value: float, at: float, since: float) -> None:
        """:param since: when it was put in before"""
        is_due = not 0 <= at - series.at < RENEW_SECONDS
        if series.is_counter:
            last, series.total, series.value = series.total, value, value
            if value != last or is_due:
                gained = 0.0 if last is None else value - last if value >= last else value
                self._tell(series, gained if can_gain(gained, series.metric, at - since) else 0.0, at)
        elif is_due or not series.is_shown or value != series.value or (series.every_time and at != series.at):
            series.value = value
            self._tell(series, value, at)

    def _tell(self, series: _Series, value: float, at: float) -> None:
        series.at = at
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
        pairs = self._own | {pair[0]: pair for pair in extra} if extra else self._own
        return tuple(pairs[name] for name in metric.labels if name in pairs and pairs[name][1])

    def _ended(self, gone: Sequence[_Series], reason: Reason) -> list[Gap]:
        totals = [series for series in gone if series.is_counter and series.at]
        return [
            *self._hide([series for series in gone if series.is_shown], reason),
            *(Gap(series.metric, reason, series.labels, is_one_series=True) for series in totals),
        ]

    def _hide(self, stale: Sequence[_Series], reason: Reason) -> list[Gap]:
        for series in stale:
            series.is_shown = False
        self._shown -= len(stale)
        if stale:  # they are shown when they come again, be it the same objects
            self._break_up()
        return [Gap(series.metric, reason, series.labels, is_one_series=True) for series in stale]
