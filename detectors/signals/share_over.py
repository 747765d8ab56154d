"""
More calls miss an objective than it allows: too slow, or failed.

Of every service and model each objective is judged apart. Every `interval_seconds` the calls that ended are counted,
those over the bound too, from totals of histograms (or of requests by outcome); no percentile is ever averaged.
Evidence is `detectors.drift.rate` with the band [0, 1 - objective]: while the share of bad calls, whatever went before,
is within the objective, all objectives of all services together raise at most one finding in `false_alarm_days` on
average. The k-th to come has the share 1 / (k (k + 1)) of that, so that they sum to 1 however many come.

A crossing with `least_calls` bad ones since the onset is a warning; one that comes `alarm_seconds` after the onset or
later is an alarm. Both end when nothing has crossed for 30 minutes and the share over them is within the objective.

Latencies are counted in buckets: a call is over when it is surely over, that is beyond the first bucket edge at or
above `bound_seconds`; nothing is interpolated. A bound that is no edge of the metric is a mistake in the configuration;
an engine whose own buckets lack it is judged by its next higher edge, which the finding names. A call that two
observers see is counted by one of them, the nearest to the user (client, tap, engine, page) that told of any within 10
minutes: twice the same call would be twice the evidence.

Catches: every call failing, 4 calls after the 10th at most; 5 % where 1 % is allowed, after about 500 calls. Misses: a
share that stays within the objective, however new; an engine whose edges end below the bound; means without buckets.
A burst of bad calls counts like any other, and near-copies of one call (retries) as many: that is what `alarm_seconds`
and `least_calls` are for. Keeps about 10 kB for each objective of a service and model.
"""

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.vocabulary import requests

if TYPE_CHECKING:
    from detectors.signals._objectives import ShareOver

AVAILABILITY: Final = "availability"
LATENCIES: Final[dict[str, tuple[Metric, ...]]] = {
    "duration": (requests.SERVER_DURATION, requests.CLIENT_DURATION),
    "time_to_first_token": (requests.SERVER_FIRST_TOKEN, requests.CLIENT_FIRST_CHUNK),
    "time_per_output_token": (requests.SERVER_PER_TOKEN,),
}
"""what tells each: watchkeeper's own measurement first, whose edges a bound must be one of"""


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What share of the calls of some services must be good."""

    metric: Literal["availability", "duration", "time_to_first_token", "time_per_output_token"]
    """what makes a call bad: it fails (error, timeout, refused for lack of capacity), or takes longer than the bound"""
    objective: Annotated[float, msgspec.Meta(ge=0.5, le=0.99999)] = 0.99
    """share of calls that must be good"""
    bound_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """of a latency: longer is bad; an edge of the metric's buckets"""
    namespace: str = "*"
    """Kubernetes namespace, with `*` for anything"""
    service: str = "*"
    """service.name, with `*` for anything"""
    model: str = "*"
    """the model that is asked for, with `*` for anything"""
    name: str = ""
    """label of the finding; of lines with one name the first that fits a service holds. Empty: `metric`"""

    @property
    def label(self) -> str:
        return self.name or self.metric

    def fits(self, namespace: str, service: str, model: str) -> bool:
        said = ((namespace, self.namespace), (service, self.service), (model, self.model))
        return all(fnmatchcase(value, pattern) for value, pattern in said)


class ShareOverConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Calls that miss an objective."""

    enabled: bool = True
    """False: objectives are not judged"""
    objectives: tuple[Objective, ...] = (Objective(AVAILABILITY),)
    """by default that 99 % of calls succeed; bounds on latency are yours to state"""
    false_alarm_days: Annotated[float, msgspec.Meta(gt=0)] = 300.0
    """days in which all objectives together raise at most one finding without cause, on average"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=600)] = 10.0
    """calls that end in so long are judged together"""
    alarm_seconds: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    """what goes on for less stays a warning"""
    least_calls: Annotated[int, msgspec.Meta(ge=1)] = 10
    """fewer bad calls since it began raise nothing"""


def problems(config: ShareOverConfig) -> tuple[str, ...]:
    """Bounds that are missing, superfluous, or no bucket's edge; one name for two things."""
    found = []
    metrics: dict[str, str] = {}
    for index, line in enumerate(config.objectives):
        path = f"signals.share_over.objectives[{index}]"
        if said := _mistake(line):
            found.append(f"{path}.bound_seconds: {said}")
        if metrics.setdefault(line.label, line.metric) != line.metric:
            found.append(f"{path}.name: {line.label} names {metrics[line.label]} already; take another")
    return tuple(found)


def _mistake(line: Objective) -> str:
    if line.metric == AVAILABILITY:
        return "availability has no bound; leave it out" if line.bound_seconds is not None else ""
    edges = LATENCIES[line.metric][0].buckets
    if line.bound_seconds is None:
        return f"missing; give the seconds that {line.metric} may take, one of {_listed(edges)}"
    if line.bound_seconds in edges:
        return ""
    near = [max((edge for edge in edges if edge < line.bound_seconds), default=None)]
    near.append(min((edge for edge in edges if edge > line.bound_seconds), default=None))
    nearest = " or ".join(f"{edge:g}" for edge in near if edge is not None)
    return f"{line.bound_seconds:g} is no bucket edge of {line.metric}, so it cannot be counted; take {nearest}"


def _listed(edges: tuple[float, ...]) -> str:
    return ", ".join(f"{edge:g}" for edge in edges)


def build(config: ShareOverConfig, ledger: Ledger) -> "ShareOver":
    """:raises ConfigError: a bound that cannot be counted"""
    from detectors.signals._objectives import ShareOver

    if found := problems(config):
        raise ConfigError(*found)
    return ShareOver(config, ledger)


PLUGIN: Final = Plugin(
    name="share_over",
    summary="More calls miss an objective (latency, availability) than it allows.",
    config=ShareOverConfig,
    build=build,
    reads=(requests.REQUESTS, *(metric for metrics in LATENCIES.values() for metric in metrics)),
    roles=("run", "sidecar", "gateway", "detector"),
    interval_seconds=lambda config: config.interval_seconds,
    problems=problems,
)
