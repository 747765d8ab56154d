import pytest

from exporters.prometheus.negotiation import accepts_gzip, wants_openmetrics

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_3_WITH_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6," + PROMETHEUS_3
)


@pytest.mark.parametrize(
    "accept",
    [
        PROMETHEUS_2,
        PROMETHEUS_3,
        PROMETHEUS_3_WITH_PROTOBUF,
        "application/openmetrics-text",
        "APPLICATION/OpenMetrics-text",
    ],
)
def test_scrapers_that_ask_for_openmetrics_get_it(accept):
    assert wants_openmetrics(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "text/plain;version=0.0.4",
        "application/openmetrics-text;version=2.0.0,text/plain;q=0.1",
        "application/openmetrics-text;q=0,text/plain",
        "application/openmetrics-text;q=0.2,text/plain;q=0.9",
        "application/openmetrics-text;q=high",
        ";;,=,q",
    ],
)
def test_everyone_else_gets_text(accept):
    assert not wants_openmetrics(accept)


@pytest.mark.parametrize("encoding", ["gzip", "deflate, GZIP;q=0.5", "br , gzip"])
def test_gzip_is_used_where_it_is_named(encoding):
    assert accepts_gzip(encoding)


@pytest.mark.parametrize("encoding", ["", "identity", "gzip;q=0", "xgzip", "*"])
def test_gzip_is_not_forced_on_others(encoding):
    assert not accepts_gzip(encoding)
