"""
Records that come twice by the same way, more often than they did at first.

Each is counted once; but it costs work twice, and hides a sender that repeats what it believes was lost. Of each link
the share of repeated records is learned once, while it is new (`_links.Usual`); `more_ratio` above that within 5
minutes (longer, up to an hour, until they are 20), for a minute, warns, and holds until it has been below for 5
minutes.

Catches: a second exporter or collector that fans out to here twice, retries after answers that were lost. Misses:
copies that come later than 120 s after the first (they count as calls: `watchkeeper.calls.forgotten` tells when
memory is shorter), and copies by another way (tap and OTLP), which are not this. A link that was doubled from its first
half hour on is taken as such.
"""

from typing import Annotated, Final

import msgspec

from detectors.signals._levels import Level
from detectors.signals._links import Link, Newest, Recent, Usual, Ways, gone_links, link_of
from detectors.signals._spans import Increments
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Assessment, Batch, State, Verdict
from watchkeeper.core.vocabulary import links

_RAISE_SECONDS: Final = 60.0
_CLEAR_SECONDS: Final = 300.0


class DuplicatesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Records that come twice."""

    enabled: bool = True
    """False: repeated records are counted and not judged"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=60)] = 10.0
    """how often it is judged"""
    more_ratio: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1
    """warn: the share of repeated records is by so much above what it was at first"""


class _Kept:
    __slots__ = ("more", "recent", "usual")

    def __init__(self, threshold: float, now: float) -> None:
        self.usual = Usual(now)
        self.recent = Recent()
        self.more = Level(threshold, _RAISE_SECONDS, _CLEAR_SECONDS)


class Duplicates:
    def __init__(self, config: DuplicatesConfig, ledger: Ledger) -> None:
        self._config = config
        self._newest = Newest()
        self._increments = Increments()
        self._ways: Ways[Link, _Kept] = Ways(lambda now: _Kept(config.more_ratio, now))

    def update(self, batch: Batch) -> None:
        self._newest.see(batch)
        self._increments.forget(batch)
        for link in gone_links(batch):
            self._ways.hide(link)

    def assess(self, now: float) -> list[Assessment]:
        for point in self._newest.take():
            link = link_of(dict(point.labels))
            added = self._increments.of(point)
            if link is None or not added:
                continue
            kept = self._ways.see(link, now)
            repeated = added if point.metric is links.REPEATED else 0.0
            kept.usual.add(repeated, added, now)
            kept.recent.add((added, repeated), now)
        return [self._judge(link, kept, now) for link, kept in self._ways.present(now)]

    def _judge(self, link: Link, kept: _Kept, now: float) -> Assessment:
        threshold, usual = self._config.more_ratio, kept.usual.share
        if usual is None:
            return Assessment(subject=link.subject, verdict=Verdict(State.WARMING, 0.0, threshold))
        share, records, seconds = kept.recent.share(now) or (usual, 0.0, 0.0)
        more = max(0.0, share - usual)
        is_on = kept.more.update(more, now)
        verdict = Verdict(State.WARN if is_on else State.OK, more, threshold)
        if not is_on:
            return Assessment(subject=link.subject, verdict=verdict)
        return Assessment(
            subject=link.subject,
            verdict=verdict,
            summary=f"{share:.0%} of the records from {link} were here before, at first {usual:.0%}",
            action="look for a second exporter or collector that sends the same spans here; else for answers that are "
            "lost on the way back, after which the sender tries again",
            evidence=(f"{share * records:.0f} of {records:.0f} records in {seconds / 60:.0f} minutes, counted once",),
            since=kept.more.since,
        )


PLUGIN: Final = Plugin(
    name="duplicates",
    summary="Records that come twice by the same way, more often than at first.",
    config=DuplicatesConfig,
    build=Duplicates,
    reads=(links.DELAY, links.REPEATED),
    roles=("run", "sidecar", "gateway", "detector"),
    interval_seconds=lambda config: config.interval_seconds,
)
