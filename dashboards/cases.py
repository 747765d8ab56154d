"""Input series of test cases, from objects of the vocabulary: a case too can only name what exists."""

from typing import Final

from dashboards.alert import Case, Fired, Severity
from dashboards.promql import UP, PromqlError, labels_of
from watchkeeper.core.metric import Metric

NODE: Final = "node"
"""label that scraping adds, with default values"""
CHAT: Final = {"k8s_namespace_name": "ml", "service_name": "chat", "gen_ai_request_model": "qwen"}
"""the service of most cases"""
CARD: Final = {"node": "n1", "hw_vendor": "nvidia", "hw_name": "0", "hw_id": "GPU-1"}
"""the device of most cases"""


def given(metric: Metric, values: str, part: str = "", /, **labels: str) -> tuple[str, str]:
    """
    One input series.

    :param values: in promtool's notation, a value a minute: `0+5x60`
    :raises PromqlError: the metric has no such label
    """
    known = labels_of(metric, part) | {NODE}
    if unknown := labels.keys() - known:
        raise PromqlError(f"{metric.prometheus_name} has no label {', '.join(sorted(unknown))}")
    name = f"{metric.prometheus_name}_{part}" if part else metric.prometheus_name
    return series(name, values, **labels)


def up(values: str, **labels: str) -> tuple[str, str]:
    return series(UP, values, **labels)


def series(name: str, values: str, **labels: str) -> tuple[str, str]:
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{inside}}}", values


def timed(
    metric: Metric, edge: float, fast: int, slow: int, steps: int, /, **labels: str
) -> tuple[tuple[str, str], ...]:
    """A histogram that each minute gains `fast` observations below `edge` and `slow` above it."""
    total = f"0+{fast + slow}x{steps}"
    return (
        given(metric, f"0+{fast}x{steps}", "bucket", le=repr(float(edge)), **labels),
        given(metric, total, "bucket", le="+Inf", **labels),
        given(metric, total, "count", **labels),
    )


def fires(severity: Severity, labels: dict[str, str], value: str = "", since: float = 0.0) -> tuple[Fired, ...]:
    return (Fired(severity, labels, value, since),)


def case(name: str, at: str, *given_series: tuple[str, str], fires: tuple[Fired, ...] = ()) -> Case:
    return Case(name, given_series, at, fires)
