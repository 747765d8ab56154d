import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.promql import PromqlError, Recorded, but, check, edge, escape_regex, known_series, m, one_of, r
from watchkeeper.core.vocabulary import METRICS, requests

KNOWN = known_series({"wk:some:ratio": frozenset({"service_name"})}, frozenset({"node"}))


def test_a_selector_names_the_metric_and_its_labels_as_prometheus_does():
    series = m(requests.REQUESTS, outcome=one_of("error", "timeout"), service_name="chat")

    assert str(series) == 'watchkeeper_requests_total{outcome=~"error|timeout",service_name="chat"}'
    assert series["5m"] == f"{series}[5m]"


def test_a_label_that_the_metric_does_not_have_is_refused_with_those_it_has():
    with pytest.raises(PromqlError, match=r"watchkeeper_requests_total has no label reason; it has .*outcome"):
        m(requests.REQUESTS, reason="x")


def test_the_bound_of_a_bucket_is_no_label_of_the_count():
    assert str(m(requests.SERVER_FIRST_TOKEN, "bucket", le=edge(2.5))).endswith(r'_bucket{le=~"2\\.5"}')
    with pytest.raises(PromqlError, match="no label le"):
        m(requests.SERVER_FIRST_TOKEN, "count", le=edge(2.5))


@pytest.mark.parametrize(("metric", "part"), [(requests.REQUESTS, "bucket"), (requests.SERVER_FIRST_TOKEN, "")])
def test_a_part_that_the_metric_does_not_have_is_refused(metric, part):
    with pytest.raises(PromqlError, match="and has"):
        m(metric, part)


def test_a_recorded_series_is_held_to_its_labels_too():
    recorded = Recorded("wk:some:ratio", frozenset({"service_name"}))

    assert str(r(recorded, service_name=but("x"))) == 'wk:some:ratio{service_name!="x"}'
    with pytest.raises(PromqlError, match="no label model"):
        r(recorded, model="x")


@pytest.mark.parametrize(
    "expression",
    [
        'sum by (outcome, node) (rate(watchkeeper_requests_total{tenant=~"a|b"}[5m]))',
        'sum without (instance) (up{job="x"}) or vector(0)',
        "histogram_quantile(0.9, sum by (le) (rate(gen_ai_client_token_usage_bucket[$__rate_interval])))",
        'wk:some:ratio{service_name="$service"} > on (service_name) (14.4 * (1 - wk:some:ratio offset 1w))',
        'count(ALERTS{component="watchkeeper",alertstate="firing"}) # remarks are not read: nobody',
        'label_replace(vector(1), "kind", "x", "", "") and on (kind) label_replace(up, "kind", "y", "", "")',
        "avg_over_time(process_memory_usage_bytes[1h:5m] @ 1609746000) > bool 1e6",
        "sum(rate(watchkeeper_tokens_total[5m])) by (service_name)",
    ],
)  # fmt: skip
def test_what_exists_is_accepted(expression):
    assert check(expression, KNOWN) == []


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("rate(watchkeeper_request_total[5m])", "watchkeeper_request_total is no series"),
        ("gen_ai_server_time_to_first_token_seconds", "is no series"),
        ('watchkeeper_requests_total{result="ok"}', "watchkeeper_requests_total has no label result"),
        ("sum by (model) (rate(watchkeeper_requests_total[5m]))", "no series here has the label model"),
        ("up * on (pod) group_left (team) up", "no series here has the label pod"),
        ('{job="x"}', "without a metric's name"),
        ("rates(up[5m])", "rates is no function"),
        ("up ; up", "';' is no PromQL"),
        ('up{job="watchkeeper_x", instnce="a"}', "up has no label instnce"),
    ],
)
def test_what_does_not_exist_is_named(expression, problem):
    assert problem in "\n".join(check(expression, KNOWN))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_of_the_vocabulary_can_be_asked_for(metric):
    part = "count" if metric.buckets else ""
    labels = dict.fromkeys(metric.prometheus_labels, "x")

    assert check(str(m(metric, part, **labels)), KNOWN) == []


@given(st.text(max_size=80))
@settings(deadline=None, max_examples=200)
def test_no_text_breaks_the_reader(text):
    assert isinstance(check(text, KNOWN), list)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=20))
@settings(deadline=None, max_examples=200)
def test_a_literal_value_matches_itself_as_a_regular_expression(text):
    import re

    assert re.fullmatch(escape_regex(text), text)
