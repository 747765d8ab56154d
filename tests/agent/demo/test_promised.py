import pytest

from watchkeeper.agent.demo.promised import PROMISED, Page, missing
from watchkeeper.core.vocabulary import METRICS, engines, requests

BUCKETS = """\
# TYPE gen_ai_server_time_to_first_token_seconds histogram
gen_ai_server_time_to_first_token_seconds_bucket{service_name="a",le="0.1"} 2
gen_ai_server_time_to_first_token_seconds_bucket{service_name="a",le="0.5"} 4
gen_ai_server_time_to_first_token_seconds_bucket{service_name="a",le="+Inf"} 4
gen_ai_server_time_to_first_token_seconds_sum{service_name="a"} 1
gen_ai_server_time_to_first_token_seconds_count{service_name="a"} 4
gen_ai_server_time_to_first_token_seconds_bucket{service_name="b",le="0.1"} 0
gen_ai_server_time_to_first_token_seconds_bucket{service_name="b",le="0.5"} 4
gen_ai_server_time_to_first_token_seconds_bucket{service_name="b",le="+Inf"} 6
gen_ai_server_time_to_first_token_seconds_sum{service_name="b"} 9
gen_ai_server_time_to_first_token_seconds_count{service_name="b"} 6
"""
COUNTS = """\
# TYPE watchkeeper_requests_total counter
watchkeeper_requests_total{gen_ai_request_model="m",outcome="ok"} 7
watchkeeper_requests_total{gen_ai_request_model="m",outcome="error"} 1
watchkeeper_requests_total{gen_ai_request_model="n",outcome="ok"} 20
"""


@pytest.mark.parametrize(
    ("share", "labels", "expected"),
    [
        (0.2, {}, 0.1),
        (0.5, {}, 0.3),  # rank 5 of 10: three of the six between 0.1 and 0.5
        (0.5, {"service_name": "a"}, 0.1),
        (0.99, {}, 0.5),  # past the last finite bound there is nothing to interpolate to
        (0.5, {"service_name": "c"}, None),
    ],
)
def test_quantiles_are_prometheus_own(share, labels, expected):
    found = Page(BUCKETS).quantile(share, requests.SERVER_FIRST_TOKEN, **labels)

    assert found == (expected if expected is None else pytest.approx(expected))


def test_totals_are_over_the_series_that_have_the_labels():
    page = Page(COUNTS)

    assert page.total(requests.REQUESTS) == 28
    assert page.total(requests.REQUESTS, gen_ai_request_model="m") == 8
    assert page.by("gen_ai_request_model", requests.REQUESTS) == {"n": 20, "m": 8}
    assert page.total(engines.RUNNING) == 0


def test_an_empty_page_misses_everything_promised():
    assert missing(Page("")) == tuple(metric.prometheus_name for metric in PROMISED)


def test_a_histogram_without_an_observation_is_missing():
    empty = "\n".join(f"{line.rpartition(' ')[0]} 0" for line in BUCKETS.splitlines()[1:]) + "\n"

    assert Page(BUCKETS).holds(requests.SERVER_FIRST_TOKEN)
    assert not Page(BUCKETS.splitlines()[0] + "\n" + empty).holds(requests.SERVER_FIRST_TOKEN)


def test_only_metrics_of_the_vocabulary_are_promised():
    assert set(PROMISED) <= set(METRICS)
    assert len(set(PROMISED)) == len(PROMISED)
