"""What is watched: models, services and engines, each with its last minute. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from exporters.page.history import Points, Seen, Spreads, spreads
from exporters.page.tally import MAX_GROUPS, Origin, Tally, address_of, combined, model_of, service_of, value_of
from exporters.page.totals import Estimate
from watchkeeper.core.labels import OTHER
from watchkeeper.core.metric import Metric
from watchkeeper.core.vocabulary import engines, requests

PROVIDER: Final = "gen_ai.provider.name"
_DETAILS: Final = 3
"""providers of a model, or models of a service, that are named"""


class Latency(msgspec.Struct, frozen=True):
    """Median and 95th percentile of the last minute in seconds, and where they were measured."""

    p50: Estimate
    p95: Estimate
    origin: Origin


class Group(msgspec.Struct, frozen=True):
    """One model or one service over the last minute. Rates are per second; None = nobody counts it."""

    name: str
    detail: str
    """a model's providers, a service's models"""
    calls: float
    """since the start"""
    request_rate: float | None
    error_share: float | None
    output_rate: float | None
    first_token: Latency | None
    per_token: Latency | None


class Engine(msgspec.Struct, frozen=True):
    address: str
    provider: str
    model: str
    up: bool | None
    reason: str
    running: float | None
    waiting: float | None
    kv_cache: float | None
    """share in use at the fullest"""
    output_rate: float | None


def latency(measured: Spreads) -> Latency | None:
    """From the most trusted place that measured anything."""
    origin = next((origin for origin in Origin if origin in measured), None)
    return None if origin is None else Latency(*measured[origin], origin)


def models_of(seen: Seen) -> tuple[Group, ...]:
    """Every model that a call or an engine names, busiest first."""
    metrics = (
        requests.REQUESTS, requests.TOKENS,
        engines.FINISHED, engines.TOKENS, engines.ENGINE_UP, engines.RUNNING,
    )  # fmt: skip
    names = {metric: _names(seen.points, metric, model_of) for metric in metrics}
    if not names[requests.REQUESTS].get(""):  # an engine that names no model stands in the list of engines
        names = {metric: {name: total for name, total in held.items() if name} for metric, held in names.items()}
    details = _details(seen.points, metrics, model_of, lambda labels: labels.get(PROVIDER, ""))
    return _groups(seen, names, details, [step.models for step in seen.steps])


def services_of(seen: Seen) -> tuple[Group, ...]:
    """Every service that called a model, busiest first."""
    metrics = (requests.REQUESTS, requests.TOKENS)
    names = {metric: _names(seen.points, metric, service_of) for metric in metrics}
    details = _details(seen.points, metrics, service_of, model_of)
    return _groups(seen, names, details, [step.services for step in seen.steps])


def engines_of(seen: Seen) -> tuple[Engine, ...]:
    """Down first, then by address."""
    labels_of: dict[str, dict[str, str]] = {}
    gauges: dict[Metric, dict[str, list[float]]] = {}
    for metric in (engines.ENGINE_UP, engines.RUNNING, engines.WAITING, engines.KV_CACHE, engines.TOKENS):
        for labels, value in seen.points.get(metric, {}).items():
            named = dict(labels)
            address = address_of(named)
            labels_of.setdefault(address, {}).update(named)
            gauges.setdefault(metric, {}).setdefault(address, []).append(value_of(value))
    faults: dict[str, str] = {}
    for labels, value in seen.points.get(engines.ENGINE_FAULT, {}).items():
        if value_of(value):
            faults[address_of(dict(labels))] = dict(labels).get("reason", "")
    rows = []
    for address, named in labels_of.items():
        said = {metric: held[address] for metric, held in gauges.items() if address in held}
        up = min(said[engines.ENGINE_UP]) >= 1 if engines.ENGINE_UP in said else None
        if up is False:
            said = {}  # what it said before it went away is not the state now
        minute = combined(step.engines[address] for step in seen.steps if address in step.engines)
        rows.append(
            Engine(
                address=address,
                provider=named.get(PROVIDER, ""),
                model=model_of(named),
                up=up,
                reason=faults.get(address, ""),
                running=sum(said[engines.RUNNING]) if engines.RUNNING in said else None,
                waiting=sum(said[engines.WAITING]) if engines.WAITING in said else None,
                kv_cache=max(said[engines.KV_CACHE]) if engines.KV_CACHE in said else None,
                output_rate=minute.worked.get("output", 0.0) / seen.covered_seconds if engines.TOKENS in said else None,
            )
        )
    return tuple(sorted(rows, key=lambda row: (row.up is not False, row.address)))


def _names(points: Points, metric: Metric, name_of: Callable[[Mapping[str, str]], str]) -> dict[str, float]:
    """Whoever has a series of this metric, with the sum over them."""
    totals: dict[str, float] = {}
    for labels, value in points.get(metric, {}).items():
        name = name_of(dict(labels))
        totals[name] = totals.get(name, 0.0) + value_of(value)
    return totals


def _details(
    points: Points,
    metrics: Iterable[Metric],
    name_of: Callable[[Mapping[str, str]], str],
    detail_of: Callable[[Mapping[str, str]], str],
) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for metric in metrics:
        for labels in points.get(metric, {}):
            named = dict(labels)
            found.setdefault(name_of(named), set()).add(detail_of(named))
    return {name: _listed(sorted(details - {""})) for name, details in found.items()}


def _listed(names: list[str]) -> str:
    more = len(names) - _DETAILS
    return ", ".join(names[:_DETAILS]) + (f", +{more}" if more > 0 else "")


def _groups(
    seen: Seen,
    names: Mapping[Metric, Mapping[str, float]],
    details: Mapping[str, str],
    steps: list[Mapping[str, Tally]],
) -> tuple[Group, ...]:
    tallies: dict[str, list[Tally]] = {}
    for step in steps:
        for name, tally in step.items():
            tallies.setdefault(name, []).append(tally)
    overflowed = any(len(step) > MAX_GROUPS for step in steps)  # then one without a tally may be among `other`
    everyone = {name for held in names.values() for name in held} | ({OTHER} if overflowed else set())
    seconds = seen.covered_seconds
    groups = []
    for name in everyone:
        minute = combined(tallies.get(name, ()))
        known = name in tallies or not overflowed
        counted = {metric for metric, held in names.items() if known and (name in held or name == OTHER)}
        groups.append(
            Group(
                name=name,
                detail=details.get(name, ""),
                calls=names[requests.REQUESTS].get(name, 0.0),
                request_rate=minute.calls / seconds
                if requests.REQUESTS in counted
                else (minute.finished / seconds if engines.FINISHED in counted else None),
                error_share=minute.error_share,
                output_rate=minute.tokens.get("output", 0.0) / seconds
                if requests.TOKENS in counted
                else (minute.worked.get("output", 0.0) / seconds if engines.TOKENS in counted else None),
                first_token=latency(spreads(minute.first_token)),
                per_token=latency(spreads(minute.per_token)),
            )
        )
    return tuple(sorted(groups, key=lambda group: (-(group.request_rate or 0.0), -group.calls, group.name)))
