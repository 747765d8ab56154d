import re

import msgspec
import pytest

from dashboards import build
from dashboards.values import DEFAULTS, Budget, Burn, Slo, Thresholds, Values, problems


def with_slo(**changed):
    return Values(slos=(msgspec.structs.replace(DEFAULTS.slos[1], **changed),))


def test_what_is_shipped_is_well():
    assert build.problems(DEFAULTS) == ()


@pytest.mark.parametrize(
    ("values", "key", "nearest"),
    [
        (with_slo(seconds=2.0), "slos[0].seconds", "2.5"),
        (with_slo(objective=0.9), "slos[0].objective", "0.9375"),
        (Values(scrape_seconds=120), "scrape_seconds", "75"),
        (Values(retention_days=2, budget_days=2), "retention_days", "8"),
        (Values(budget_days=30), "budget_days", "15"),
        (Values(burns=(Burn("warning", 0.5, "20d", "1h"),)), "burns[0].long", "15d"),
        (Values(burns=(Burn("warning", 0.05, "3d", "6h"),)), "burns[0].budget_share", "0.1"),
        (Values(hold={"WatchkeeperQueueSaturated": "10s"}), "hold.WatchkeeperQueueSaturated", "30s"),
        (Values(hold={"WatchkeeperQueueSaturated": "0s"}), "hold.WatchkeeperQueueSaturated", "30s"),
        (Values(thresholds=Thresholds(queue_seconds=100)), "thresholds.queue_seconds", "40.96"),
    ],
)
def test_a_value_that_makes_a_rule_dead_is_refused_with_the_nearest_that_works(values, key, nearest):
    [problem, *_] = [one for one in build.problems(values) if one.startswith(f"{key}:")]

    assert problem.endswith(f"nearest that works: {nearest}")


@pytest.mark.parametrize(
    "values",
    [
        with_slo(seconds=2.5), with_slo(objective=0.9375), Values(scrape_seconds=75),
        Values(retention_days=8, budget_days=8), Values(budget_days=15),
        Values(burns=(Burn("warning", 0.5, "15d", "1h"),)), Values(burns=(Burn("warning", 0.1, "3d", "6h"),)),
        Values(hold={"WatchkeeperQueueSaturated": "30s"}), Values(thresholds=Thresholds(queue_seconds=40.96)),
    ],
)  # fmt: skip
def test_the_nearest_that_is_named_does_work(values):
    assert build.problems(values) == ()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            Values(leave_out=("Nothing",)),
            "leave_out: there is no alert Nothing; `watchkeeper rules list` names them all",
        ),
        (Values(hold={"Nothing": "5m"}), "hold: there is no alert Nothing"),
        (Values(hold={"WatchkeeperQueueSaturated": "5 minutes"}), "'5 minutes' is no duration"),
        (Values(node_label="k8s.node"), "node_label: 'k8s.node' is no name of a label"),
        (Values(slos=(DEFAULTS.slos[0], DEFAULTS.slos[0])), "slos[1].name: 'availability' must be unique"),
        (Values(slos=(Slo("a", "availability", 0.99, service="("),)), "slos[0].service: '(' is no regular expression"),
        (Values(burns=(Burn("critical", 0.02, "1h", "1h"),)), "burns[0].short: 1h must be shorter than 1h"),
        (Values(burns=(Burn("critical", 0.02, "1 hour", "5m"),)), "burns[0].long: '1 hour' is no window"),
        (Values(burns=(Burn("critical", 0.02, "1h", "1m"),)), "burns[0].short: 1m is shorter than 5m"),
        (Values(budgets=(Budget(5, "EUR"), Budget(6, "EUR"))), "budgets[1]: one budget for each currency"),
    ],
)
def test_what_else_is_wrong_is_said(values, problem):
    assert problem in "\n".join(build.problems(values))


def test_burn_factors_follow_from_the_period():
    assert [round(DEFAULTS.factor(burn), 1) for burn in DEFAULTS.burns] == [14.4, 6.0, 3.0, 1.0]


def test_every_problem_names_its_key_first():
    wrong = Values(scrape_seconds=400, budget_days=99, burns=(Burn("critical", 0.001, "90d", "1s"),))

    assert [one for one in problems(wrong) if not re.match(r"[a-z_.\[\]0-9]+: ", one)] == []
