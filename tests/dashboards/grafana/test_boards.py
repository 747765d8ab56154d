"""What is built of the dashboards, and that what lies in the repository is it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

import dashboards
from dashboards.alerts import catalogue
from dashboards.estate import FAULTS
from dashboards.grafana import BOARDS, boards
from dashboards.grafana.build import LANGUAGES, documents, files
from dashboards.grafana.lint import panels
from dashboards.grafana.narrow import Narrow
from dashboards.promql import PromqlError
from dashboards.values import DEFAULTS, Slo, Values
from dashboards.words import VARIABLES
from watchkeeper.core.vocabulary import engines

HERE = Path(dashboards.__file__).parent
UIDS = (
    "wk-fleet", "wk-slo", "wk-service", "wk-node", "wk-drift", "wk-output", "wk-cost", "wk-governance", "wk-monitor",
)  # fmt: skip


@pytest.fixture(scope="module")
def english():
    return documents(DEFAULTS, "en")


def queries(document):
    return [target["expr"] for panel in panels(document) for target in panel["targets"]]


def test_what_lies_in_the_repository_is_what_is_built():
    made = files(DEFAULTS)
    folder = HERE / "generated" / "grafana"
    there = {path.relative_to(HERE).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}

    assert there == dict(made), "run: watchkeeper dashboards build"


def test_uids_are_those_that_links_hold_on_to(english):
    assert tuple(english) == UIDS
    assert len(BOARDS) == len(UIDS)


def test_every_file_of_a_dashboard_is_listed():
    shared = {"__init__", "board", "build", "lint", "modern", "narrow"}
    on_disk = {path.stem for path in (HERE / "grafana").glob("*.py")} - shared

    assert on_disk == {module.__name__.rpartition(".")[2] for module in BOARDS}


def test_a_panel_can_only_be_narrowed_by_what_its_metric_has():
    with pytest.raises(PromqlError, match="no label tenant"):
        Narrow(DEFAULTS).m(engines.RUNNING, ("tenant",))


def test_both_languages_ask_the_same():
    english, chinese = (documents(DEFAULTS, language) for language in LANGUAGES)

    for uid in UIDS:
        assert queries(english[uid]) == queries(chinese[uid])
        assert english[uid]["title"] != chinese[uid]["title"]


@pytest.mark.parametrize("uid", UIDS)
def test_every_panel_of_the_chinese_board_says_in_chinese_what_is_good(uid):
    for panel in panels(documents(DEFAULTS, "zh")[uid]):
        assert re.search(r"[\u4e00-\u9fff]", panel["description"]), panel["title"]
        assert "Good:" not in panel["description"]


def test_the_same_values_make_the_same_bytes():
    assert files(DEFAULTS) == files(Values())


def test_every_alert_opens_a_dashboard_that_has_the_variables_it_gives():
    made = {board.uid: {one.name for one in board.variables} for board in boards(DEFAULTS)}
    found = {}
    for chapter in catalogue(DEFAULTS):
        for alert in chapter.alerts:
            given = {VARIABLES[label] for label in alert.labels if label in VARIABLES}
            found[alert.name] = given - made[alert.runbook.dashboard]

    missing = {name: left for name, left in found.items() if left - LEFT_OUT.get(name, set())}
    assert missing == {}


LEFT_OUT = {
    # by what the alert tells apart and the dashboard does not
    "WatchkeeperDeviceIdleAllocated": {"device"},
    "WatchkeeperDeviceMemoryLeak": {"namespace", "pod"},
    "WatchkeeperDeviceFaultFatal": {"namespace", "service", "model", "pod"},
    "WatchkeeperDeviceFaultApp": {"namespace", "pod"},
    "WatchkeeperCausePaged": {"device"},
    "WatchkeeperAvailabilityBudgetBurn": {"slo"},
    "WatchkeeperTtftBudgetBurn": {"slo"},
    "WatchkeeperTpotBudgetBurn": {"slo"},
    "WatchkeeperServiceUnusual": {"signal"},
    "WatchkeeperDataLinkStalled": {"signal"},
    "WatchkeeperPipelineFailing": {"signal"},
}


def test_where_several_clusters_are_told_apart_every_query_is_narrowed_by_cluster():
    made = documents(Values(extra_labels=("cluster",)), "en")

    for uid, document in made.items():
        assert [one["name"] for one in document["templating"]["list"]][:2] == ["datasource", "cluster"], uid
        for expr in queries(document):
            assert 'cluster=~"$cluster"' in expr or re.search(r"\b(ALERTS|up)\b", expr), (uid, expr)
        later = [one["query"]["query"] for one in document["templating"]["list"][2:]]
        assert all('cluster=~"$cluster"' in query for query in later), uid


def test_the_line_in_a_plot_is_the_objective():
    stricter = Values(slos=(Slo("first-token", "ttft", 0.95, 1.0), Slo("availability", "availability", 0.99)))
    [panel] = [one for one in panels(documents(stricter, "en")["wk-service"]) if one["title"] == "Time to first token"]

    assert [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]] == [None, 1.0]


def test_where_nothing_names_the_node_it_is_the_instance():
    document = documents(Values(node_label="instance"), "en")["wk-node"]

    assert any("by (instance, hw_vendor" in expr for expr in queries(document))
    assert not any(re.search(r"\bnode=~", expr) for expr in queries(document))


def test_variables_chain(english):
    looked_up = {
        one["name"]: one["query"]["query"]
        for one in english["wk-service"]["templating"]["list"]
        if one["type"] == "query"
    }

    assert list(looked_up) == ["namespace", "service", "model", "pod"]
    assert looked_up["pod"].endswith('model=~"$model"}, k8s_pod_name)') or (
        'gen_ai_request_model=~"$model"' in looked_up["pod"]
    )
    assert '$namespace"' in looked_up["service"]


def test_a_row_opens_the_next_dashboard_with_its_own_labels(english):
    [table] = [one for one in panels(english["wk-fleet"]) if one["type"] == "table"]
    links = [
        each["value"][0]["url"]
        for one in table["fieldConfig"]["overrides"]
        for each in one["properties"]
        if each["id"] == "links"
    ]

    assert links[0].startswith("/d/wk-service?${__url_time_range}")
    assert 'var-service=${__data.fields["Service"]}' in links[0]


def test_latency_panels_ask_for_exemplars(english):
    asked = {
        panel["title"] for panel in panels(english["wk-service"]) for target in panel["targets"] if target["exemplar"]
    }

    assert asked == {"Time to first token", "Time per output token", "Whole request"}


def test_grafanas_own_types_know_all_that_it_is_told(english):
    """Of 11.0, the oldest: what it does not know would be lost when somebody saves a copy."""
    register_default_plugins()
    unknown = set()
    for document in english.values():
        read = json.loads(json.dumps(Dashboard.from_json(without_nulls(document)), cls=JSONEncoder))
        unknown |= set(lost(without_nulls(document), read))

    assert unknown == {
        *(f".annotations.list[].{key}" for key in ("step", "titleFormat", "useValueForTime")),  # of Prometheus alone
        ".templating.list[].allowCustomValue",  # of 11.5
    }


def without_nulls(data):
    if isinstance(data, dict):
        return {key: without_nulls(value) for key, value in data.items() if value is not None}
    return [without_nulls(one) for one in data] if isinstance(data, list) else data


def lost(told, read, path=""):
    """Paths of what was told and is not read back as it was."""
    if isinstance(told, dict) and isinstance(read, dict):
        for key, value in told.items():
            if key in read:
                yield from lost(value, read[key], f"{path}.{key}")
            elif value not in ("", [], {}):
                yield f"{path}.{key}"
    elif isinstance(told, list) and isinstance(read, list) and len(told) == len(read):
        for one, other in zip(told, read, strict=True):
            yield from lost(one, other, f"{path}[]")
    elif told != read:
        yield path


def test_panels_are_told_apart_and_only_a_threshold_begins_at_nothing(english):
    for document in english.values():
        assert document["schemaVersion"] == 39
        numbers = [panel["id"] for panel in document["panels"]]
        assert len(numbers) == len(set(numbers))
        assert set(re.findall(r'"(\w+)": null', json.dumps(document))) <= {"id", "value"}


def test_the_page_about_them_shows_each_and_names_its_variables():
    page = (HERE.parent / "docs" / "dashboards.md").read_text()

    for board in boards(DEFAULTS):
        names = ", ".join(one.name for one in board.variables)
        assert f"(#{board.title.en.lower().replace(' ', '-')}) | `{board.uid}` |" in page
        assert f"| {names} |" in page, board.uid
        assert f"(images/{board.uid}.png)" in page
        assert (HERE.parent / "docs" / "images" / f"{board.uid}.png").is_file()


def test_the_page_names_every_fault():
    page = (HERE.parent / "docs" / "dashboards.md").read_text()

    assert re.findall(r"^\| `([a-z-]+)` \| [^|]+ \|$", page, re.M) == [fault.name for fault in FAULTS]


def test_grafanalib_is_loaded_by_nobody_but_who_builds():
    code = (
        "import sys, watchkeeper.agent.command_line, watchkeeper.agent.agent, dashboards.grafana;"
        "print([name for name in sys.modules if 'grafanalib' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
