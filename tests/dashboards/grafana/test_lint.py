"""Each rule of the linter refuses what it is there for, and nothing of ours."""

import copy

import pytest

from dashboards.alerts import catalogue
from dashboards.grafana.build import documents
from dashboards.grafana.lint import RULES, panels, problems
from dashboards.rule_files import known
from dashboards.values import DEFAULTS

NAMES = known((group for chapter in catalogue(DEFAULTS) for group in chapter.groups), DEFAULTS)


@pytest.fixture(scope="module")
def made():
    return documents(DEFAULTS, "en")


def variable(board, name):
    return next(one for one in board["templating"]["list"] if one["name"] == name)


def first(board, kind="timeseries"):
    return next(panel for panel in panels(board) if panel["type"] == kind)


def ask(board, expr):
    first(board)["targets"][0]["expr"] = expr


def other_source(board):
    first(board)["targets"][0]["datasource"] = {"type": "prometheus", "uid": "mine"}


def no_unit(board):
    del first(board)["fieldConfig"]["defaults"]["unit"]


def no_unit_of_a_column(board):
    first(board, "table")["fieldConfig"]["overrides"].clear()


def over_another(board):
    board["panels"][2]["gridPos"] = dict(board["panels"][1]["gridPos"])


BREAKS = (
    ("template-datasource", lambda board: variable(board, "datasource").update(label="Source")),
    ("template-on-time-change-reload", lambda board: variable(board, "service").update(refresh=1)),
    (
        "template-label-promql",
        lambda board: variable(board, "service")["query"].update(query="label_values(nobody, a)"),
    ),
    ("template-label-promql", lambda board: variable(board, "service").update(allValue=".+")),
    (
        "template-label-promql",
        lambda board: variable(board, "namespace")["query"].update(
            query='label_values(watchkeeper_engine_up{service_name=~"$service"}, k8s_namespace_name)'
        ),
    ),
    ("panel-datasource", other_source),
    ("panel-title-description", lambda board: first(board).update(title="")),
    ("panel-title-description", lambda board: first(board).update(description="Requests a second.")),
    ("panel-units", no_unit),
    ("panel-units", no_unit_of_a_column),
    ("panel-no-targets", lambda board: first(board)["targets"].clear()),
    ("target-promql", lambda board: ask(board, "sum(rate(vllm_num_requests_running[$__rate_interval]))")),
    ("target-promql", lambda board: ask(board, "sum by (colour) (watchkeeper_engine_up)")),
    ("target-promql", lambda board: ask(board, 'watchkeeper_engine_up{colour="red"}')),
    ("target-rate-interval", lambda board: ask(board, "rate(watchkeeper_requests_total[1m])")),
    ("target-counter-agg", lambda board: ask(board, "sum(watchkeeper_requests_total)")),
    ("target-counter-agg", lambda board: ask(board, 'watchkeeper_requests_total{outcome="ok"}')),
    ("uneditable-dashboard", lambda board: board.update(editable=True)),
    ("uneditable-dashboard", lambda board: board.update(uid="4f2a")),
    ("uneditable-dashboard", lambda board: board.update(schemaVersion=12)),
    ("size", lambda board: board["panels"].extend(copy.deepcopy(board["panels"][1:8]) * 4)),
    ("size", lambda board: first(board).update(maxDataPoints=100)),
    ("links", lambda board: first(board)["fieldConfig"]["defaults"].update(links=[{"url": "/d/wk-gone?a"}])),
    ("links", lambda board: board["links"].clear()),
    ("variables", lambda board: ask(board, 'watchkeeper_engine_up{k8s_pod_name=~"$pod"}')),
    ("variables", lambda board: variable(board, "service").update(name="unused")),
    ("bounded-legends", lambda board: first(board)["targets"][0].update(legendFormat="{{trace_id}}")),
    ("layout", over_another),
)


@pytest.mark.parametrize(("rule", "breaks"), BREAKS)
def test_a_board_that_breaks_a_rule_is_refused_by_it(made, rule, breaks):
    board = copy.deepcopy(made["wk-fleet"])
    breaks(board)

    assert {line.partition(":")[0] for line in problems(board, NAMES, set(made))} >= {rule}


def test_every_rule_is_proved():
    assert {rule for rule, _ in BREAKS} == set(RULES)


def test_our_own_break_none(made):
    assert [line for board in made.values() for line in problems(board, NAMES, set(made))] == []
