"""Every cause of the table in a history of its own: it comes first, or is told as not measured."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.causes.candidates import BY_NAME, CANDIDATES, MEASURES
from detectors.causes.moves import Move
from detectors.causes.rank import rank
from detectors.causes.table import CAUSES, PAGE
from watchkeeper.core.vocabulary import METRICS, health, requests

SERVICE = {"k8s.namespace.name": "shop", "service.name": "chat", "gen_ai.request.model": "qwen"}

SCENES = {
    "device throttled": {"throttle": 0.7, "clock": 1300e6, "celsius": 84.0, "pace": 0.03, "waiting": 9.0},
    "kv cache full": {"kv": 0.99, "preempted": 3, "waiting": 14.0, "hit": 0.4, "first": 1.6, "pace": 0.03},
    "load": {"rate": 8.0, "waiting": 6.0, "first": 0.8, "kv": 0.65},
    "longer prompts": {"prompt": 465.0, "prefill": 0.45, "first": 0.6, "kv": 0.55},
    "longer answers": {"output": 420.0, "kv": 0.6, "reasoning": 0.5},
    "cache cold": {"hit": 0.1, "first": 0.8, "prefill": 0.65},
    "slow peer": {"slow": 1.8, "pace": 0.026, "busy": 0.6},
    "memory or link errors": {"ecc": 2, "pace": 0.025},
    "model or decoding change": {"refusal": 0.15, "surprise": 0.9},
    "traffic mix change": {"english": 0.3, "acme": 0.9, "output": 280.0, "truncation": 0.1},
    "slower engine": {"pace": 0.04, "first": 0.8},
}  # fmt: skip


@pytest.mark.parametrize("name", SCENES)
def test_a_cause_comes_first_where_what_it_is_known_by_moved(estate, name):
    here = estate()
    here.run(35)
    since = here.at
    here.run(6, **SCENES[name])

    finding = here.explain(since)

    by_summary = {cause.summary: cause.name for cause in CAUSES}
    assert by_summary[finding.causes[0].summary] == name
    scores = [cause.score for cause in finding.causes]
    assert all(0 < score < 1 for score in scores)
    assert len(scores) <= 3


@pytest.mark.parametrize("seed", range(8))
def test_a_history_in_which_nothing_changed_gives_no_cause(estate, seed):
    here = estate(seed)
    here.run(41)

    assert here.explain(here.at - 360).causes == ()


@pytest.mark.parametrize("minutes", [6, 40])
@pytest.mark.parametrize("phase", [0.0, 0.3, 0.6])
def test_the_daily_rise_and_fall_of_traffic_is_no_cause(estate, phase, minutes):
    here = estate()
    for tick in range(6 * 85):
        load = 1 + 0.6 * math.sin(2 * math.pi * (tick / 8640 + phase))
        here.tick(rate=4 * load, first=0.4 * load, waiting=3 * load, kv=0.5 * load, prompt=310 * (1 + load) / 2)

    assert here.explain(here.at - 60 * minutes).causes == ()


@pytest.mark.parametrize(("before", "after"), [(3.5, 0.7), (3.5, 5), (5, 5), (35, 0.7), (35, 30), (85, 4)])
def test_a_cause_is_found_with_little_and_with_much_on_either_side(estate, before, after):
    here = estate()
    here.run(before)
    since = here.at
    here.run(after, **SCENES["longer prompts"])

    assert here.explain(since).causes[0].summary == "prompts are longer than before"


def test_what_moved_is_told_in_units_that_people_read(estate):
    here = estate()
    here.run(35)
    since = here.at
    here.run(6, prompt=465.0)

    [cause] = [cause for cause in here.explain(since).causes if cause.summary.startswith("prompts")]

    assert cause.moved[0].startswith("prompt tokens 3")
    assert " -> 46" in cause.moved[0]
    assert "(z +" in cause.moved[0]
    assert cause.runbook == "docs/causes.md#longer-prompts"
    assert cause.action.startswith("see which service")


@pytest.mark.parametrize(
    ("left_out", "names"),
    [
        ("throttle", ["device throttled", "host"]),
        ("kv", ["kv cache full", "host"]),
        ("straggler", ["slow peer", "host"]),
        ("errors", ["memory or link errors", "host"]),
        ("hit", ["cache cold", "host"]),
    ],
)
def test_a_cause_whose_required_quantity_nobody_tells_is_told_as_not_measured(estate, left_out, names):
    here = estate(leave_out=(left_out,))
    here.run(35)
    since = here.at
    here.run(6, **SCENES[names[0]])

    finding = here.explain(since)

    assert f"causes not measured: {', '.join(names)}" in finding.evidence
    told = next(cause.summary for cause in CAUSES if cause.name == names[0])
    assert told not in [cause.summary for cause in finding.causes]


def test_a_kv_cache_that_is_fuller_but_not_full_is_not_told_as_full(estate):
    here = estate()
    here.run(35)
    since = here.at
    here.run(6, kv=0.7, waiting=4.0)

    assert all("KV" not in cause.summary for cause in here.explain(since).causes)


def test_one_memory_error_after_half_an_hour_without_counts(estate):
    here = estate()
    here.run(35)
    since = here.at
    here.run(2)
    here.tick(ecc=1)
    here.run(2)

    assert [cause.summary for cause in here.explain(since).causes] == ["a device has memory or link errors"]


def test_errors_that_always_came_now_and_then_are_no_cause(estate):
    here = estate()
    for _ in range(8):
        here.run(5)
        here.tick(ecc=1)
    since = here.at
    here.run(4)
    here.tick(ecc=1)
    here.run(2)

    assert here.explain(since).causes == ()


def test_causes_of_a_device_come_from_it_and_its_pod(estate):
    here = estate()
    here.run(35)
    since = here.at
    here.run(6, **SCENES["device throttled"])

    finding = here.explain(since, {"hw.id": "GPU-1"})

    assert finding.causes[0].moved[0].startswith("time with clocks held back, per second 0 ms -> 700 ms (z +20)")
    assert any("requests waiting" in line for line in finding.causes[0].moved)


def test_a_finding_that_names_nothing_is_explained_by_everything_watched(estate):
    here = estate()
    here.run(35)
    since = here.at
    here.run(6, **SCENES["longer prompts"])

    finding = here.explain(since, {})

    assert finding.causes[0].summary == "prompts are longer than before"
    assert "everything watched" in finding.causes[0].moved[0]


def test_little_history_is_said_and_too_little_gives_no_cause(estate):
    here = estate()
    here.run(12)
    since = here.at
    here.run(3, prompt=465.0)
    young = estate()
    young.run(2)
    started = young.at
    young.run(3, prompt=465.0)

    assert here.explain(since).causes[0].summary == "prompts are longer than before"
    assert "compared with 12 minutes before the onset: no more are known" in here.explain(since).evidence
    assert young.explain(started).causes == ()
    assert young.explain(started).evidence == (
        "causes not ranked: 2 minutes before the onset are known, 3 are needed",
    )  # fmt: skip


def test_a_finding_at_its_very_onset_says_that_there_is_nothing_to_compare_yet(estate):
    here = estate()
    here.run(35)

    assert here.explain(here.at).evidence == (
        "causes not ranked: 0 seconds since the onset are known, 30 are needed",
    )  # fmt: skip


def moves(**of: tuple[float, float]) -> dict[str, Move]:
    """Name of a candidate to its z and onset; all others stayed."""
    still = {candidate.name: Move(candidate, 1.0, 1.0, 0.0) for candidate in CANDIDATES}
    return still | {name: Move(BY_NAME[name], 1.0, 2.0, z, onset) for name, (z, onset) in of.items()}


@pytest.mark.parametrize(("prompts_at", "answers_at"), [(500.0, 600.0), (600.0, 500.0)])
def test_of_causes_that_are_as_probable_the_one_that_began_earlier_is_first(prompts_at, answers_at):
    ranked, _ = rank(moves(prompt_tokens=(9.2, prompts_at), generated_tokens=(9.4, answers_at)))

    names = [each.cause.name for each in ranked if each.cause.name.startswith("longer")]
    assert names == (
        ["longer prompts", "longer answers"] if prompts_at < answers_at else ["longer answers", "longer prompts"]
    )


def test_a_required_quantity_that_hardly_moved_halves_a_cause_and_one_that_did_not_ends_it():
    expected = {"waiting": (12.0, 5.0), "first_token": (12.0, 5.0), "kv_cache": (12.0, 5.0)}
    scores = {
        z: {each.cause.name: each.score for each in rank(moves(request_rate=(z, 5.0), **expected))[0]}
        for z in (12.0, 2.0, 0.5, -5.0)
    }

    assert scores[12.0]["load"] == pytest.approx(24.0)
    assert scores[2.0]["load"] == pytest.approx((2 + 36) / 2 / 2)
    assert "load" not in scores[0.5]
    assert "load" not in scores[-5.0]


def test_a_mix_of_requests_needs_all_that_it_requires_and_takes_no_noise_for_a_move():
    both = moves(prompt_tokens=(-12.0, 5.0), language=(12.0, 5.0), generated_tokens=(2.9, 5.0))
    [mix] = [each for each in rank(both)[0] if each.cause.name == "traffic mix change"]
    del both["prompt_tokens"]

    assert mix.score == pytest.approx(24 / 4**0.5)
    assert "traffic mix change" in rank(both)[1]


@pytest.mark.parametrize("since_minutes", [5, 20, 50])
def test_a_steady_ramp_however_steep_is_no_cause(estate, since_minutes):
    here = estate()
    for tick in range(6 * 89):
        here.tick(prompt=100.0 + 20 * tick, first=0.1 + 0.02 * tick)

    assert here.explain(here.at - 60 * since_minutes).causes == ()


def test_an_observer_that_joins_later_and_sees_other_latencies_moves_nothing(estate):
    here = estate()
    here.run(35)
    since = here.at
    for _ in range(36):
        for _ in range(200):
            here.say(requests.SERVER_FIRST_TOKEN, 5.0, SERVICE, watchkeeper__vantage="tap")
        here.tick(rate=8.0)

    evidence = here.explain(since).evidence
    assert any(line.startswith("requests ") for line in evidence)
    assert not any("first token" in line for line in evidence)


def test_what_should_have_stayed_and_did_not_halves_a_cause():
    def score(**more: tuple[float, float]) -> float:
        ranked, _ = rank(moves(prefix_hits=(-12.0, 5.0), **more))
        return next(each.score for each in ranked if each.cause.name == "cache cold")

    assert score(prompt_tokens=(8.0, 5.0)) == pytest.approx(score() / 2)


def test_a_new_version_is_first_and_a_fact(estate):
    here = estate()
    for minute in range(40):
        here.serve("1.2" if minute < 33 else "1.3")
        here.run(1, **({} if minute < 35 else {"prompt": 465.0}))

    causes = here.explain(here.at - 300).causes

    assert causes[0].score == 1.0
    assert causes[0].summary == (
        "something was changed at that time: service version 1.2 -> 1.3 of shop/chat, 2 min before it"
    )
    assert causes[1].summary == "prompts are longer than before"


def test_a_version_of_another_service_or_hour_is_no_fact_of_this_finding(estate):
    here = estate()
    for minute in range(80):
        here.serve("1.2" if minute < 40 else "1.3")
        here.run(1)

    assert here.explain(here.at - 300).causes == ()
    assert here.explain(here.at - 2400, {"service.name": "other", "k8s.namespace.name": "x"}).causes == ()
    assert here.explain(here.at - 2400).causes[0].score == 1.0


def test_every_candidate_reads_what_the_vocabulary_has():
    for measure in MEASURES:
        assert {measure.metric, measure.of or measure.metric} <= set(METRICS)
        read = [measure.apart] if measure.apart else []
        assert {label for label, _ in measure.where} | set(read) <= set(measure.metric.labels)
        assert {label for label, _ in measure.of_where} <= set((measure.of or measure.metric).labels)


def test_every_cause_names_candidates_and_every_candidate_has_a_cause():
    named = set()
    for cause in CAUSES:
        for expected in (*cause.required, *cause.others):
            named |= set(expected.names)
        named |= set(cause.still)

    assert named == set(BY_NAME)
    assert len(BY_NAME) == len(CANDIDATES)


@settings(deadline=None, max_examples=15)
@given(
    values=st.lists(st.floats(), min_size=1, max_size=8),
    name=st.sampled_from(["clock", "watts", "kv", "celsius", "slow", "rate_of_errors"]),
)
def test_whatever_is_told_scores_are_finite_and_bounded(estate, values, name):
    here = estate()
    here.run(8)
    since = here.at
    for value in values * 5:
        if name == "rate_of_errors":
            here.tick(ecc=value)
        else:
            here.tick(**{name: value})

    finding = here.explain(since)

    assert all(0 < cause.score <= 1 for cause in finding.causes)
    assert not any("nan" in line.split() or "inf" in line for line in finding.evidence)
    assert not [sample for sample in here.ledger.drain(1.0) if sample.metric is health.SIGNAL_FAILURES]


@given(data=st.dictionaries(st.sampled_from(sorted(BY_NAME)), st.tuples(st.floats(-20, 20), st.floats(0, 1e9))))
def test_any_moves_rank_to_three_causes_at_most_best_first(data):
    ranked, unmeasured = rank({name: Move(BY_NAME[name], 1.0, 2.0, z, onset) for name, (z, onset) in data.items()})

    rounded = [round(each.score) for each in ranked]
    assert rounded == sorted(rounded, reverse=True)
    assert len(ranked) <= 3
    assert all(math.isfinite(each.score) and each.score >= 3 for each in ranked)
    assert ("host" in unmeasured) == ("host" not in data)


def test_every_cause_and_the_facts_have_a_heading_on_their_page():
    page = (Path(__file__).parents[3] / PAGE).read_text(encoding="utf-8")
    headings = {line.lstrip("# ").lower().replace(" ", "-") for line in page.splitlines() if line.startswith("#")}

    assert {cause.runbook.partition("#")[2] for cause in CAUSES} | {"facts"} <= headings
