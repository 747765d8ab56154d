import asyncio
import threading

import pytest

from watchkeeper.core.steps import MAX_INNER, MAX_WAITING, Step, Steps

NEVER = 3600.0


def steps(share: float = 1.0, slow_seconds: float = NEVER, chance: float = 0.5) -> Steps:
    made = Steps(chance=lambda: chance)
    made.keep(share, slow_seconds)
    return made


def names(found: tuple[Step, ...]) -> list[str]:
    return [step.name for step in found]


def test_until_somebody_asks_nothing_is_kept() -> None:
    silent = Steps()

    with silent.timed("tick", always=True) as step, silent.timed("write"):
        step.note("items", 1)
        step.fail("lost")
    silent.keep(1.0, NEVER)
    with silent.timed("read") as step:
        pass

    assert [(one.name, one.failure, one.attributes) for one in silent.drain()] == [("read", "", ())]


def test_what_happens_within_a_step_is_part_of_it() -> None:
    kept = steps()

    with kept.timed("tick"):
        with kept.timed("write", (("exporter", "page"),)) as step:
            step.note("items", 3)
        with kept.timed("sweep"):
            pass
    [tick] = kept.drain()

    assert names(tick.inner) == ["write", "sweep"]
    assert tick.inner[0].attributes == (("exporter", "page"), ("items", 3))
    assert tick.started <= tick.inner[0].started
    assert tick.seconds >= sum(step.seconds for step in tick.inner)
    assert kept.drain() == ()


@pytest.mark.parametrize(("chance", "kept"), [(0.09, ["tick"]), (0.1, [])])
def test_of_what_is_ordinary_a_share_is_kept(chance: float, kept: list[str]) -> None:
    some = steps(share=0.1, chance=chance)
    with some.timed("tick"):
        pass

    assert names(some.drain()) == kept


def test_what_is_slow_or_wanted_is_kept_whatever_the_share() -> None:
    slow, rare = steps(share=0.0, slow_seconds=0.0), steps(share=0.0)
    with slow.timed("tick"), slow.timed("write"):
        pass
    with rare.timed("start", always=True):
        pass

    assert (names(slow.drain()), names(rare.drain())) == (["tick"], ["start"])


def test_what_fails_is_kept_by_the_kind_of_error_alone() -> None:
    kept = steps(share=0.0)
    with pytest.raises(ZeroDivisionError), kept.timed("read"):
        raise ZeroDivisionError("canary")
    with kept.timed("tick"), kept.timed("scrape") as step:
        step.fail("timed_out")
    read, tick = kept.drain()

    assert (read.failure, tick.failure, tick.inner[0].failure) == ("ZeroDivisionError", "", "timed_out")
    assert "canary" not in repr(read)


def test_a_task_that_outlives_the_step_it_began_in_is_a_step_of_its_own() -> None:
    kept = steps()

    async def scrape(done: asyncio.Event) -> None:
        with kept.timed("scrape"):
            await done.wait()

    async def run() -> None:
        early, late = asyncio.Event(), asyncio.Event()
        with kept.timed("read"):
            tasks = [asyncio.create_task(scrape(early)), asyncio.create_task(scrape(late))]
            await asyncio.sleep(0)
            early.set()
            await tasks[0]
        late.set()
        await tasks[1]

    asyncio.run(run())
    read, scraped = kept.drain()

    assert (names(read.inner), scraped.name, scraped.inner) == (["scrape"], "scrape", ())


def test_threads_do_not_get_into_each_others_steps() -> None:
    kept = steps()

    def work() -> None:
        with kept.timed("push"):
            pass

    with kept.timed("tick"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert [(step.name, step.inner) for step in kept.drain()] == [("push", ()), ("tick", ())]


def test_too_many_are_dropped_and_counted_with_all_within() -> None:
    kept = steps()
    for _ in range(MAX_WAITING + 2):
        with kept.timed("tick"), kept.timed("write"):
            pass

    assert len(kept.drain()) == MAX_WAITING
    assert (kept.dropped(), kept.dropped()) == (4, 0)


def test_too_many_within_one_are_dropped_and_counted() -> None:
    kept = steps()
    with kept.timed("read"):
        for _ in range(MAX_INNER + 3):
            with kept.timed("scrape"):
                pass
    [read] = kept.drain()

    assert (len(read.inner), kept.dropped()) == (MAX_INNER, 3)
