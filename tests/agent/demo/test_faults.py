import itertools
import random

import pytest

import detectors.checks
from detectors.causes.table import CAUSES
from watchkeeper.agent.demo import run_demo
from watchkeeper.agent.demo.faults import CANARY, SCENARIOS, named
from watchkeeper.agent.demo.traffic import arguments_of, steady
from watchkeeper.agent.drift.streams import ERROR, FINISH_REASON, NUMBERS
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.vocabulary import METRICS

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def calls_of(name: str, *, wrong: bool, count: int = 200):
    scenario = BY_NAME[name]
    habit = scenario.wrong if wrong else scenario.usual
    return list(itertools.islice(steady(random.Random(1), lambda: habit, 1.0), count))


def asked(name: str, *, wrong: bool) -> dict[str, set[str]]:
    """Values that each argument of the client's `create` takes."""
    found: dict[str, set[str]] = {}
    for call in calls_of(name, wrong=wrong):
        for key, value in arguments_of("m", call).items():
            found.setdefault(key, set()).add(str(value))
    return found


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("loop", {"temperature", "extra_body"}),
        ("truncate", {"max_tokens"}),
        ("language", {"messages"}),
        ("leak", {"messages"}),
        ("slow", set()),  # the engine's fault: nobody asks anything else
        ("longer-prompts", {"messages"}),
    ],
)
def test_a_fault_changes_what_it_says_and_nothing_else(name, changed):
    usual, wrong = asked(name, wrong=False), asked(name, wrong=True)

    assert {key for key in usual.keys() | wrong.keys() if usual.get(key) != wrong.get(key)} == changed


def test_prompts_of_the_fault_are_far_longer_and_fit_the_models_context():
    lengths = [
        [len(str(arguments_of("m", call)["messages"])) for call in calls_of("longer-prompts", wrong=wrong)]
        for wrong in (False, True)
    ]

    assert min(lengths[1]) > 2.5 * max(lengths[0])
    assert max(lengths[1]) < 3 * 1024


def test_the_secret_is_in_every_system_prompt_of_the_leak_and_in_no_question():
    for wrong in (False, True):
        for call in calls_of("leak", wrong=wrong):
            assert CANARY in call.system
            assert CANARY not in call.question
    assert CANARY in BY_NAME["leak"].config[0]


def test_calls_are_wrong_from_the_moment_on_in_which_the_fault_begins():
    begun = False
    scenario = BY_NAME["truncate"]
    calls = steady(random.Random(1), lambda: scenario.wrong if begun else scenario.usual, 2.0)
    before = [next(calls) for _ in range(50)]
    begun = True
    after = [next(calls) for _ in range(50)]

    assert {call.max_tokens for call in before} == {scenario.usual.max_tokens}
    assert {call.max_tokens for call in after} == {scenario.wrong.max_tokens}
    steps = [later.at_seconds - call.at_seconds for call, later in itertools.pairwise(before + after)]
    assert min(steps) >= 0.25
    assert max(steps) <= 0.75


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_what_a_fault_should_lead_to_are_signals_and_causes_that_exist(scenario):
    signals = {metric.name for metric in METRICS} | {name for name, _, _ in NUMBERS} | {ERROR, FINISH_REASON, "canary"}
    signals |= {plugin.name for plugin in detectors.checks.PLUGINS}

    assert set(scenario.signals) <= signals
    assert set(scenario.causes) <= {cause.summary for cause in CAUSES}
    assert scenario.signals
    assert scenario.causes


def test_a_fault_that_does_not_exist_is_refused_with_the_names_of_those_that_do(monkeypatch):
    monkeypatch.setenv("DEMO_FAULT", "lop")

    with pytest.raises(ConfigError, match="'lop' is none of loop, truncate, language, leak, slow, longer-prompts"):
        run_demo()
    assert named("slow").engine_share < 1
