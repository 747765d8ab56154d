"""
Records that come long after their calls, and clocks that are ahead.

Of each link: more than 5 % of the records of 5 minutes (longer, up to an hour, until they are 20) came more than
`late_seconds` after the end of their call; or more than `ahead_ratio` of them tell of calls that end in the future. For
6 minutes, it warns; it ends when it has been below 80 % of that for 5 minutes. A delay between two edges of the
histogram is taken to lie evenly.

Catches: exporters that batch for too long or retry, collectors with a backlog, clocks off by more than the bound. A
clock that is behind looks like a delay of always the same length: the median beside the 95th percentile tells them
apart. Misses: records more than an hour late or 5 minutes ahead; those are taken as of now, and counted as values that
cannot be right (see `unreadable`). Time in watchkeeper's own queue is the signal `lag`. Keeps 3 kB for each
link.
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from detectors.signals._levels import Level
from detectors.signals._links import Link, Newest, Recent, Ways, gone_links, link_of
from detectors.signals._spans import Increments
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Assessment, Batch, HistogramValue, Point, State, Verdict
from watchkeeper.core.vocabulary import links

_LATE_RATIO: Final = 0.05
_RAISE_SECONDS: Final = 360.0
"""longer than the window: what is in it only because of one late batch has left it by then"""
_CLEAR_SECONDS: Final = 300.0
_LATE, _AHEAD = "late", "clock ahead"
_BUCKETS: Final = 3
"""the first column of them"""
_ACTIONS: Final = {
    _LATE: "compare median and 95th percentile: nearly equal is a clock that is behind, or one collector with a "
    "backlog; far apart is retries. Look at the exporter's batch delay and the collector's queue",
    _AHEAD: "set the clock of the sender's host by NTP; until then its calls stand at the wrong time everywhere",
}


class LatenessConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Records that come late, and clocks that are ahead."""

    enabled: bool = True
    """False: delays are measured and not judged"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=60)] = 10.0
    """how often it is judged"""
    late_seconds: Annotated[float, msgspec.Meta(ge=1, le=1800)] = 60.0
    """warn: the 95th percentile of the delay is above it"""
    ahead_ratio: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1
    """warn: this share of the records tells of the future"""


class _Kept:
    """`recent`: records, late ones, those from the future, and how many there are in each bucket."""

    __slots__ = ("ahead", "counts", "late", "recent")

    def __init__(self, config: LatenessConfig) -> None:
        self.recent = Recent(_BUCKETS + len(links.DELAY.buckets) + 1)
        self.counts: tuple[float, ...] = ()
        self.late = Level(_LATE_RATIO, _RAISE_SECONDS, _CLEAR_SECONDS)
        self.ahead = Level(config.ahead_ratio, _RAISE_SECONDS, _CLEAR_SECONDS)


class Lateness:
    def __init__(self, config: LatenessConfig, ledger: Ledger) -> None:
        self._config = config
        self._newest = Newest()
        self._increments = Increments()
        self._ways: Ways[Link, _Kept] = Ways(lambda _now: _Kept(config))

    def update(self, batch: Batch) -> None:
        self._newest.see(batch)
        self._increments.forget(batch)
        for link in gone_links(batch):
            self._ways.hide(link)

    def assess(self, now: float) -> list[Assessment]:
        for point in self._newest.take():
            link = link_of(dict(point.labels))
            if link is None:
                continue
            kept = self._ways.see(link, now)
            if point.metric is links.AHEAD:
                kept.recent.add((0.0, 0.0, self._increments.of(point)), now)
            else:
                self._delays(kept, point, now)
        return [one for link, kept in self._ways.present(now) for one in self._judge(link, kept, now)]

    def _delays(self, kept: _Kept, point: Point, at: float) -> None:
        value = point.value
        if not isinstance(value, HistogramValue) or value.bounds != links.DELAY.buckets:
            return
        before = kept.counts if kept.counts and sum(kept.counts) <= sum(value.counts) else (0.0,) * len(value.counts)
        kept.counts = value.counts
        added = [max(0.0, now - then) for now, then in zip(value.counts, before, strict=True)]
        late = _over(self._config.late_seconds, value.bounds, added)
        kept.recent.add((sum(added), late, 0.0, *added), at)

    def _judge(self, link: Link, kept: _Kept, now: float) -> list[Assessment]:
        enough = kept.recent.enough(now)
        return [
            self._of(link, _LATE, kept.late, 1, enough, now),
            self._of(link, _AHEAD, kept.ahead, 2, enough, now),
        ]

    def _of(
        self,
        link: Link,
        reason: str,
        level: Level,
        column: int,
        enough: tuple[Sequence[float], float] | None,
        now: float,
    ) -> Assessment:
        subject = (*link.subject, ("reason", reason))
        if enough is None:  # what is raised stays so
            state = State.WARN if level.is_on else State.WARMING
            return Assessment(subject=subject, verdict=Verdict(state, level.threshold, level.threshold))
        numbers, seconds = enough
        records, share = numbers[0], min(1.0, numbers[column] / numbers[0])
        is_on = level.update(share, now)
        verdict = Verdict(State.WARN if is_on else State.OK, share, level.threshold)
        if not is_on:
            return Assessment(subject=subject, verdict=verdict)
        median, high = (_quantile(numbers[_BUCKETS:], q) for q in (0.5, 0.95))
        if reason == _LATE:
            summary = f"records from {link} come late: 5 % after more than {high:.0f} s, half after {median:.0f} s"
        else:
            summary = f"{share:.0%} of the records from {link} tell of calls that end in the future"
        evidence = (
            f"{records:.0f} records in {seconds / 60:.0f} minutes, {share:.0%} of them {reason}",
            f"delay: median {median:.0f} s, 95th percentile {high:.0f} s, {self._config.late_seconds:g} s are let pass",
        )
        return Assessment(
            subject=subject,
            verdict=verdict,
            summary=summary,
            action=_ACTIONS[reason],
            evidence=evidence,
            since=level.since,
        )


def _over(limit: float, bounds: tuple[float, ...], counts: list[float]) -> float:
    """How many are over the limit, those between two edges taken to lie evenly, those over the last all."""
    edges = (0.0, *bounds)
    over = counts[-1]
    for low, high, count in zip(edges, bounds, counts, strict=False):
        over += count * min(1.0, max(0.0, (high - limit) / (high - low)))
    return over


def _quantile(counts: Sequence[float], share: float) -> float:
    """Seconds; the last edge stands for all beyond it."""
    wanted, below = share * sum(counts), 0.0
    edges = (0.0, *links.DELAY.buckets)
    for low, high, count in zip(edges, links.DELAY.buckets, counts, strict=False):
        if count and below + count >= wanted:
            return low + (high - low) * (wanted - below) / count
        below += count
    return edges[-1]


PLUGIN: Final = Plugin(
    name="lateness",
    summary="Records that come long after their calls, and clocks that are ahead.",
    config=LatenessConfig,
    build=Lateness,
    reads=(links.DELAY, links.AHEAD),
    roles=("run", "sidecar", "gateway", "detector"),
    interval_seconds=lambda config: config.interval_seconds,
)
