"""
An engine that has work and does none: requests run or wait, and no token comes.

Logic, no statistics. Of each engine's page (pushes of an engine count as its page) every reading is asked: are there
requests, and did anything move? Signs are tokens of any kind, steps of streams, requests that began to answer, ended or
failed, time worked, and the use of the KV cache. Stuck is an engine that has had requests and shown no sign for
`silent_seconds` and over three readings.

Many engines count a request's tokens when it ends; then a long answer looks like none. So only an engine that was seen
to count while nothing ended, or that tells the time between tokens, is judged by `silent_seconds`; any other by
`silent_by_request_seconds`, which must be longer than its longest answer.

A warning where an engine's output tokens stand still for `behind_seconds` while those of all its peers (two at least:
engines of one namespace, service and model) move, unless it says that it has no requests.

Catches: a hung engine that still answers its page, 60 to 70 seconds after its last token. Misses: one that does not
answer (a source that is down is told by `watchkeeper_engine_up`, and is not stuck), engines that tell neither running
nor waiting requests and have no peers, one hung request beside others that go on. Keeps some hundred bytes a series.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import msgspec

from detectors.signals._spans import Increments, number
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import (
    Assessment,
    Batch,
    HistogramValue,
    Labels,
    Point,
    SeriesKey,
    State,
    Vantage,
    Verdict,
)
from watchkeeper.core.vocabulary import engines, requests

_ENGINE: Final = ("k8s.namespace.name", "k8s.pod.name", "service.name", "server.address", "server.port")
_LEAST_READINGS: Final = 3
_UNSEEN_SECONDS: Final = 300.0
"""as long as a gauge that nobody sets is kept"""
_GAUGES: Final = (engines.RUNNING, engines.WAITING)
_ENDINGS: Final = (engines.FINISHED, engines.FAILED, requests.SERVER_DURATION)
_STEPS: Final = (
    engines.TOKENS, engines.CACHED_TOKENS, engines.DRAFT_TOKENS, engines.ACCEPTED_TOKENS, engines.WORK_TIME,
    engines.INTER_TOKEN_LATENCY, engines.PREFILL_TIME, requests.SERVER_FIRST_TOKEN,
)  # fmt: skip


class StuckConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Engines that have requests and give no tokens."""

    enabled: bool = True
    """False: engines are not judged"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1)] = 10.0
    """how often they are judged"""
    silent_seconds: Annotated[float, msgspec.Meta(ge=5)] = 60.0
    """alarm after so long without a sign of work, where an engine counts tokens as they come"""
    silent_by_request_seconds: Annotated[float, msgspec.Meta(ge=5)] = 600.0
    """alarm after so long where it counts them when a request ends: longer than the longest answer"""
    behind_seconds: Annotated[float, msgspec.Meta(ge=5)] = 300.0
    """warn when its output tokens stand still for so long while those of all its peers move"""


class _Engine:
    """One engine, and what it showed."""

    def __init__(self, where: Labels, now: float) -> None:
        self.where = where
        self.gauges: dict[SeriesKey, float] = {}
        self.caches: dict[SeriesKey, float] = {}
        self.models: set[str] = set()
        self.up = 1.0
        self.told_at = now
        """when anything was told of it, if only that it is down"""
        self.seen_at = now
        self.silent_since = now
        self.readings = 0
        """without a sign of work, while it had some"""
        self.counts_as_it_goes = False
        self.tells_endings = False
        self.output_at: float | None = None
        """when its output tokens moved last; None = never since we watch"""
        self.stood_since = now
        self._had_requests = False

    @property
    def subject(self) -> Labels:
        model = (("gen_ai.request.model", next(iter(self.models))),) if len(self.models) == 1 else ()
        before = tuple(pair for pair in self.where if not pair[0].startswith("server."))
        return (*before, *model, *self.where[len(before) :])

    def total(self, metric: Metric) -> float | None:
        """None where the engine does not tell."""
        values = [value for (known, _), value in self.gauges.items() if known is metric]
        return sum(values) if values else None

    @property
    def has_requests(self) -> bool:
        return any(value > 0 for value in self.gauges.values())

    @property
    def says_it_is_idle(self) -> bool:
        return bool(self.gauges) and not self.has_requests

    def read(self, signs: "_Signs", now: float) -> None:
        """End a reading: what moved in it."""
        had, self._had_requests = self._had_requests, self.has_requests
        self.tells_endings |= signs.endings is not None
        nothing_ended = self.tells_endings and not signs.endings
        if signs.tells_steps or (had and self.has_requests and nothing_ended and (signs.output or signs.cache)):
            self.counts_as_it_goes = True
        if signs.output or (self.output_at is not None and now < self.output_at):  # or the clock was set back
            self.output_at = self.stood_since = now
        moved = signs.steps or signs.output or signs.cache or bool(signs.endings)
        was_away = self.up == 0 or not 0 <= now - self.seen_at <= _UNSEEN_SECONDS
        if moved or not had or not self.has_requests or was_away:
            self.silent_since, self.readings = now, 0
        else:
            self.readings += 1
        if was_away or self.says_it_is_idle:
            self.stood_since = now
        self.seen_at = now

    def __str__(self) -> str:
        own = dict(self.where)
        address = ":".join(own[name] for name in ("server.address", "server.port") if name in own)
        pod = "/".join(own[name] for name in ("k8s.namespace.name", "k8s.pod.name") if name in own)
        name = address or pod or own.get("service.name", "")
        models = ", ".join(sorted(self.models))
        return f"engine {name} ({models})" if models else f"engine {name}"


class _Signs:
    """What moved in one reading of one engine."""

    __slots__ = ("cache", "endings", "is_read", "output", "steps", "tells_steps", "up")

    def __init__(self) -> None:
        self.is_read = False
        self.up: float | None = None
        self.output = False
        self.steps = False
        self.cache = False
        self.tells_steps = False
        self.endings: bool | None = None
        """None where it does not tell what ended"""


class Stuck:
    """Bounded by the engines there are."""

    def __init__(self, config: StuckConfig, ledger: Ledger) -> None:
        self._config = config
        self._engines: dict[Labels, _Engine] = {}
        self._increments = Increments()
        self._counts: dict[SeriesKey, float] = {}

    def update(self, batch: Batch) -> None:
        seen: dict[Labels, _Signs] = {}
        for point in batch.points:
            own = dict(point.labels)
            if own.get(requests.VANTAGE, Vantage.PAGE.value) != Vantage.PAGE.value:
                continue
            where: Labels = tuple((name, own[name]) for name in _ENGINE if name in own)
            engine = self._engines.get(where)
            if engine is None:
                if point.metric not in (*_GAUGES, engines.ENGINE_UP, engines.TOKENS):
                    continue  # of a caller, or of an engine that has not told more yet
                engine = self._engines[where] = _Engine(where, batch.at)
            self._take(point, own, engine, seen.setdefault(where, _Signs()))
        for key in batch.gone:
            self._drop(key)
        for where, signs in seen.items():
            engine = self._engines[where]
            engine.told_at = batch.at
            if signs.is_read:
                engine.read(signs, batch.at)
            engine.up = engine.up if signs.up is None else signs.up
        self._increments.forget(batch)

    def _take(self, point: Point, own: dict[str, str], engine: _Engine, signs: _Signs) -> None:
        metric, key = point.metric, (point.metric, point.labels)
        if metric is engines.ENGINE_UP:
            signs.up = number(point)
            signs.is_read |= signs.up > 0
            return
        if metric in _GAUGES:
            signs.is_read = True
            engine.gauges[key] = number(point)
        elif metric is engines.KV_CACHE:
            signs.cache |= engine.caches.get(key, number(point)) != number(point)
            engine.caches[key] = number(point)
        else:
            moved = self._moved(point)
            if metric in _ENDINGS:
                signs.endings = bool(signs.endings) or moved
            elif metric is engines.TOKENS and own.get(requests.TOKEN_TYPE) == "output":
                signs.is_read = True
                signs.output |= moved
            else:
                signs.steps |= moved
                signs.tells_steps |= moved and metric is engines.INTER_TOKEN_LATENCY
        if model := own.get("gen_ai.request.model"):
            engine.models.add(model)

    def _moved(self, point: Point) -> bool:
        if not isinstance(point.value, HistogramValue):
            return self._increments.of(point) > 0
        key, count = (point.metric, point.labels), sum(point.value.counts)
        before, self._counts[key] = self._counts.get(key, 0.0), count
        return count != before

    def _drop(self, key: SeriesKey) -> None:
        self._counts.pop(key, None)
        own = dict(key[1])
        engine = self._engines.get(tuple((name, own[name]) for name in _ENGINE if name in own))
        if engine is not None:
            engine.gauges.pop(key, None)
            engine.caches.pop(key, None)

    def assess(self, now: float) -> list[Assessment]:
        present = list(self._present(now))
        groups: defaultdict[tuple[str | frozenset[str], ...], list[_Engine]] = defaultdict(list)
        for engine in present:
            own = dict(engine.where)
            kind = (own.get("k8s.namespace.name", ""), own.get("service.name", ""), frozenset(engine.models))
            groups[kind].append(engine)
        return [self._judge(engine, group, now) for group in groups.values() for engine in group]

    def _present(self, now: float) -> Iterator[_Engine]:
        """Engines that answer; those not seen for long are forgotten."""
        for where, engine in list(self._engines.items()):
            if now < engine.told_at:  # the clock was set back
                engine.told_at = engine.seen_at = engine.silent_since = engine.stood_since = now
            if now - engine.told_at > _UNSEEN_SECONDS:
                del self._engines[where]
            elif engine.up > 0 and now - engine.seen_at <= _UNSEEN_SECONDS:
                yield engine

    def _judge(self, engine: _Engine, group: Sequence[_Engine], now: float) -> Assessment:
        config = self._config
        silent = engine.seen_at - engine.silent_since if engine.has_requests else 0.0
        patience = config.silent_seconds if engine.counts_as_it_goes else config.silent_by_request_seconds
        verdict = Verdict(State.OK, silent, patience)
        running, waiting = engine.total(engines.RUNNING), engine.total(engines.WAITING)
        work = " and ".join(
            f"{value:.0f} requests {word}" for value, word in ((running, "running"), (waiting, "waiting")) if value
        )
        if silent >= patience and engine.readings >= _LEAST_READINGS:
            how = "as they come" if engine.counts_as_it_goes else "when a request ends, as far as was seen"
            return Assessment(
                subject=engine.subject,
                verdict=Verdict(State.ALARM, silent, patience),
                summary=f"{engine} has {work} and has shown no work for {silent:.0f} s",
                action="read the engine's log and look for a fault of its devices (signal `fault`); move its traffic "
                "to another replica and restart it",
                evidence=(
                    f"no tokens, no request begun or ended, KV cache use unchanged over {engine.readings} readings",
                    f"it counts tokens {how}; limit {patience:.0f} s",
                ),
                since=engine.silent_since,
            )
        stood = now - engine.stood_since
        peers = [one for one in group if one is not engine]
        moving = [one for one in peers if one.output_at is not None and now - one.output_at <= config.silent_seconds]
        if stood >= config.behind_seconds and len(moving) == len(peers) >= 2:
            return Assessment(
                subject=engine.subject,
                verdict=Verdict(State.WARN, stood, config.behind_seconds),
                summary=f"{engine} has given no output token for {stood:.0f} s while its {len(peers)} peers go on"
                f"{f'; it has {work}' if work else ''}",
                action="see whether it gets requests at all (readiness, routing); if it does, read its log and restart "
                "it",
                evidence=(f"all of its {len(peers)} peers gave tokens within {config.silent_seconds:.0f} s",),
                since=engine.stood_since,
            )
        return Assessment(subject=engine.subject, verdict=verdict)


PLUGIN: Final = Plugin(
    name="stuck",
    summary="An engine that has requests and gives no tokens.",
    config=StuckConfig,
    build=Stuck,
    reads=(*_GAUGES, engines.ENGINE_UP, engines.KV_CACHE, *_ENDINGS, *_STEPS),
    roles=("run", "sidecar", "gateway", "detector"),
    interval_seconds=lambda config: config.interval_seconds,
)
