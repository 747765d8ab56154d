"""
Energy, device time and money per output token of a pod, and a verdict where somebody stated a limit.

Over `window_seconds` the increments of energy, device time and tokens that carry the same namespace and pod are
divided. Tokens are the engine's own where it tells them (aborted work included), else those of counted calls. Without
a limit every pod is ok; with one, its mean over the window must pass it for 10 minutes. Numbers are absent until the
window was watched, with fewer than `least_tokens` in it, and energy also where not every device of the pod tells its
own: a shared device or a partition has no energy of its own and none is made up.

Catches: a limit passed, 10 minutes and a window later. Misses: pods whose tokens are counted in another process
(sidecar beside the engine, devices in the node agent): divide there where both meet, in PromQL; prefill-only pods,
which have no output tokens. Low load raises all three by physics: limits suit pods that are kept busy. Keeps 24 spans
for each of a pod's totals.
"""

from collections import defaultdict
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Final

import msgspec

from detectors.signals._devices import FORGET_SECONDS
from detectors.signals._labels import named
from detectors.signals._levels import Ladder
from detectors.signals._spans import Increments, Spans
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.labels import OTHER
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Assessment, Batch, Labels, Sample, State, Verdict
from watchkeeper.core.vocabulary import devices, efficiency, engines, requests

_SPANS: Final = 20
_SUSTAINED_SECONDS: Final = 600.0
_HOUR: Final = 3600.0
_TOKENS: Final = (engines.TOKENS, requests.TOKENS)
"""the better first; they count the same tokens and are never added"""


class DevicePrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an hour of a device costs."""

    model: str
    """hw.model, with `*` for anything; case does not matter; the first line that fits holds"""
    per_hour: Annotated[float, msgspec.Meta(ge=0)]
    """price of one device for one hour"""
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] = "USD"
    """ISO 4217 code"""


class TokenLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an output token of some pods may take."""

    pod: str
    """`namespace/pod`, with `*` for anything; the first line that fits holds"""
    joules_per_token: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """warn above this"""
    device_seconds_per_token: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """warn above this"""


class EfficiencyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a token takes."""

    enabled: bool = True
    """False: neither numbers nor verdicts"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=120)] = 15.0
    """how often the numbers are renewed"""
    window_seconds: Annotated[float, msgspec.Meta(ge=60)] = 300.0
    """time over which they are means"""
    least_tokens: Annotated[float, msgspec.Meta(gt=0)] = 100.0
    """with fewer output tokens in that time there are no numbers"""
    prices: tuple[DevicePrice, ...] = ()
    """what devices cost; with none, no cost is counted"""
    limits: tuple[TokenLimit, ...] = ()
    """what tokens may take; with none, every pod is ok"""


class _Pod:
    """What was added up for one pod."""

    __slots__ = (
        "cost",
        "energy",
        "held",
        "ladder",
        "limit",
        "metered",
        "pending",
        "seconds",
        "seen_at",
        "since",
        "tokens",
    )

    def __init__(self, span_seconds: float, limit: TokenLimit | None, now: float) -> None:
        self.since = self.seen_at = now
        self.limit = limit
        self.energy = Spans(span_seconds, _SPANS + 4)
        self.seconds = Spans(span_seconds, _SPANS + 4)
        self.cost: defaultdict[str, Spans] = defaultdict(lambda: Spans(span_seconds, _SPANS + 4))
        self.tokens: dict[Metric, Spans] = {metric: Spans(span_seconds, _SPANS + 4) for metric in _TOKENS}
        self.held: dict[str, float] = {}
        self.metered: dict[str, float] = {}
        self.pending: defaultdict[Labels, float] = defaultdict(float)
        self.ladder = Ladder(1.0, None, _SUSTAINED_SECONDS, _SUSTAINED_SECONDS)

    def output_tokens(self, now: float, seconds: float) -> float:
        return next((total for spans in self.tokens.values() if (total := spans.total(now, seconds))), 0.0)

    def has_all_energy(self, now: float, seconds: float) -> bool:
        """Whether each device it had lately tells its own energy."""
        had, metered = (
            {key for key, at in seen.items() if 0 <= now - at <= seconds} for seen in (self.held, self.metered)
        )
        return bool(metered) and had <= metered


class _Taken(msgspec.Struct, frozen=True):
    """Per output token; None = not known."""

    joules: float | None
    device_seconds: float | None
    cost: tuple[tuple[str, float], ...] = ()


class Efficiency:
    def __init__(self, config: EfficiencyConfig, ledger: Ledger) -> None:
        self._config = config
        self._increments = Increments()
        self._pods: dict[tuple[str, str], _Pod] = {}

    def update(self, batch: Batch) -> None:
        for point in batch.points:
            own = named(point.labels)
            added = self._increments.of(point)
            place = own.get("k8s.namespace.name", ""), own.get("k8s.pod.name", "")
            if place[1] in ("", OTHER):
                continue
            if point.metric in _TOKENS:
                if own.get("gen_ai.token.type") == "output" and (pod := self._pods.get(place)) is not None:
                    pod.tokens[point.metric].add(added, batch.at)
                continue
            pod = self._see(place, batch.at)
            if point.metric is devices.ENERGY:
                pod.energy.add(added, batch.at)
                pod.metered[own.get("hw.id", "")] = batch.at
            else:
                pod.seconds.add(added, batch.at)
                pod.held[own.get("hw.id", "")] = batch.at
                self._charge(pod, own, added, batch.at)
        self._increments.forget(batch)

    def _see(self, place: tuple[str, str], now: float) -> _Pod:
        pod = self._pods.get(place)
        if pod is None:
            name = "/".join(part for part in place if part)
            limit = next((line for line in self._config.limits if fnmatchcase(name, line.pod)), None)
            pod = self._pods[place] = _Pod(self._config.window_seconds / _SPANS, limit, now)
        pod.seen_at = now
        return pod

    def _charge(self, pod: _Pod, own: Mapping[str, str], seconds: float, now: float) -> None:
        model = own.get("hw.model", "").casefold()
        price = next((line for line in self._config.prices if fnmatchcase(model, line.model.casefold())), None)
        if price is None:
            return
        cost = seconds / _HOUR * price.per_hour
        pod.cost[price.currency].add(cost, now)
        names = efficiency.DEVICE_COST.labels[:-1]
        labels = (*((name, own[name]) for name in names if name in own), ("currency", price.currency))
        pod.pending[labels] += cost

    def assess(self, now: float) -> list[Assessment]:
        assessments = []
        for place, pod in list(self._pods.items()):
            if now < pod.seen_at:  # the clock was set back
                pod.seen_at = pod.since = now
            assessments.append(self._judge(place, pod, now))
            if now - pod.seen_at > FORGET_SECONDS:
                del self._pods[place]
        return assessments

    def _judge(self, place: tuple[str, str], pod: _Pod, now: float) -> Assessment:
        subject = tuple((label, value) for label, value in zip(efficiency.POD, place, strict=True) if value)
        samples = [Sample(efficiency.DEVICE_COST, cost, now, labels) for labels, cost in pod.pending.items()]
        pod.pending.clear()
        taken = self._taken(pod, now) if now - pod.since >= self._config.window_seconds else None
        if taken is None:
            state = pod.ladder.update(0.0, now)
            verdict = Verdict(State.WARMING if state is State.OK else state, 0.0, 1.0)
            return Assessment(subject=subject, verdict=verdict, samples=tuple(samples))
        samples += _samples(taken, subject, now)
        score, limit, unit = _worst(taken, pod.limit)
        state = pod.ladder.update(score / limit, now)
        verdict = Verdict(state, score, limit)
        if state is State.OK:
            return Assessment(subject=subject, verdict=verdict, samples=tuple(samples))
        tokens = pod.output_tokens(now, self._config.window_seconds) / self._config.window_seconds
        return Assessment(
            subject=subject,
            verdict=verdict,
            summary=f"an output token of pod {'/'.join(part for part in place if part)} takes {score:.3g} {unit}, "
            f"{limit:g} is the limit",
            action="compare the batch size first: few requests at a time make each token dearer; at the same load look "
            "for a new engine or driver version, a lost prefix cache, or a straggler",
            evidence=(f"{tokens:.1f} output tokens a second on {len(pod.held)} devices",),
            since=pod.ladder.since,
            samples=tuple(samples),
        )

    def _taken(self, pod: _Pod, now: float) -> _Taken | None:
        seconds = self._config.window_seconds
        tokens = pod.output_tokens(now, seconds)
        if tokens < self._config.least_tokens:
            return None
        held = pod.seconds.total(now, seconds)
        energy = pod.energy.total(now, seconds) if pod.has_all_energy(now, seconds) else 0.0
        cost = tuple((currency, spans.total(now, seconds) / tokens) for currency, spans in pod.cost.items())
        return _Taken(energy / tokens if energy else None, held / tokens if held else None, cost)


def _samples(taken: _Taken, subject: Labels, now: float) -> list[Sample]:
    samples = [
        Sample(efficiency.DEVICE_COST_PER_TOKEN, cost, now, (*subject, ("currency", c))) for c, cost in taken.cost
    ]
    if taken.joules is not None:
        samples.append(Sample(efficiency.ENERGY_PER_TOKEN, taken.joules, now, subject))
    if taken.device_seconds is not None:
        samples.append(Sample(efficiency.DEVICE_TIME_PER_TOKEN, taken.device_seconds, now, subject))
    return samples


def _worst(taken: _Taken, limit: TokenLimit | None) -> tuple[float, float, str]:
    """Number, limit and unit of what is nearest to its limit; the limit is infinite where none was stated."""
    pairs = [
        (taken.joules, limit.joules_per_token if limit else None, "J"),
        (taken.device_seconds, limit.device_seconds_per_token if limit else None, "device-seconds"),
    ]
    stated = [(value, most, unit) for value, most, unit in pairs if value is not None and most is not None]
    return max(stated, key=lambda pair: pair[0] / pair[1], default=(taken.joules or 0.0, float("inf"), "J"))


PLUGIN: Final = Plugin(
    name="efficiency",
    summary="Energy, device time and money per output token of a pod.",
    config=EfficiencyConfig,
    build=Efficiency,
    metrics=efficiency.METRICS,
    reads=(devices.ENERGY, devices.ALLOCATED_TIME, *_TOKENS),
    roles=("run", "node"),
    interval_seconds=lambda config: config.interval_seconds,
)
