"""Numbers as people read them, and what is sent for a query."""

import pytest

from dashboards.preview.answers import Span, answers, events, filled
from dashboards.preview.page import page
from dashboards.preview.units import readable

SPAN = Span(1_800_000_000.0, 1_800_003_600.0, 60.0)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.1234, "percentunit", "12.3%"), (1.0, "percentunit", "100%"), (2500.0, "watt", "2.50 kW"),
        (0.0042, "s", "4.20 ms"), (90.0, "s", "1.50 min"), (1_641_600.0, "dtdurations", "2.7 weeks"),
        (1.98e9, "hertz", "1.98 GHz"), (19 * 2**20, "bytes", "19 MiB"), (3760.0, "cps", "3.76 K/s"),
        (0.0, "reqps", "0 req/s"), (float("nan"), "short", "–"), (23.4, "celsius", "23.4 °C"), (7.0, "none", "7"),
    ],
)  # fmt: skip
def test_values_read_by_their_unit(value, unit, text):
    assert readable(value, unit) == text


def test_a_query_is_sent_with_its_variables_filled():
    expr = 'rate(a{b=~"$b", c=~"${c:regex}"}[$__rate_interval]) + increase(a[$__range])'

    assert filled(expr, SPAN, {"b": "x|y"}) == 'rate(a{b=~"x|y", c=~".*"}[4m]) + increase(a[1h])'


def board(kind, **more):
    defaults = {"unit": "short", "mappings": [], "thresholds": {"steps": [{"value": None, "color": "green"}]}}
    defaults["custom"] = {"thresholdsStyle": {"mode": "off"}, "stacking": {"mode": "none"}, "fillOpacity": 0}
    panel = {
        "id": 1, "type": kind, "title": "A <b>", "gridPos": {"x": 0, "y": 0, "w": 8, "h": 8},
        "fieldConfig": {"defaults": defaults, "overrides": []}, "options": {"textMode": "value", "graphMode": "none"},
        "targets": [{"expr": "up", "range": kind == "timeseries", "legendFormat": "{{a}}"}],
    }  # fmt: skip
    return {
        "title": "T", "description": "D", "panels": [panel | more], "templating": {"list": []},
        "annotations": {"list": [{"name": "E", "enable": True, "expr": "e", "iconColor": "red"}]},
    }  # fmt: skip


def drawn(kind, rows):
    document = board(kind)
    got = answers(document, SPAN, lambda path, **_: rows, {})
    return page(document, got, list(events(document, SPAN, lambda path, **_: [], {})), SPAN, {})


def test_a_panel_without_an_answer_says_so():
    assert "No data" in drawn("timeseries", [])


def test_a_line_is_drawn_and_what_comes_from_outside_is_escaped():
    values = [[SPAN.start + 60 * index, str(index)] for index in range(10)]
    html = drawn("timeseries", [{"metric": {"a": "<script>"}, "values": values}])

    assert "No data" not in html
    assert "A &lt;b&gt;" in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html


def test_a_number_is_shown_with_its_unit():
    assert "1.50 K" in drawn("stat", [{"metric": {}, "value": [SPAN.end, "1500"]}])


def test_an_event_that_goes_on_is_one():
    rows = [{"metric": {}, "values": [[SPAN.start + 60 * index, "1"] for index in (5, 6, 7, 40)]}]
    [event] = events(board("stat"), SPAN, lambda path, **_: rows, {})

    assert event.times == (SPAN.start + 300, SPAN.start + 2400)
