"""What all dashboards share: variables that chain, selectors by them, events, ways from one to another."""

from typing import Final

import msgspec

from dashboards.alert import Text
from dashboards.alerts.slo import OBJECTIVE, VANTAGES
from dashboards.grafana.board import Event, Jump, Shown, Variable
from dashboards.promql import ALERTS, Match, PromqlError, Recorded, Series, labels_of, like, m, r
from dashboards.scope import DEVICE, MODEL, NAMESPACE, POD, SERVICE, TENANT, Scope, listed, scope_of
from dashboards.values import Values
from watchkeeper.core.metric import Metric
from watchkeeper.core.vocabulary import cost, devices, drift, engines, health, outputs, requests, signals

RATE: Final = "$__rate_interval"
SEGMENT: Final = ("namespace", "service", "model")
ENGINE: Final = (*SEGMENT, "pod")
CARD: Final = ("node", "device")

_TITLES: Final = {
    "namespace": Text("Namespace", "命名空间"), "service": Text("Service", "服务"), "model": Text("Model", "模型"),
    "pod": Text("Pod", "Pod"), "node": Text("Node", "节点"), "device": Text("Device", "设备"),
    "slo": Text("Objective", "目标"), "signal": Text("Signal", "信号"), "check": Text("Check", "检测"),
    "tenant": Text("Tenant", "租户"), "source": Text("Source", "数据源"), "currency": Text("Currency", "货币"),
    "role": Text("Role", "角色"),
}  # fmt: skip
LABELS: Final = {
    "namespace": NAMESPACE, "service": SERVICE, "model": MODEL, "pod": POD, "device": DEVICE, "tenant": TENANT,
    "signal": "signal", "slo": "slo", "check": "check", "source": "source", "currency": "currency", "role": "role",
}  # fmt: skip
"""label that each variable narrows, but for the node's, which is a value"""

FIRING: Final = (Shown(1, Text("firing", "触发"), "red"),)
STATES: Final = (
    Shown(0, Text("well", "正常"), "green"), Shown(1, Text("warning", "警告"), "yellow"),
    Shown(2, Text("alarm", "告警"), "red"),
)  # fmt: skip
YES: Final = (Shown(1, Text("up", "在线"), "green"), Shown(0, Text("down", "离线"), "red"))

C_NAMESPACE: Final = (NAMESPACE, _TITLES["namespace"])
C_SERVICE: Final = (SERVICE, _TITLES["service"])
C_MODEL: Final = (MODEL, _TITLES["model"])
C_POD: Final = (POD, _TITLES["pod"])
C_DEVICE: Final = (DEVICE, Text("Device id", "设备 ID"))
C_CARD: Final = ("hw_name", Text("Card", "卡号"))
C_SEGMENT: Final = (C_NAMESPACE, C_SERVICE, C_MODEL)


class Narrow(msgspec.Struct, frozen=True):
    """Selectors for one set of values."""

    values: Values

    @property
    def scope(self) -> Scope:
        return scope_of(self.values)

    @property
    def node(self) -> str:
        return self.values.node_label

    @property
    def segment(self) -> str:
        """For `by (...)`: services and models."""
        return listed(self.scope.segment)

    @property
    def card(self) -> str:
        return listed(self.scope.device)

    def by(self, *labels: str) -> str:
        return listed((*self.scope.extra, *labels))

    def m(
        self, metric: Metric, variables: tuple[str, ...], part: str = "", /, **matchers: str | Match | tuple[Match, ...]
    ) -> Series:
        """A metric, narrowed by variables. :raises PromqlError: it has no label for one of them"""
        known = labels_of(metric, part)
        return self._with(m(metric, part, **matchers), known, variables)

    def r(self, recorded: Recorded, variables: tuple[str, ...], /, **matchers: str | Match) -> Series:
        """The same of a recorded series."""
        return self._with(r(recorded, **matchers), recorded.labels, variables)

    def _with(self, series: Series, known: frozenset[str], variables: tuple[str, ...]) -> Series:
        more = [(label, like(f"${label}")) for label in self.values.extra_labels]
        for name in variables:
            label = self.label(name)
            if label not in known and name != "node":
                raise PromqlError(f"{series.name} has no label {label} for the variable {name}")
            more.append((label, like(f"${name}")))
        return Series(series.name, (*more, *series.matchers))

    def label(self, variable: str) -> str:
        return self.node if variable == "node" else LABELS[variable]

    def rate(self, metric: Metric, variables: tuple[str, ...], by: str, **matchers: str | Match) -> str:
        """Events a second, added up."""
        return (
            f"sum by ({by}) (rate({self.m(metric, variables, **matchers)[RATE]}))"
            if by
            else (f"sum(rate({self.m(metric, variables, **matchers)[RATE]}))")
        )

    def quantile(
        self, share: float, metric: Metric, variables: tuple[str, ...], by: str = "", window: str = RATE,
        **matchers: str | Match,
    ) -> str:  # fmt: skip
        """Of a histogram whose replicas are added up first."""
        buckets = self.m(metric, variables, "bucket", **matchers)[window]
        return f"histogram_quantile({share:g}, sum by ({', '.join(filter(None, ('le', by)))}) (rate({buckets})))"

    def nearest(self, share: float, metric: Metric, variables: tuple[str, ...], by: str, window: str) -> str:
        """A quantile from the best vantage that a service has, never from a mixture."""
        return "\nor\n".join(
            self.quantile(share, metric, variables, by, window, watchkeeper_vantage=vantage) for vantage in VANTAGES
        )

    def variables(self, *names: str) -> tuple[Variable, ...]:
        """Chained: each is looked up among what those before it leave."""
        made: list[Variable] = []
        chosen = [f'{label}=~"${label}"' for label in self.values.extra_labels]
        for index, label in enumerate(self.values.extra_labels):
            made.append(Variable(label, Text(label, label), _values_of((health.BUILD_INFO,), chosen[:index], label)))
        seen: list[str] = []
        for name in names:
            metrics, parents = _SOURCES[name]
            before = [f'{self.label(one)}=~"${one}"' for one in parents if one in seen]
            made.append(Variable(name, _TITLES[name], _values_of(metrics, [*chosen, *before], self.label(name))))
            seen.append(name)
        return tuple(made)

    def events(self, *names: str) -> tuple[Event, ...]:
        """`versions`, `findings`, `pages`, `references`, `faults`."""
        return tuple(self._event(name) for name in names)

    def _event(self, name: str) -> Event:
        if name == "versions":
            by = listed((*self.scope.segment, "gen_ai_response_model"))
            now = self.m(requests.REQUESTS, SEGMENT)
            return Event(
                Text("New model versions", "新模型版本"),
                f"group by ({by}) ({now}) unless on ({by}) group by ({by}) (last_over_time({now}[1h] offset 10m))"
                f" and on ({self.segment}) group by ({self.segment}) ({now} offset 10m)",
                "{{service_name}}: {{gen_ai_response_model}}", "blue",
            )  # fmt: skip
        if name == "findings":
            rises = f"increase({self.m(signals.FINDINGS, ())[RATE]})"
            return Event(Text("Findings", "发现"), f"sum by ({self.by('signal', 'severity')}) ({rises}) > 0",
                         "{{severity}}: {{signal}}", "orange")  # fmt: skip
        if name == "pages":
            selected = f'{ALERTS}{{component="watchkeeper",severity="critical",alertstate="firing"}}'
            return Event(Text("Pages", "紧急告警"), f"group by ({self.by('alertname')}) ({selected})",
                         "{{alertname}}", "red")  # fmt: skip
        if name == "references":
            by = self.by(*self.scope.segment[len(self.scope.extra) :], "signal", "reference")
            now = self.m(drift.REFERENCE_TIME, SEGMENT)
            return Event(
                Text("New references", "新参照"),
                f"group by ({by}) ({now}) unless on ({by}) group by ({by}) (last_over_time({now}[1h] offset 10m))"
                f" and on ({self.segment}) group by ({self.segment}) ({now} offset 10m)",
                "{{signal}}: {{reference}}", "purple",
            )  # fmt: skip
        rises = f"increase({self.m(devices.FAULTS, CARD)[RATE]})"
        return Event(Text("Device faults", "设备故障"),
                     f"sum by ({self.card}, fault_class, severity) ({rises}) > 0",
                     "{{severity}}: {{fault_class}}, {{hw_vendor}} {{hw_name}}", "red")  # fmt: skip


_WHO: Final = (requests.REQUESTS, engines.ENGINE_UP)
_SOURCES: Final[dict[str, tuple[tuple[Metric | Recorded, ...], tuple[str, ...]]]] = {
    "namespace": (_WHO, ()),
    "service": (_WHO, ("namespace",)),
    "model": (_WHO, SEGMENT[:2]),
    "pod": (_WHO, SEGMENT),
    "node": ((devices.UP, health.BUILD_INFO), ()),
    "device": ((devices.UP,), ("node",)),
    "slo": ((OBJECTIVE,), ("namespace", "service", "model")),
    "signal": ((drift.STATE, drift.OBSERVATIONS), SEGMENT),
    "check": ((outputs.CHECKED,), SEGMENT),
    "tenant": ((requests.TOKENS,), SEGMENT),
    "source": ((health.RECEIVED,), ()),
    "currency": ((cost.COST,), ()),
    "role": ((health.BUILD_INFO,), ("node",)),
}
"""where a variable's values are found, and which others narrow it"""


def _values_of(metrics: tuple[Metric | Recorded, ...], matchers: list[str], label: str) -> str:
    names = [one.name if isinstance(one, Recorded) else one.prometheus_name for one in metrics]
    if len(names) > 1:
        matchers = [f'__name__=~"{"|".join(names)}"', *matchers]
    inside = f"{{{','.join(matchers)}}}" if matchers else ""
    return f"label_values({names[0] if len(names) == 1 else ''}{inside}, {label})"


_OPEN_SERVICE: Final = Text("Open the model service", "打开模型服务")
TO_POD: Final = Jump("wk-service", _OPEN_SERVICE, (("namespace", NAMESPACE), ("pod", POD)))
TO_SERVICE: Final = Jump("wk-service", _OPEN_SERVICE, (
    ("namespace", NAMESPACE), ("service", SERVICE), ("model", MODEL),
))  # fmt: skip


def to_node(narrow: Narrow) -> Jump:
    return Jump("wk-node", Text("Open the node", "打开节点"), (("node", narrow.node), ("device", DEVICE)))


def to_drift() -> Jump:
    return Jump("wk-drift", Text("Open drift", "打开漂移"), (
        ("namespace", NAMESPACE), ("service", SERVICE), ("model", MODEL), ("signal", "signal"),
    ))  # fmt: skip
