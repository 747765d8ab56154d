import itertools
import random

from watchkeeper.agent.demo.traffic import BURST_CALLS, Fault, plan


def first(count: int, seed: int = 1):
    return list(itertools.islice(plan(random.Random(seed)), count))


def test_the_first_calls_show_each_kind_once():
    opening = first(4)

    assert {call.fault for call in opening} == {None, *Fault}
    assert {call.streamed for call in opening if call.fault is None} == {True, False}
    assert {call.at_seconds for call in opening} == {0.0}


def test_the_same_seed_gives_the_same_calls():
    assert first(50, seed=3) == first(50, seed=3)
    assert first(50, seed=3) != first(50, seed=4)


def test_calls_come_in_order_and_some_of_them_in_bursts():
    moments = [call.at_seconds for call in first(400)[4:]]
    together = [len(list(group)) for _, group in itertools.groupby(moments)]

    assert moments == sorted(moments)
    assert {1, BURST_CALLS[0], BURST_CALLS[1]} <= set(together)
    assert max(together) <= BURST_CALLS[1]


def test_a_faulty_prompt_alone_is_past_the_models_context():
    characters = {call.fault: 112 * call.background_sentences for call in first(400)}

    assert characters[Fault.TOO_LONG] > 4 * 1024 > 4 * max(n for fault, n in characters.items() if not fault) // 3
