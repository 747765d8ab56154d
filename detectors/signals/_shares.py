"""The arithmetic of `unreadable`: three shares of each source, each an observation an interval, and their evidence."""

from collections import Counter
from typing import Final

from detectors.signals._evidence import Evidence
from detectors.signals._spans import Increments, Spans
from watchkeeper.core.records import Assessment, Batch, State, Verdict
from watchkeeper.core.vocabulary import health

REQUESTS, ITEMS, VALUES = "requests", "items", "values"
_KINDS: Final = (REQUESTS, ITEMS, VALUES)
_CAPACITY: Final = frozenset(("queue_full", "shutting_down", "overloaded", "timeout", "internal"))
"""why something is refused that could be read"""
_QUIET_SECONDS: Final = 600.0
_WORDS: Final = {
    REQUESTS: "requests to {} are refused, they cannot be read",
    ITEMS: "items that come over {} are refused, they cannot be read",
    VALUES: "items that come over {} have a value left out because it cannot be right",
}
_ACTIONS: Final = {
    REQUESTS: "see the line in the log for the reason: mostly a sender whose protocol, port or compression does not "
    "match, or a batch that is too large",
    ITEMS: "look at what the reason says of the items; then at the sender's SDK or a collector that rewrites them",
    VALUES: "see `watchkeeper_pipeline_invalid_values_total` for the field; a time is a clock that is far off, a "
    "duration or a count an instrumentation with a mistake: compare its version",
}


class _Share:
    """One share of one source."""

    def __init__(self, let_pass: float, limit: float) -> None:
        self.evidence = Evidence(let_pass, limit)
        self.bad = Spans(10.0, 64)
        self.all = Spans(10.0, 64)
        self.why: Counter[str] = Counter()
        self.crossed_at: float | None = None
        self.since = 0.0

    def observe(self, bad: float, total: float, why: Counter[str], now: float) -> None:
        """An interval in which something came."""
        if self.crossed_at is None and not self.evidence.score:
            self.why.clear()
        self.why += why
        self.bad.add(bad, now)
        self.all.add(total, now)
        if self.evidence.share(bad / total, now):
            if self.crossed_at is None:
                self.since, _, _ = self.evidence.since_onset()
            self.crossed_at = now

    def state(self, now: float, let_pass: float) -> State:
        if self.crossed_at is not None:
            self.crossed_at = min(self.crossed_at, now)
            total = self.all.total(now, _QUIET_SECONDS)
            calm = not total or self.bad.total(now, _QUIET_SECONDS) / total <= let_pass
            if now - self.crossed_at >= _QUIET_SECONDS and calm:
                self.crossed_at = None
                self.why.clear()
        return State.OK if self.crossed_at is None else State.WARN


class Unreadable:
    def __init__(self, interval_seconds: float, let_pass: float, horizon: float) -> None:
        """:param horizon: intervals in which one false finding about a source is accepted"""
        self._interval_seconds = interval_seconds
        self._let_pass = let_pass
        self._limit = horizon * len(_KINDS)
        self._increments = Increments()
        self._shares: dict[tuple[str, str], _Share] = {}
        self._open: dict[str, Counter[str]] = {}
        """of each source, what came since it was judged last"""

    def update(self, batch: Batch) -> None:
        for point in batch.points:
            own = dict(point.labels)
            added = self._increments.of(point)
            came = self._open.setdefault(own.get("source", ""), Counter())
            name = point.metric.name
            if point.metric in (health.REJECTED, health.REFUSED_REQUESTS):
                reason = own.get("reason", "")
                if reason in _CAPACITY:
                    continue
                came[f"{name}:{reason}"] += int(added)
            elif point.metric is health.INVALID_VALUES:
                came[f"{name}:{own.get('field', '')}"] += int(added)
            came[name] += int(added)
        self._increments.forget(batch)

    def assess(self, now: float) -> list[Assessment]:
        for source, came in self._open.items():
            refused = came[health.REFUSED_REQUESTS.name]
            received = came[health.RECEIVED.name]
            for kind, metric, total in (
                (REQUESTS, health.REFUSED_REQUESTS, refused + came[health.TAKEN_REQUESTS.name]),
                (ITEMS, health.REJECTED, received),
                (VALUES, health.INVALID_VALUES, received),
            ):
                self._observe(source, kind, metric.name, came, total, now)
        self._open.clear()
        return [self._judge(source, kind, share, now) for (source, kind), share in self._shares.items()]

    def _observe(self, source: str, kind: str, name: str, came: Counter[str], total: int, now: float) -> None:
        if not total:
            return
        share = self._shares.get((source, kind))
        if share is None:
            share = self._shares[(source, kind)] = _Share(self._let_pass, self._limit)
        why = Counter({key.partition(":")[2]: count for key, count in came.items() if key.startswith(f"{name}:")})
        share.observe(min(came[name], total), total, why, now)

    def _judge(self, source: str, kind: str, share: _Share, now: float) -> Assessment:
        subject = (("link", source), ("reason", kind))
        state = share.state(now, self._let_pass)
        verdict = Verdict(state, share.evidence.score, 1.0)
        if state is State.OK:
            return Assessment(subject=subject, verdict=verdict)
        bad, total = share.bad.total(now, _QUIET_SECONDS), share.all.total(now, _QUIET_SECONDS)
        part = bad / total if total else 0.0
        return Assessment(
            subject=subject,
            verdict=verdict,
            summary=f"{part:.1%} of {_WORDS[kind].format(source)}",
            action=_ACTIONS[kind],
            evidence=(
                f"{bad:.0f} of {total:.0f} in 10 minutes, {self._let_pass:.1%} are let pass",
                ", ".join(f"{why or 'no reason'} {count}" for why, count in share.why.most_common(5)),
            ),
            since=share.since,
        )
