import math
from typing import Any

import pytest

from detectors.causes.candidates import BY_NAME, Measure, Take
from detectors.causes.history import STEP_SECONDS, STEPS, History
from detectors.causes.scope import REST, Place, place_of, tiers
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Batch, HistogramValue, Point
from watchkeeper.core.vocabulary import devices, engines, outputs, requests

START = 1_000_000.0
WAITING = BY_NAME["waiting"].measures[0]
RATE = BY_NAME["request_rate"].measures[0]
ERRORS = BY_NAME["memory_errors"].measures[0]
PROMPT = BY_NAME["prompt_tokens"].measures[0]
MARKED = BY_NAME["marked"].measures[0]
KV = BY_NAME["kv_cache"].measures[0]


class Told:
    def __init__(self, **settings: Any) -> None:
        self.history = History(**settings)
        self.at = START

    def step(self, *points: Point, gone: tuple[tuple[Metric, tuple[tuple[str, str], ...]], ...] = ()) -> None:
        self.history.update(Batch(self.at, points, gone))
        self.at += STEP_SECONDS

    def values(self, measure: Measure, places: set[Place] | None = None) -> list[float]:
        """What a single track says of every step known; nan = not told."""
        self.history.update(Batch(self.at))
        first, last = self.history.first_step, self.history.last_step
        tracks = self.history.tracks(measure, places or set(self.history.places), first, last)
        assert len(tracks) == 1
        both = zip(tracks[0].upper, tracks[0].lower, strict=True)
        return [math.nan if math.isnan(over) else round(over / under, 6) for over, under in both]


def of(pod: str) -> tuple[tuple[str, str], ...]:
    return (("k8s.pod.name", pod),)


def tokens(count: float, total: float) -> Point:
    value = HistogramValue((1.0,), (count, 0.0), total)
    return Point(requests.CLIENT_TOKEN_USAGE, (("gen_ai.token.type", "input"),), value)


def same(values: list[float], expected: list[float]) -> bool:
    return values == pytest.approx(expected, abs=0, rel=0, nan_ok=True)


def test_a_gauge_holds_until_it_is_gone_and_then_is_not_told():
    told = Told()
    told.step(Point(engines.WAITING, of("a"), 4.0), Point(engines.WAITING, of("b"), 8.0))
    told.step()
    told.step(gone=((engines.WAITING, of("a")),))
    told.step(gone=((engines.WAITING, of("b")),))

    assert same(told.values(WAITING), [6.0, 6.0, 8.0, math.nan])


def test_of_the_fullest_the_largest_is_taken_below_zero_too():
    told = Told()
    told.step(Point(engines.KV_CACHE_MAX, of("a"), -4.0), Point(engines.KV_CACHE_MAX, of("b"), -8.0))

    assert same(told.values(KV), [-4.0])


def test_a_counter_gives_what_it_added_and_begins_anew_when_it_fell():
    told = Told()
    for total in (10.0, 15.0, 15.0, 3.0):
        told.step(Point(requests.REQUESTS, of("a"), total))

    assert same(told.values(RATE), [10.0, 5.0, 0.0, 3.0])


def test_a_counter_is_not_told_before_it_exists_but_one_of_rare_events_was_at_zero():
    told = Told()
    told.step()
    told.step()
    told.step(Point(requests.REQUESTS, of("a"), 2.0), Point(devices.ERRORS, of("a"), 1.0))

    assert same(told.values(RATE), [math.nan, math.nan, 2.0])
    assert same(told.values(ERRORS), [0.0, 0.0, 1.0])


def test_a_histogram_gives_the_mean_of_what_was_observed_in_the_step_also_when_it_began_anew():
    told = Told()
    told.step(tokens(2, 600.0))
    told.step(tokens(6, 2600.0))
    told.step()
    told.step(tokens(1, 50.0))

    assert same(told.values(PROMPT), [300.0, 500.0, math.nan, 50.0])


def test_a_share_is_of_both_counters_and_places_add_up():
    told = Told()
    chat = (("service.name", "chat"), ("check", "refusal"))
    shop = (("service.name", "shop"), ("check", "refusal"))
    told.step(Point(outputs.CHECKED, chat, 10.0), Point(outputs.CHECKED, shop, 30.0))
    told.step(Point(outputs.CHECKED, chat, 20.0), Point(outputs.CHECKED, shop, 60.0), Point(outputs.FLAGGED, shop, 4.0))

    assert same(told.values(MARKED), [0.0, 0.1])
    assert same(told.values(MARKED, {Place(service="chat")}), [0.0, 0.0])


def test_steps_in_which_nothing_ran_are_not_told():
    told = Told()
    told.step(Point(engines.WAITING, of("a"), 4.0))
    told.at += 2 * STEP_SECONDS
    told.step()

    assert same(told.values(WAITING), [4.0, math.nan, math.nan, 4.0])


@pytest.mark.parametrize("steps", [2, 300, STEPS - 1, STEPS, STEPS + 1])
@pytest.mark.parametrize("before", [1, STEPS - 100, STEPS + 7])
def test_only_the_steps_of_a_pause_are_not_told(before, steps):
    told = Told()
    for _ in range(before):
        told.step(Point(engines.WAITING, of("a"), 4.0))
    told.at += (steps - 1) * STEP_SECONDS
    told.step()

    values = told.values(WAITING)
    left = max(0, min(before, STEPS - steps))
    assert same(values, [4.0] * left + [math.nan] * (len(values) - left - 1) + [4.0])
    assert len(values) == min(STEPS, before + steps)


def test_a_clock_that_is_set_back_begins_anew():
    told = Told()
    told.step(Point(engines.WAITING, of("a"), 4.0))
    told.step()
    told.at -= 3600.0
    told.step(Point(engines.WAITING, of("a"), 5.0))

    assert same(told.values(WAITING), [5.0])


def test_what_is_older_than_ninety_minutes_is_gone():
    told = Told()
    for number in range(STEPS + 5):
        told.step(Point(engines.WAITING, of("a"), float(number)))

    assert told.values(WAITING) == [float(number) for number in range(5, STEPS + 5)]


def test_a_jump_past_everything_known_leaves_nothing():
    told = Told()
    told.step(Point(engines.WAITING, of("a"), 1.0))
    told.at += 10 * STEPS * STEP_SECONDS
    told.step(gone=((engines.WAITING, of("a")),))

    assert all(math.isnan(value) for value in told.values(WAITING))


def test_past_the_rows_there_are_new_places_add_up_in_one_and_memory_is_bounded():
    told = Told(measures=(RATE,), max_rows=20)
    for number in range(200):
        told.step(Point(requests.REQUESTS, of(f"p{number}"), 10.0))

    assert len(told.history.places) == 21
    assert REST in told.history.places
    assert told.values(RATE)[-1] == 10.0
    assert told.history.bytes_held == 21 * STEPS * 4


def test_a_row_that_held_nothing_for_ninety_minutes_goes_to_a_new_place():
    told = Told(measures=(RATE,), max_rows=1)
    told.step(Point(requests.REQUESTS, of("old"), 10.0))
    told.step(gone=((requests.REQUESTS, of("old")),))
    for _ in range(STEPS + 1):
        told.step()
    told.step(Point(requests.REQUESTS, of("new"), 10.0))
    told.step()

    assert told.history.places == {Place(pod="new")}


def test_half_a_histogram_and_what_no_float_holds_are_no_values():
    told = Told()
    half = Point(requests.CLIENT_TOKEN_USAGE, (("gen_ai.token.type", "input"),), HistogramValue((1.0,), (1.0,), 1.0))
    told.step(half, Point(engines.WAITING, of("a"), math.nan), Point(engines.KV_CACHE_MAX, of("a"), 1e300))

    assert same(told.values(PROMPT), [math.nan])
    assert same(told.values(WAITING), [math.nan])
    assert same(told.values(KV), [math.nan])


def test_the_same_metric_read_by_different_rules_never_mixes():
    told = Told()
    labels = (("gen_ai.token.type", "output"),)
    told.step(Point(requests.CLIENT_TOKEN_USAGE, labels, HistogramValue((1.0,), (1.0, 0.0), 50.0)), tokens(1, 300.0))

    assert same(told.values(PROMPT), [300.0])
    assert same(told.values(BY_NAME["generated_tokens"].measures[0]), [50.0])
    assert PROMPT.take is Take.EACH


SERVICE = Place("shop", "", "chat", "qwen")
ENGINE = Place("ml", "llama-0", "vllm", "qwen")
GPU = Place("ml", "llama-0", device="GPU-0")
OTHER_GPU = Place("ml", "llama-0", device="GPU-1")
ELSEWHERE = Place("ml", "mistral-0", "vllm", "mistral")
ALL = {SERVICE, ENGINE, GPU, OTHER_GPU, ELSEWHERE}


@pytest.mark.parametrize(
    ("subject", "own", "in_pods", "near"),
    [
        (SERVICE, {SERVICE}, {SERVICE}, {SERVICE, ENGINE, GPU, OTHER_GPU}),
        (Place(device="GPU-0"), {GPU}, {GPU, OTHER_GPU, ENGINE}, {GPU, OTHER_GPU, ENGINE, SERVICE}),
        (Place("ml", "mistral-0"), {ELSEWHERE}, {ELSEWHERE}, {ELSEWHERE}),
        (Place("ml"), set(), set(), set()),
        (Place("other", "llama-0"), set(), set(), set()),
    ],
)
def test_services_devices_and_engines_are_joined_by_pod_and_model(subject, own, in_pods, near):
    assert tiers(subject, ALL) == (own, in_pods, near, ALL)


def test_a_place_is_what_labels_name():
    labels = (("k8s.namespace.name", "ml"), ("hw.id", "GPU-0"), ("clock", "core"))

    assert place_of(labels) == Place("ml", device="GPU-0")
