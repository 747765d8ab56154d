"""What alerts are told apart by: labels for `by (...)`, for words and for links, in one place."""

from typing import Final

import msgspec

from dashboards.alert import Text
from dashboards.values import Values

NAMESPACE: Final = "k8s_namespace_name"
POD: Final = "k8s_pod_name"
SERVICE: Final = "service_name"
MODEL: Final = "gen_ai_request_model"
TENANT: Final = "tenant"
DEVICE: Final = "hw_id"

OF_SEGMENT: Final = Text(
    f"{{{NAMESPACE}}}/{{{SERVICE}}} model {{{MODEL}}}", f"{{{NAMESPACE}}}/{{{SERVICE}}} 模型 {{{MODEL}}}"
)


class Scope(msgspec.Struct, frozen=True):
    """Labels by subject, each with what `values` adds to tell clusters apart."""

    extra: tuple[str, ...]
    node_label: str

    @property
    def segment(self) -> tuple[str, ...]:
        """What users see as one: a service and its model."""
        return (*self.extra, NAMESPACE, SERVICE, MODEL)

    @property
    def engine(self) -> tuple[str, ...]:
        """One replica."""
        return (*self.segment, POD)

    @property
    def pod(self) -> tuple[str, ...]:
        return (*self.extra, NAMESPACE, POD)

    @property
    def node(self) -> tuple[str, ...]:
        return (*self.extra, self.node_label)

    @property
    def device(self) -> tuple[str, ...]:
        return (*self.node, "hw_vendor", "hw_name", DEVICE)

    @property
    def of_device(self) -> Text:
        where = f"{{{self.node_label}}}"
        return Text(f"{{hw_vendor}} {{hw_name}} of {where}", f"节点 {where} 的 {{hw_vendor}} {{hw_name}} 号卡")

    @property
    def of_node(self) -> str:
        return f"{{{self.node_label}}}"


def scope_of(values: Values) -> Scope:
    return Scope(values.extra_labels, values.node_label)


def listed(labels: tuple[str, ...]) -> str:
    """For `by (...)` and `on (...)`: each once, also where nodes are told apart by `instance`."""
    return ", ".join(dict.fromkeys(labels))
