import threading
import time
from types import SimpleNamespace

import pytest

from collector.accelerators import crew as crew_module
from collector.accelerators.crew import Crew


@pytest.fixture
def crew():
    made = Crew("test")
    yield made
    made.stop()


@pytest.fixture
def gate():
    """Opened at the end, so that no thread of a test stays behind."""
    event = threading.Event()
    yield event
    event.set()


def soon(seconds: float = 60.0) -> float:
    return time.monotonic() + seconds


class Until:
    """A moment by which a round ends: as soon as something is so, however slow the machine is."""

    def __init__(self, is_so):
        self._is_so = is_so
        self._last = soon()

    def __sub__(self, now):
        return 0.0 if self._is_so() else self._last - now


@pytest.fixture
def rounds(monkeypatch):
    """Those that were begun."""
    begun = []

    class Seen(crew_module._Round):
        def __init__(self, tasks):
            super().__init__(tasks)
            begun.append(self)

    monkeypatch.setattr(crew_module, "_Round", Seen)
    return begun


@pytest.fixture
def all_but(rounds):
    """`all_but(1)`: when the newest round waits for one alone, which has begun."""

    def waits_for(hanging):
        newest = rounds[-1]
        return not newest.pending and len(newest.answers) == newest.size - hanging

    return lambda hanging: Until(lambda: waits_for(hanging))


def test_all_answers_come_and_an_error_is_one_of_them(crew):
    answers = crew.run({"a": lambda: 1, "b": lambda: 1 // 0, "c": lambda: 3}, soon())

    assert (answers["a"], answers["c"]) == (1, 3)
    assert isinstance(answers["b"], ZeroDivisionError)


def test_one_thread_does_it_all_while_nobody_is_slow(crew, monkeypatch):
    monkeypatch.setattr(crew_module, "TURN_SECONDS", 60.0)  # the machine may be
    rounds = [crew.run({str(key): threading.get_ident for key in range(16)}, soon()) for _ in range(5)]

    assert len({answer for answers in rounds for answer in answers.values()}) == 1


def test_one_that_hangs_holds_up_nobody_and_its_answer_comes_late(crew, gate, all_but):
    tasks = {str(key): gate.wait if key == 3 else (lambda: True) for key in range(8)}
    answers = crew.run(tasks, all_but(1))

    assert answers.keys() == tasks.keys() - {"3"}
    assert crew.busy_since("3") is not None
    assert crew.late("3") is None
    assert crew.run({"0": lambda: 5}, soon()) == {"0": 5}

    gate.set()
    end = soon()
    while (late := crew.late("3")) is None and time.monotonic() < end:
        time.sleep(0.01)
    assert late is True
    assert crew.busy_since("3") is None


def test_many_that_hang_at_once_hold_up_nobody(crew, gate, all_but):
    tasks = {str(key): gate.wait if key < 15 else (lambda: True) for key in range(16)}

    assert crew.run(tasks, all_but(15)) == {"15": True}
    assert sum(1 for key in tasks if crew.busy_since(key) is not None) == 15


def test_one_that_was_not_begun_is_not_busy(crew, gate):
    answers = crew.run({"a": gate.wait, "b": gate.wait, "c": lambda: 1}, time.monotonic() + 0.005)

    assert answers == {}
    assert crew.busy_since("c") is None


def test_no_task_is_done_twice(crew):
    done = []
    for _ in range(200):
        crew.run({str(key): (lambda one=key: done.append(one)) for key in range(4)}, soon())

    assert len(done) == 800


class NeverRuns:
    """A thread that the system gives no time."""

    started = 0

    def __init__(self, **_: object) -> None:
        pass

    def start(self) -> None:
        NeverRuns.started += 1


def test_a_round_never_gets_more_hands_than_tasks_however_long_it_stands_still(monkeypatch):
    monkeypatch.setattr(crew_module, "threading", SimpleNamespace(Thread=NeverRuns, Lock=threading.Lock))

    turns = iter(range(25))

    assert Crew("starved").run({str(key): list for key in range(4)}, Until(lambda: next(turns, None) is None)) == {}
    assert NeverRuns.started == 4


def test_hands_that_slow_rounds_needed_go_again():
    crew = Crew("slow")

    def hands() -> int:
        return sum(thread.name.startswith("slow-") for thread in threading.enumerate())

    crew.run({str(key): lambda: time.sleep(0.2) for key in range(8)}, soon())
    end = soon()
    while hands() > 2 and time.monotonic() < end:
        time.sleep(0.01)

    assert 1 <= hands() <= 2
    assert crew.run({"a": lambda: 1}, soon()) == {"a": 1}
    crew.stop()


def test_a_round_is_left_while_hands_still_take_of_it(crew, gate):
    """A key that is slow to be looked at stands for a change of threads just there."""
    taken = threading.Event()
    is_due = threading.Event()

    class Slow(str):
        def __hash__(self):
            if is_due.is_set():
                gate.set()
                taken.wait(10)
            return super().__hash__()

    tasks = {"0": gate.wait, "1": gate.wait, Slow("2"): lambda: True, "3": taken.set}
    is_due.set()

    assert crew.run(tasks, soon(0.01)).keys() <= tasks.keys()
