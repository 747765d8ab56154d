"""A made-up estate in a real Prometheus: what rules make of it, and that no panel of any dashboard stays empty."""

import json
import re
from functools import cache, partial

import msgspec
import numpy as np
import pytest

from dashboards import fault_table
from dashboards.estate import simulate, until
from dashboards.grafana.build import documents
from dashboards.grafana.lint import panels
from dashboards.heard import Alarm
from dashboards.preview.answers import Span, answers, events
from dashboards.preview.page import page
from dashboards.values import DEFAULTS
from watchkeeper.agent.command_line import main
from watchkeeper.agent.simulate.history import fill, firing
from watchkeeper.agent.simulate.prometheus import Prometheus, ask
from watchkeeper.core.testkit import require
from watchkeeper.core.testkit.chromium import Chromium

END = 1_800_000_000.0


@pytest.fixture(scope="module")
def lost(tmp_path_factory):
    """Three hours, in the last of which a card is lost: a server that holds them, the clock, and what fired."""
    require("promtool", "prometheus")
    folder = tmp_path_factory.mktemp("estate")
    book = simulate(until(END, hours=3.0), "device-lost")
    fired = fill(folder, book, DEFAULTS)
    with Prometheus(folder) as server:
        yield server, book.clock, fired


@pytest.fixture(scope="module")
def shown(lost):
    """Each dashboard with its answers and its page."""
    server, clock, _ = lost
    span = Span(clock.start, clock.end, clock.step)
    asked = cache(partial(ask, server.url))  # both languages ask the same
    made = {}
    for language in ("en", "zh"):
        for uid, document in documents(DEFAULTS, language).items():
            got = answers(document, span, asked, {})
            html = page(document, got, list(events(document, span, asked, {})), span, {})
            made[language, uid] = (document, got, html)
    return made


def test_every_query_of_every_panel_is_answered_with_data(shown):
    empty = [
        (uid, panel["title"], answer.query)
        for (language, uid), (document, got, _) in shown.items()
        if language == "en"
        for panel in panels(document)
        for answer in got
        if answer.panel == panel["id"] and not answer.rows
    ]

    assert empty == []


def test_every_variable_finds_values(lost):
    server, clock, _ = lost
    for uid, document in documents(DEFAULTS, "en").items():
        for one in document["templating"]["list"]:
            if one["type"] == "query":
                selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", one["query"]["query"]).groups()
                selector = re.sub(r"\$\w+", ".*", selector)
                rows = server.at(f'group by ({label}) ({selector[: -1] + "}" if selector.endswith("}") else selector})',
                                 clock.end)  # fmt: skip
                assert rows, (uid, one["name"])


def test_no_panel_of_any_page_is_empty(shown):
    for (language, uid), (_, _, html) in shown.items():
        assert "No data" not in html, (language, uid)


def test_pages_hold_together_in_a_browser(shown, tmp_path):
    with Chromium.start(require("chromium", "chromium")) as browser:
        for (language, uid), (document, _, html) in shown.items():
            path = tmp_path / f"{language}-{uid}.html"
            path.write_text(html, encoding="utf-8")
            browser.open(path.as_uri(), width=1400, height=900)
            assert browser.problems == []
            count = browser.evaluate("document.querySelectorAll('.panel').length")
            assert count == len(list(panels(document)))
            assert browser.evaluate("document.documentElement.scrollWidth") <= 1400
            assert json.loads(browser.evaluate(CLIPPED)) == [], (language, uid)


CLIPPED = """JSON.stringify([...document.querySelectorAll(".panel h2, .big")]
  .filter((part) => part.scrollWidth > part.clientWidth + 1).map((part) => part.textContent))"""


def test_what_happened_is_marked(shown):
    document, _, html = shown["en", "wk-node"]

    assert [one["name"] for one in document["annotations"]["list"]] == ["Device faults", "Findings", "Pages"]
    assert html.count('stroke-dasharray="3 3"') >= len([p for p in panels(document) if p["type"] == "timeseries"])


def test_the_card_that_is_lost_pages_at_once(lost):
    _, clock, fired = lost
    pages = [one for one in fired if one.severity == "critical"]

    assert pages[0].name == "WatchkeeperDeviceFaultFatal"
    assert pages[0].at - clock.onset <= 120
    assert dict(pages[0].labels)["k8s_pod_name"] == "chat-0"


def test_an_estate_that_is_well_fires_nothing_but_the_heartbeat(tmp_path):
    require("promtool", "prometheus")
    fired = fill(tmp_path, simulate(until(END, hours=2.0, trouble_hours=0.5)), DEFAULTS)

    assert [one.name for one in fired] == ["WatchkeeperWatchdog"]


def test_a_fault_leads_to_what_the_table_says(tmp_path):
    require("promtool", "prometheus")
    book = simulate(until(END, hours=6.0, trouble_hours=2.0), "engine-hangs")
    alarms = [Alarm(dict(one.labels), one.spans) for one in fill(tmp_path, book, DEFAULTS)]
    found = fault_table.row("engine-hangs", alarms, book.clock.onset, DEFAULTS)

    assert [found] == [one for one in fault_table.kept().rows if one.fault == "engine-hangs"]


def test_the_same_fires_where_two_jobs_scrape_everything_and_add_labels(tmp_path):
    require("promtool", "prometheus")
    book = simulate(until(END, hours=1.0, trouble_hours=0.2), "engine-hangs")
    once = fill(tmp_path / "once", book, DEFAULTS)
    again = {"job": "again", "namespace": "monitoring", "pod": "prometheus-0", "exported_pod": "x"}
    for family in book.families().values():
        for one in list(family.series):
            labels = tuple({**dict(one.labels), **again}.items())
            family.series.append(msgspec.structs.replace(one, labels=labels))
    twice = fill(tmp_path / "twice", book, DEFAULTS)

    assert [(one.name, dict(one.labels), one.spans) for one in twice] == [
        (one.name, dict(one.labels), one.spans) for one in once
    ]
    assert "WatchkeeperEngineStalled" in {one.name for one in once}


def test_the_command_line_prints_a_fault_of_the_table(capsys):
    require("promtool", "prometheus")

    assert main(["simulate", "--table", "--fault", "leak", "--hours", "1", "--trouble-hours", "0.3"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        *fault_table.HEAD,
        "| `leak`: answers contain secrets | page `SensitiveDataLeak` | 0 min (2) | 1, 1 | – | – |",
    ]


def test_a_table_of_one_fault_is_not_kept(tmp_path, capsys):
    path = tmp_path / "kept.yaml"

    assert main(["simulate", "--table", "--fault", "leak", "--keep", str(path)]) == 2
    assert "leave out --fault" in capsys.readouterr().err
    assert not path.exists()


@pytest.mark.parametrize(
    ("true", "hold", "keep", "since"),
    [
        ("0111100", 120, 0, "...11.."), ("0110110", 120, 0, "......."), ("0100000", 0, 180, ".1111.."),
        ("0100100", 0, 180, ".111111"), ("1111111", 0, 0, "0000000"),
    ],
)  # fmt: skip
def test_an_alert_fires_as_prometheus_lets_it(true, hold, keep, since):
    made = firing(np.arange(7.0) * 60, np.array([one == "1" for one in true]), hold, keep)

    assert "".join("." if np.isnan(one) else f"{one / 60:.0f}" for one in made) == since


def test_the_command_line_writes_openmetrics(tmp_path, capsys):
    path = tmp_path / "estate.om"

    assert (
        main(["simulate", "--fault", "leak", "--hours", "0.5", "--trouble-hours", "0.2", "--openmetrics", str(path)])
        == 0
    )
    assert path.read_text().endswith("# EOF\n")
    assert "31 scrapes of each" in capsys.readouterr().out


def test_a_fault_that_there_is_not_is_one_clear_line(tmp_path, capsys):
    assert main(["simulate", "--fault", "flood", "--openmetrics", str(tmp_path / "x")]) == 2
    assert "there is no fault flood; there are device-lost" in capsys.readouterr().err


def test_a_folder_with_data_is_left_alone(tmp_path, capsys):
    (tmp_path / "data").mkdir()

    assert main(["simulate", "--tsdb", str(tmp_path)]) == 2
    assert "name a new folder" in capsys.readouterr().err
