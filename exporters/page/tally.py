"""One step's growth, sorted by whom it belongs to. Pure functions over totals before and after."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

import msgspec

from exporters.page.totals import Buckets, bucket_increase, increase, merged
from watchkeeper.core.labels import OTHER
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import HistogramValue, Labels, Outcome, Vantage
from watchkeeper.core.vocabulary import devices, engines, health, requests

Value = float | HistogramValue

MAX_GROUPS: Final = 200
"""models, services or engines told apart in one step; the rest are counted together as `other`"""
ERRORS: Final = (Outcome.ERROR, Outcome.TIMEOUT, Outcome.REJECTED)
"""outcomes that are the service's fault; `cancelled` and `client_error` are the caller's"""


class Missed(StrEnum):
    """What did not get through."""

    ITEMS = "items"
    """refused"""
    REQUESTS = "requests"
    """refused before their items could be counted"""
    DROPPED = "dropped"
    """items taken in, then lost"""
    SAMPLES = "samples"
    """left out at the series limit"""


class Loss(NamedTuple):
    missed: Missed
    source: str
    reason: str


_MISSED: Final = {
    health.REJECTED: Missed.ITEMS,
    health.REFUSED_REQUESTS: Missed.REQUESTS,
    health.DROPPED: Missed.DROPPED,
    health.SERIES_FOLDED: Missed.SAMPLES,
}
PAGES: Final = ("signal", "pages")
"""what a source fetches itself: one that it could not use is a failed read, and nothing that a sender lost"""

MODEL_LABELS: Final = ("gen_ai.request.model", "gen_ai.response.model")
SERVICE_LABEL: Final = "service.name"

USED: Final = frozenset(
    (
        requests.REQUESTS, requests.TOKENS, requests.SERVER_FIRST_TOKEN, requests.SERVER_PER_TOKEN,
        requests.CLIENT_FIRST_CHUNK, requests.CLIENT_PER_CHUNK,
        engines.INTER_TOKEN_LATENCY, engines.TOKENS, engines.FINISHED, engines.RUNNING, engines.WAITING,
        engines.KV_CACHE, engines.ENGINE_UP, engines.ENGINE_FAULT,
        devices.UP, devices.DEVICE_FAULT, devices.STATUS, devices.UTILIZATION, devices.COMPUTE_ACTIVE,
        devices.MEMORY_USAGE, devices.MEMORY_LIMIT, devices.TEMPERATURE, devices.POWER, devices.POWER_LIMIT,
        devices.THROTTLED, devices.FAULTS, devices.ALLOCATION,
        health.ACCEPTED, health.REJECTED, health.REFUSED_REQUESTS, health.DROPPED, health.LAST_RECORD,
        health.QUEUE_LENGTH, health.QUEUE_SIZE, health.QUEUE_CAPACITY, health.SOURCE_UP, health.SOURCE_FAILURES,
        health.EXPORTER_UP, health.EXPORTER_FAILURES, health.SERIES, health.SERIES_FOLDED, health.BUILD_INFO,
        health.MEMORY, health.START_TIME,
    )
)  # fmt: skip
"""the part of the vocabulary that the page remembers"""
GROWING: Final = frozenset(metric for metric in USED if metric.kind is not Kind.GAUGE) - {devices.FAULTS}
"""the part of it whose growth the page works out"""


class Origin(StrEnum):
    """Where a latency was measured, the most trusted place first."""

    ENGINE = "engine"
    TAP = "tap"
    PAGE = "page"
    STREAM = "stream"
    """between two tokens of a stream, on the engine's metrics page"""
    CLIENT = "client"
    CHUNK = "chunk"
    """between two chunks of a stream, at the caller"""


class Change(msgspec.Struct, frozen=True):
    """One series over one step. `before` is None when the series began in it."""

    metric: Metric
    labels: Labels
    before: Value | None
    now: Value


class Tally(msgspec.Struct):
    """What one group did. Filled while it is built, left alone afterwards."""

    outcomes: dict[str, float] = {}
    tokens: dict[str, float] = {}
    finished: float = 0.0
    """requests as the engines count them"""
    worked: dict[str, float] = {}
    """tokens as the engines count them"""
    first_token: dict[Origin, Buckets] = {}
    per_token: dict[Origin, Buckets] = {}

    @property
    def calls(self) -> float:
        return sum(self.outcomes.values())

    @property
    def error_share(self) -> float | None:
        """None when nothing ended: no share of nothing."""
        return self.errors / self.calls if self.calls else None

    @property
    def errors(self) -> float:
        return sum(self.outcomes.get(outcome, 0.0) for outcome in ERRORS)


class Step(msgspec.Struct, frozen=True):
    """Five seconds: number `index` since the epoch."""

    index: int
    total: Tally
    models: Mapping[str, Tally]
    services: Mapping[str, Tally]
    engines: Mapping[str, Tally]
    losses: Mapping[Loss, float]


FRONTEND: Final = "frontend"

_Key = TypeVar("_Key", bound=str | Loss)


def value_of(value: Value) -> float:
    """A counter's or gauge's number; a histogram has none."""
    return 0.0 if isinstance(value, HistogramValue) else value


def model_of(labels: Mapping[str, str]) -> str:
    """The model asked for, else the one that answered; empty when neither is known."""
    return next((labels[name] for name in MODEL_LABELS if labels.get(name)), "")


def service_of(labels: Mapping[str, str]) -> str:
    return labels.get(SERVICE_LABEL, "")


def address_of(labels: Mapping[str, str]) -> str:
    """How an engine is told from another: its address, else its pod or service."""
    host, port = labels.get("server.address", ""), labels.get("server.port", "")
    if host:
        return f"{host}:{port}" if port else host
    return labels.get("k8s.pod.name") or labels.get(SERVICE_LABEL) or labels.get("gen_ai.provider.name", "")


def is_frontend(labels: Mapping[str, str]) -> bool:
    """Whether a server before engines says this: of requests that they count as well."""
    return labels.get(requests.ROLE) == FRONTEND


def _worked_behind(changes: Iterable[Change]) -> frozenset[str]:
    """Models whose requests an engine itself counted."""
    counted = (dict(change.labels) for change in changes if change.metric in (engines.TOKENS, engines.FINISHED))
    return frozenset(model_of(labels) for labels in counted if not is_frontend(labels))


def step_of(index: int, changes: Iterable[Change]) -> Step:
    changes = tuple(changes)
    behind = _worked_behind(changes)
    total = Tally()
    groups: dict[str, dict[str, Tally]] = {"model": {}, "service": {}, "engine": {}}
    losses: dict[Loss, float] = {}
    for change in changes:
        labels = dict(change.labels)
        if change.metric in _MISSED:
            if PAGES not in change.labels:
                loss = Loss(_MISSED[change.metric], labels.get("source", ""), labels.get("reason", ""))
                _add(losses, loss, _grown(change))
            continue
        by_engine = change.metric in engines.METRICS
        names = {"model": model_of(labels)}
        names |= {"engine": address_of(labels)} if by_engine else {"service": service_of(labels)}
        whole = [total]
        if is_frontend(labels) and model_of(labels) in behind:  # in its own row alone, or all would count twice
            whole = []
            names = {kind: name for kind, name in names.items() if kind == "engine"}
        tallies = [*whole, *(_group(groups[kind], name) for kind, name in names.items())]
        _count(change, labels, tallies)
    return Step(index, total, groups["model"], groups["service"], groups["engine"], losses)


def combined(tallies: Iterable[Tally]) -> Tally:
    """Several steps of one group as one."""
    held = tuple(tallies)
    return Tally(
        outcomes=summed(tally.outcomes for tally in held),
        tokens=summed(tally.tokens for tally in held),
        finished=sum(tally.finished for tally in held),
        worked=summed(tally.worked for tally in held),
        first_token=_merged(tally.first_token for tally in held),
        per_token=_merged(tally.per_token for tally in held),
    )


def summed(parts: Iterable[Mapping[_Key, float]]) -> dict[_Key, float]:
    sums: dict[_Key, float] = {}
    for part in parts:
        for key, amount in part.items():
            _add(sums, key, amount)
    return sums


def _group(groups: dict[str, Tally], name: str) -> Tally:
    if name not in groups and len(groups) >= MAX_GROUPS:
        name = OTHER
    return groups.setdefault(name, Tally())


def _count(change: Change, labels: Mapping[str, str], tallies: Iterable[Tally]) -> None:
    metric = change.metric
    if metric in (requests.REQUESTS, requests.TOKENS, engines.TOKENS, engines.FINISHED):
        grown = _grown(change)
        for tally in tallies:
            if metric == requests.REQUESTS:
                _add(tally.outcomes, labels.get("outcome", ""), grown)
            elif metric == requests.TOKENS:
                _add(tally.tokens, labels.get(requests.TOKEN_TYPE, ""), grown)
            elif metric == engines.TOKENS:
                _add(tally.worked, labels.get(requests.TOKEN_TYPE, ""), grown)
            else:
                tally.finished += grown
        return
    if not isinstance(change.now, HistogramValue):
        return
    grown_buckets = bucket_increase(change.before if isinstance(change.before, HistogramValue) else None, change.now)
    if not grown_buckets.total or not grown_buckets.bounds:  # without buckets it says nothing of quantiles
        return
    if labels.get(requests.STREAM) == "false":  # late by the engine's own account
        return
    if metric == engines.INTER_TOKEN_LATENCY and labels.get(requests.VANTAGE) == Vantage.TAP:  # it gives pace as well
        return
    origin = _origin(metric, labels)
    first = metric in (requests.SERVER_FIRST_TOKEN, requests.CLIENT_FIRST_CHUNK)
    for tally in tallies:
        measured = tally.first_token if first else tally.per_token
        held = measured.get(origin)
        measured[origin] = grown_buckets if held is None else merged((held, grown_buckets))


_ORIGINS: Final = {
    Vantage.ENGINE.value: Origin.ENGINE, Vantage.TAP.value: Origin.TAP, Vantage.PAGE.value: Origin.PAGE,
}  # fmt: skip


def _origin(metric: Metric, labels: Mapping[str, str]) -> Origin:
    if metric == engines.INTER_TOKEN_LATENCY:
        return Origin.STREAM
    if metric in (requests.CLIENT_FIRST_CHUNK, requests.CLIENT_PER_CHUNK):
        return Origin.CHUNK
    seen_from = labels.get(requests.VANTAGE)
    return _ORIGINS.get(seen_from or "", Origin.CLIENT)


def _grown(change: Change) -> float:
    before = change.before
    if isinstance(change.now, HistogramValue) or isinstance(before, HistogramValue):
        return 0.0
    return increase(before, change.now)


def _add(sums: dict[_Key, float], key: _Key, amount: float) -> None:
    sums[key] = sums.get(key, 0.0) + amount


def _merged(parts: Iterable[Mapping[Origin, Buckets]]) -> dict[Origin, Buckets]:
    gathered: dict[Origin, list[Buckets]] = {}
    for part in parts:
        for origin, buckets in part.items():
            gathered.setdefault(origin, []).append(buckets)
    return {origin: merged(buckets) for origin, buckets in gathered.items()}
