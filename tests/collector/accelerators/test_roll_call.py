import threading

import pytest

from collector.accelerators.driver import DriverError, Meaning
from collector.accelerators.roll_call import RollCall


@pytest.fixture
def counted():
    return []


@pytest.fixture
def roll(counted):
    roll = RollCall("vendor", "getHandle", lambda call, code: counted.append((call, code)))
    yield roll
    roll.stop()


@pytest.fixture
def hurry(monkeypatch):
    """Called before something hangs; who hangs not has answered before, and is then as it was if it should be late."""
    return lambda: monkeypatch.setattr("collector.accelerators.roll_call.LOOK_SECONDS", 0.1)


@pytest.fixture
def gate():
    """Closed until a test opens it, and at its end."""
    gate = threading.Event()
    yield gate
    gate.set()


def fails(meaning, code="CODE"):
    def ask():
        raise DriverError(meaning, code, "call")

    return ask


def test_those_that_answer_come_in_the_order_asked(roll, counted):
    assert list(roll.of({"b": lambda: 1, "a": lambda: 2}).items()) == [("b", 1), ("a", 2)]
    assert counted == []


def test_one_that_hangs_is_as_it_was_and_its_late_answer_is_not_taken_for_one_of_now(roll, counted, gate, hurry):
    roll.of({"a": lambda: "first", "b": lambda: "b"})
    hurry()
    assert roll.of({"a": lambda: gate.wait() and "late", "b": lambda: "b"}) == {"a": "first", "b": "b"}
    assert roll.of({"a": lambda: "not asked while it hangs", "b": lambda: "b"}) == {"a": "first", "b": "b"}

    gate.set()
    answers = {}
    while answers.get("a") != "now":
        answers = roll.of({"a": lambda: "now"})
        assert answers["a"] in ("first", "now")
    assert counted == []


def test_one_that_hangs_and_never_answered_is_counted_and_left_out(roll, counted, gate, hurry):
    roll.of({"b": lambda: "b"})
    hurry()
    assert roll.of({"a": gate.wait, "b": lambda: "b"}) == {"b": "b"}
    assert counted == [("getHandle", "HUNG")]


def test_one_that_fails_is_counted_and_left_out_also_where_it_answered_before(roll, counted):
    roll.of({"a": lambda: "a"})

    assert roll.of({"a": fails(Meaning.LOST), "b": lambda: "b"}) == {"b": "b"}
    assert counted == [("call", "CODE")]


def test_an_error_of_the_whole_library_is_raised(roll, counted):
    with pytest.raises(DriverError, match="restarted"):
        roll.of({"a": lambda: "a", "b": fails(Meaning.RESTARTED)})


def test_what_was_found_before_the_library_was_opened_anew_is_no_more(roll, gate, hurry):
    roll.of({"a": lambda: "old handle"})
    roll.forget()
    hurry()

    assert roll.of({"a": gate.wait}) == {}
