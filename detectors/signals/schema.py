"""
A service whose records are written by another instrumentation, or another version of it, than before.

No fault in itself: a fact that explains others. The first ten minutes of a link show what it uses; what comes first
after that is told once, at level info, and stays for an hour so that a change beside it is seen with it. A version that
was there before is not told again.

Catches: upgrades and exchanges of instrumentation, also the first replica of a rollout. Misses: a dialect switched by
an environment variable alone; what it leaves out shows in `completeness`. Keeps 64 versions for each link.
"""

from typing import Annotated, Final

import msgspec

from detectors.signals._links import Link, Ways, link_of
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Assessment, Batch, Severity, State, Verdict
from watchkeeper.core.vocabulary import links

_LEARNING_SECONDS: Final = 600.0
_MOST: Final = 64


class SchemaConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Records that are written by another instrumentation than before."""

    enabled: bool = True
    """False: changes of instrumentation are not told"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=60)] = 10.0
    """how often it is judged"""
    hold_seconds: Annotated[float, msgspec.Meta(ge=60)] = 3600.0
    """how long a change stays in view"""


class _Kept:
    __slots__ = ("changed_at", "first_at", "known", "present", "text")

    def __init__(self, now: float) -> None:
        self.first_at = now
        self.known: dict[str, None] = {}
        self.present: dict[str, None] = {}
        self.changed_at: float | None = None
        self.text = ""


class Schema:
    def __init__(self, config: SchemaConfig, ledger: Ledger) -> None:
        self._config = config
        self._ways: Ways[Link, _Kept] = Ways(_Kept)

    def update(self, batch: Batch) -> None:
        for point in batch.points:
            if (link := link_of(own := dict(point.labels))) is not None:
                _note(self._ways.see(link, batch.at), _writer(own), batch.at)
        for _, labels in batch.gone:
            link = link_of(own := dict(labels))
            if link is not None and (kept := self._ways.find(link)) is not None:
                kept.present.pop(_writer(own), None)

    def assess(self, now: float) -> list[Assessment]:
        return [self._judge(link, kept, now) for link, kept in self._ways.present(now)]

    def _judge(self, link: Link, kept: _Kept, now: float) -> Assessment:
        changed_at = kept.changed_at
        if changed_at is None or not 0 <= now - changed_at < self._config.hold_seconds:
            return Assessment(subject=link.subject, verdict=Verdict(State.OK, 0.0, 1.0))
        return Assessment(
            subject=link.subject,
            verdict=Verdict(State.WARN, 1.0, 1.0),
            severity=Severity.INFO,
            summary=f"records from {link} are written by {kept.text}",
            action="nothing, if this was planned; if numbers changed at the same time, look there first",
            evidence=(f"in use now: {', '.join(sorted(kept.present))}",),
            since=changed_at,
        )


def _writer(own: dict[str, str]) -> str:
    name = own.get(links.SCOPE, "") or "an instrumentation without a name"
    return f"{name} {own.get(links.SCOPE_VERSION, '')}".rstrip()


def _note(kept: _Kept, writer: str, now: float) -> None:
    before = ", ".join(sorted(kept.present)) or ", ".join(list(kept.known)[-1:])
    kept.present[writer] = None
    kept.first_at = min(kept.first_at, now)
    if writer in kept.known:
        return
    if now - kept.first_at >= _LEARNING_SECONDS:
        kept.changed_at = now
        kept.text = f"{writer}, before by {before}"
    if len(kept.known) >= _MOST:
        del kept.known[next(iter(kept.known))]
    kept.known[writer] = None


PLUGIN: Final = Plugin(
    name="schema",
    summary="A service whose records are written by another instrumentation, or version, than before.",
    config=SchemaConfig,
    build=Schema,
    reads=(links.SCHEMA,),
    roles=("run", "sidecar", "gateway", "detector"),
    interval_seconds=lambda config: config.interval_seconds,
)
