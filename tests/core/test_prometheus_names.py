import pytest

from watchkeeper.core.prometheus_names import label_name, metric_name
from watchkeeper.core.vocabulary import METRICS


@pytest.mark.parametrize(
    ("name", "unit", "counter", "gauge", "expected"),
    [
        ("hw.power", "W", False, True, "hw_power_watts"),
        ("hw.gpu.memory.usage", "By", False, True, "hw_gpu_memory_usage_bytes"),
        ("hw.gpu.utilization", "1", False, True, "hw_gpu_utilization_ratio"),
        ("hw.energy", "J", True, False, "hw_energy_joules_total"),
        ("gen_ai.client.token.usage", "{token}", False, False, "gen_ai_client_token_usage"),
        ("gen_ai.client.token.usage", "token", False, False, "gen_ai_client_token_usage_token"),
        ("gen_ai.server.time_to_first_token", "s", False, False, "gen_ai_server_time_to_first_token_seconds"),
        ("a.b", "By/s", False, True, "a_b_bytes_per_second"),
        ("a.b", "{request}/s", False, True, "a_b_per_second"),
        ("requests_total", "", True, False, "requests_total"),
        ("1a--b", "", False, True, "_1a_b"),
        ("cache.hits", "1", True, False, "cache_hits_total"),
    ],
)
def test_names_follow_the_opentelemetry_rules(name: str, unit: str, counter: bool, gauge: bool, expected: str) -> None:
    assert metric_name(name, unit, counter=counter, gauge=gauge) == expected


def test_label_names_are_escaped() -> None:
    assert [label_name(name) for name in ("gen_ai.request.model", "1a", "a..b")] == [
        "gen_ai_request_model", "key_1a", "a_b",
    ]  # fmt: skip


def test_no_two_metrics_share_a_prometheus_name() -> None:
    names = [metric.prometheus_name for metric in METRICS]

    assert len(set(names)) == len(names)


def test_histogram_bounds_ascend_and_only_histograms_have_them() -> None:
    for metric in METRICS:
        assert list(metric.buckets) == sorted(set(metric.buckets)), metric.name
        assert bool(metric.buckets) == (metric.kind == "histogram"), metric.name


def test_no_label_is_declared_twice_on_a_metric() -> None:
    for metric in METRICS:
        assert len(set(metric.prometheus_labels)) == len(metric.labels), metric.name
