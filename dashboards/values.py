"""
What an operator may set of rules and routing: objectives, thresholds, selectors. One YAML file, given with `--values`.

A value that would make a rule that can never fire, or that always does, is refused with the nearest one that works.
"""

import re
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Final, Literal

import msgspec

from dashboards.durations import duration, seconds
from watchkeeper.core.metric import Metric
from watchkeeper.core.vocabulary import engines, requests

Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Sli = Literal["availability", "ttft", "tpot"]
Paging = Literal["critical", "warning"]

LATENCIES: Final[dict[str, Metric]] = {"ttft": requests.SERVER_FIRST_TOKEN, "tpot": requests.SERVER_PER_TOKEN}
"""what an SLO's `seconds` is an edge of"""
MOST_OF_ALL: Final = 0.9
"""a burn alert that needs a larger share of bad events than this is taken as one that never fires"""
SCRAPES_IN_A_WINDOW: Final = 4
"""a rate over fewer scrapes is empty when one is missed"""
SHORTEST_WINDOW_SECONDS: Final = 300.0
LONGEST_LOOK_BACK_SECONDS: Final = 7 * 86_400.0 + 3_600.0
"""over which the rules compare: refusals, energy and tokens with last week's"""


class Slo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One objective for the services that it selects. Selectors are regular expressions of whole labels, '' = any."""

    name: str
    """short and unique: the label `slo` of its rules"""
    sli: Sli
    """availability, ttft (time to first token) or tpot (time per output token)"""
    objective: Share
    """share of good requests that is promised"""
    seconds: float = 0.0
    """of ttft and tpot: slower is bad; an edge of the metric's buckets"""
    namespace: str = ""
    """namespaces"""
    service: str = ""
    """services"""
    model: str = ""
    """models"""


class Burn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An alert when so much of the period's budget is spent within the long window, and still is in the short one."""

    severity: Paging
    """critical pages, warning is a ticket"""
    budget_share: Share
    """of the period's budget"""
    long: str
    """window, such as 1h"""
    short: str
    """window, such as 5m"""


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A service that must be seen: silence of one that was never there is told too."""

    service: str
    """its name"""
    model: str = ""
    """its model"""
    namespace: str = ""
    """its namespace"""


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Money for a month."""

    amount: Positive
    """in units of `currency`"""
    currency: str
    """as the price list has it"""
    namespace: str = ""
    """regular expression of namespaces that share it; '' = all"""


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Starting values; every one is to be argued with. Shares are between 0 and 1."""

    queue_share: Positive = 0.25
    """requests waiting over requests running"""
    queue_seconds: Positive = 1.0
    """of 95 % of requests in the engine's queue"""
    kv_cache_share: Share = 0.95
    """KV cache in use while requests wait"""
    preemption_share: Positive = 0.1
    """preemptions over finished requests"""
    application_faults: Count = 3
    """of one device within an hour"""
    broad_drift_signals: Annotated[int, msgspec.Meta(ge=2)] = 3
    """signals of one model that drift at once"""
    invalid_input_share: Share = 0.05
    """requests that are the client's mistake, over all"""
    unsafe_share: Share = 0.01
    """answers marked as unsafe, over those checked in an hour"""
    leaked_secrets: Count = 3
    """answers with a secret within 15 minutes; a canary needs only one"""
    personal_data_share: Share = 0.02
    """answers with personal data, over those checked in an hour"""
    degenerate_share: Share = 0.05
    """answers that loop, are empty or garbled, over those checked in 15 minutes"""
    refusal_rise: Annotated[float, msgspec.Meta(gt=1)] = 2.0
    """share of refusals over that of the week before"""
    refusal_fall: Share = 0.3
    """the same, downwards"""
    unchecked_share: Share = 0.05
    """answers that a check failed on or dropped, over all it was asked about"""
    least_answers: Count = 200
    """checked in an hour, below which no share of answers is judged"""
    token_rise: Annotated[float, msgspec.Meta(gt=1)] = 3.0
    """tokens of a tenant in an hour over those of the same hour last week"""
    least_tokens: Count = 1_000_000
    """in an hour, below which a rise is nobody's trouble"""
    energy_rise: Annotated[float, msgspec.Meta(gt=1)] = 1.5
    """energy per output token over the week's median"""
    dropped_share: Share = 0.01
    """items lost inside watchkeeper, over those received"""
    reference_days: Positive = 90.0
    """age at which a reference of drift has to be looked at again"""
    certificate_days: Positive = 14.0
    """left to a certificate that one of watchkeeper's ports shows, below which it is to be renewed"""
    silent_seconds: Annotated[float, msgspec.Meta(ge=300)] = 600.0
    """without a record from a source that brought some"""
    mute_seconds: Annotated[float, msgspec.Meta(ge=600)] = 7200.0
    """for so long a cause that has paged mutes pages about the budget of its model; then they are heard again"""


class Waits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long Alertmanager gathers before it tells, in seconds. Longer for what can wait: one message tells more."""

    page_seconds: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    """of pages: what fails at once comes as one"""
    ticket_seconds: Annotated[float, msgspec.Meta(ge=0)] = 300.0
    """of tickets: a page that explains them comes first"""
    update_seconds: Positive = 300.0
    """between two messages about one group"""
    repeat_seconds: Positive = 14_400.0
    """a page that is still true is told again"""


class Receivers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses (webhooks). A receiver without one is named in the routing and sends nothing: fill it in yourself."""

    pager: str = ""
    """pages"""
    tickets: str = ""
    """tickets of services and of watchkeeper itself"""
    hardware: str = ""
    """tickets of accelerators, one for a node"""
    governance: str = ""
    """pages and tickets about what models say and what drifts"""
    cost: str = ""
    """about money"""
    deadman: str = ""
    """is told of the heartbeat every minute, and pages when that stops"""


class Values(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every key has a default: an empty file is valid."""

    job: str = "watchkeeper"
    """Prometheus's job that scrapes watchkeeper"""
    node_label: str = "node"
    """label of the series that names the node, as scraping adds it; where nothing does, `instance`"""
    extra_labels: tuple[str, ...] = ()
    """labels that tell apart what has the same names, as `cluster` where one Prometheus holds several"""
    scrape_seconds: Positive = 30.0
    """between two scrapes"""
    evaluation_seconds: Positive = 30.0
    """between two evaluations of these rules"""
    retention_days: Positive = 15.0
    """for which Prometheus keeps series"""
    period_days: Positive = 30.0
    """for which an error budget is meant; burn factors follow from it"""
    budget_days: Positive = 14.0
    """over which the rest of a budget is counted; as long as the period where retention allows"""
    min_bad_events: Count = 10
    """bad requests in an hour, below which no burn pages"""
    slos: tuple[Slo, ...] = (
        Slo("availability", "availability", 0.995),
        Slo("first-token", "ttft", 0.95, 2.5),
        Slo("output-token", "tpot", 0.95, 0.1),
    )
    """objectives"""
    burns: tuple[Burn, ...] = (
        Burn("critical", 0.02, "1h", "5m"),
        Burn("critical", 0.05, "6h", "30m"),
        Burn("warning", 0.1, "1d", "2h"),
        Burn("warning", 0.1, "3d", "6h"),
    )
    """when a budget burns too fast"""
    thresholds: Thresholds = Thresholds()
    """when the rest is too much"""
    expected: tuple[Expected, ...] = ()
    """services that must be seen"""
    budgets: tuple[Budget, ...] = ()
    """money; without any no forecast is made"""
    leave_out: tuple[str, ...] = ()
    """alerts left out, by name"""
    hold: dict[str, str] = {}
    """by alert: how long it must be true before it fires, such as {WatchkeeperQueueSaturated: 20m}"""
    grafana_url: str = ""
    """begins the links to dashboards, such as https://grafana.example.org"""
    runbooks_url: str = ""
    """begins the links to runbooks: where the folder dashboards/runbooks is published"""
    waits: Waits = Waits()
    """of Alertmanager"""
    receivers: Receivers = Receivers()
    """of Alertmanager"""

    @property
    def added_labels(self) -> frozenset[str]:
        return frozenset((self.node_label, *self.extra_labels))

    def factor(self, burn: Burn) -> float:
        """How many times faster than allowed the budget burns when `burn` fires."""
        return burn.budget_share * self.period_days * 86_400 / seconds(burn.long)


DEFAULTS: Final = Values()


def problems(values: Values) -> tuple[str, ...]:
    """Every value that would make a rule dead or deafening: which, why, and the nearest that works."""
    return tuple(chain(_labels(values), _times(values), _slos(values), _burns(values), _thresholds(values)))


def _labels(values: Values) -> Iterator[str]:
    named = [("node_label", values.node_label), *(("extra_labels", label) for label in values.extra_labels)]
    for key, label in named:
        if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label):
            yield f"{key}: '{label}' is no name of a label: letters, digits, underscores"


def _times(values: Values) -> Iterator[str]:
    longest = SHORTEST_WINDOW_SECONDS / SCRAPES_IN_A_WINDOW
    if values.scrape_seconds > longest:
        yield (
            f"scrape_seconds: at {values.scrape_seconds:g} the rates over {duration(SHORTEST_WINDOW_SECONDS)} have"
            f" fewer than {SCRAPES_IN_A_WINDOW} scrapes and empty when one is missed; nearest that works: {longest:g}"
        )
    kept = values.retention_days * 86_400
    if kept < LONGEST_LOOK_BACK_SECONDS:
        yield (
            f"retention_days: rules compare with the week before, {values.retention_days:g} days hold none; nearest"
            f" that works: {-(-LONGEST_LOOK_BACK_SECONDS // 86_400):g}"
        )
    if values.budget_days > values.retention_days:
        yield (
            f"budget_days: {values.budget_days:g} days are longer than retention_days, so a part is never counted;"
            f" nearest that works: {values.retention_days:g}"
        )
    for alert, text in values.hold.items():
        held = _seconds(text)
        if held is None:
            yield f"hold.{alert}: '{text}' is no duration; write a whole number and s, m, h or d, such as 10m"
        elif 0 < held < (least := max(values.scrape_seconds, values.evaluation_seconds)):
            yield (
                f"hold.{alert}: {text} is shorter than a scrape or evaluation ({least:g} s), so it would hold nothing;"
                f" nearest that works: {duration(least)}"
            )


def _slos(values: Values) -> Iterator[str]:
    seen: set[str] = set()
    for index, slo in enumerate(values.slos):
        path = f"slos[{index}]"
        if slo.name in seen or not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", slo.name):
            yield f"{path}.name: '{slo.name}' must be unique, of lower-case letters, digits and hyphens"
        seen.add(slo.name)
        for key in ("namespace", "service", "model"):
            yield from _pattern(f"{path}.{key}", getattr(slo, key))
        metric = LATENCIES.get(slo.sli)
        if metric is not None and slo.seconds not in metric.buckets:
            near = min(metric.buckets, key=lambda bound: abs(bound - slo.seconds))
            yield (
                f"{path}.seconds: {slo.seconds:g} is no edge of the buckets of {metric.prometheus_name}, so what is"
                f" slower cannot be counted; nearest that works: {near:g}"
            )
        for burn in values.burns:
            yield from _reachable(values, f"{path}.objective", slo, burn)


def _reachable(values: Values, path: str, slo: Slo, burn: Burn) -> Iterator[str]:
    if _seconds(burn.long) in (None, 0.0):
        return
    factor = values.factor(burn)
    needed = factor * (1 - slo.objective)
    if needed > MOST_OF_ALL:
        least = 1 - MOST_OF_ALL / factor
        nearest = -(-least * 10_000 // 1) / 10_000
        yield (
            f"{path}: with {slo.objective:g} the {burn.severity} alert over {burn.long} (burn factor {factor:g}) needs"
            f" {needed:.0%} of requests to be bad and never fires (limit {MOST_OF_ALL:.0%}); nearest that works:"
            f" {nearest:g}"
        )


def _burns(values: Values) -> Iterator[str]:
    kept = values.retention_days * 86_400
    for index, burn in enumerate(values.burns):
        path = f"burns[{index}]"
        windows = {key: _seconds(getattr(burn, key)) for key in ("long", "short")}
        for key, length in windows.items():
            if not length:
                yield f"{path}.{key}: '{getattr(burn, key)}' is no window; write a number and m, h or d, such as 1h"
            elif length > kept:
                yield (
                    f"{path}.{key}: {getattr(burn, key)} is longer than Prometheus keeps series (retention_days"
                    f" {values.retention_days:g}); nearest that works: {values.retention_days:g}d"
                )
            elif length < SHORTEST_WINDOW_SECONDS:
                yield f"{path}.{key}: {getattr(burn, key)} is shorter than 5m, the step of what is recorded; use 5m"
        long, short = windows["long"], windows["short"]
        if long and short and short >= long:
            yield f"{path}.short: {burn.short} must be shorter than {burn.long}: it says that the burning goes on"
        if long and (factor := values.factor(burn)) < 1:
            least = long / (values.period_days * 86_400)
            yield (
                f"{path}.budget_share: {burn.budget_share:g} over {burn.long} is a burn factor of {factor:.2g}: it"
                f" would fire while the budget lasts; nearest that works: {least:.4g}"
            )


def _thresholds(values: Values) -> Iterator[str]:
    last = engines.QUEUE_TIME.buckets[-1]
    if values.thresholds.queue_seconds >= last:
        yield (
            f"thresholds.queue_seconds: {values.thresholds.queue_seconds:g} is beyond the last bucket ({last:g}), which"
            f" no quantile passes; nearest that works: {engines.QUEUE_TIME.buckets[-2]:g}"
        )
    seen: set[str] = set()
    for index, budget in enumerate(values.budgets):
        yield from _pattern(f"budgets[{index}].namespace", budget.namespace)
        key = f"{budget.currency} {budget.namespace}"
        if not budget.currency or key in seen:
            yield f"budgets[{index}]: one budget for each currency and namespaces, and a currency for each"
        seen.add(key)


def _pattern(path: str, pattern: str) -> Iterator[str]:
    try:
        re.compile(pattern)
    except re.error as error:
        yield f"{path}: '{pattern}' is no regular expression: {error}"


def _seconds(text: str) -> float | None:
    try:
        return seconds(text)
    except ValueError:
        return None
