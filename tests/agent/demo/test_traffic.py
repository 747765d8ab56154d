import asyncio
import itertools
import random
from types import SimpleNamespace

import msgspec

from watchkeeper.agent.demo.traffic import BURST_CALLS, Fault, Made, drive, last_words, plan


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


def test_the_time_of_the_calls_lasts_until_the_last_one_has_ended():
    stop = asyncio.Event()

    async def create(**_):
        stop.set()
        await asyncio.sleep(0.3)

    completions = SimpleNamespace(completions=SimpleNamespace(create=create))
    client = SimpleNamespace(with_options=lambda **_: SimpleNamespace(chat=completions))
    plain = next(call for call in first(10) if not call.streamed)

    made = asyncio.run(drive(client, "m", iter([plain, *first(400)[4:]]), stop))

    assert made.calls == 1
    assert made.seconds >= 0.3


def test_the_last_words_of_a_client_are_found_among_others():
    made = Made(calls=3, seconds=4.5)

    assert last_words(f"a warning\n{msgspec.json.encode(made).decode()}\nlate words\n7\n") == made
    assert last_words("Traceback: cut off") is None
