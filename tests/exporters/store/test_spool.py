"""Events on their way: in order, once, bounded, and taken over from a process that is gone."""

import errno
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.store import spool as module
from exporters.store.events import FindingTold
from exporters.store.spool import Spool
from watchkeeper.core.records import Finding, Severity

MOST = 1 << 20


def told(number: int, size: int = 10, summary: str = "") -> FindingTold:
    said = summary or "x" * size
    found = Finding(at=1.0, since=1.0, severity=Severity.INFO, subject="s", summary=said, name="lag")
    return FindingTold(f"w-{number}", found)


def numbers(spool: Spool) -> list[int]:
    return [int(one.id.partition("-")[2]) for one in spool.peek(10_000)]


def drained(spool: Spool) -> list[int]:
    found = []
    while some := spool.peek(7):
        found += [int(one.id.partition("-")[2]) for one in some]
        spool.done(len(some))
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=40), st.booleans())
def test_whatever_comes_and_goes_order_stays_and_nothing_comes_twice(tmp_path_factory, steps, on_disk):
    spool = Spool(tmp_path_factory.mktemp("spool") if on_disk else None, 2_000)
    put = taken = 0
    for comes, count in steps:
        if comes:
            spool.put([told(put + one) for one in range(count)])
            put += count
        else:
            some = spool.peek(count)
            assert [one.id for one in some] == [f"w-{taken + one}" for one in range(len(some))]
            spool.done(len(some))
            taken += len(some)
        assert len(spool) == put - taken
    assert drained(spool) == list(range(taken, put))
    spool.close()


def test_what_a_process_left_comes_first_in_the_next_one(tmp_path):
    first = Spool(tmp_path, MOST)
    first.put([told(0), told(1), told(2)])
    first.done(1)
    first.close()

    second = Spool(tmp_path, MOST)
    second.put([told(3)])

    assert drained(second) == [0, 1, 2, 3]  # 0 is told again: its id makes it count once
    second.close()


def test_a_line_that_was_not_finished_is_left_out_and_counted(tmp_path):
    first = Spool(tmp_path, MOST)
    first.put([told(0), told(1)])
    first.close()
    file = tmp_path / "store-0.spool"
    file.write_bytes(file.read_bytes()[:-5])

    second = Spool(tmp_path, MOST)
    second.put([told(2)])

    assert (drained(second), second.dropped) == ([0, 2], 1)
    second.close()


def test_processes_that_share_a_folder_have_files_of_their_own_and_one_that_ended_is_taken_over(tmp_path):
    one, other = Spool(tmp_path, MOST), Spool(tmp_path, MOST)
    one.put([told(0)])
    other.put([told(1)])
    other.close()
    third = Spool(tmp_path, MOST)
    third.close()
    one.close()

    fourth = Spool(tmp_path, MOST)

    assert sorted(drained(fourth)) == [0, 1]
    fourth.close()


def test_past_its_room_the_file_takes_no_more_and_memory_a_bounded_number(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_HELD", 5)
    spool = Spool(tmp_path, 1_000)
    for number in range(100):
        spool.put([told(number, 150)])

    assert (tmp_path / "store-0.spool").stat().st_size <= 1_000
    assert spool.problem == "the room for findings on disk is full"
    kept = len(spool)
    assert spool.dropped == 100 - kept
    assert drained(spool) == list(range(kept))
    spool.close()


def test_with_the_disk_full_events_wait_in_memory_and_go_to_disk_when_there_is_room(tmp_path, monkeypatch):
    spool = Spool(tmp_path, MOST)
    spool.put([told(0)])
    write = os.pwrite

    def half(file, data, place):
        if len(data) > 50:
            return write(file, data[:50], place)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", half)
    spool.put([told(1)])
    assert "No space left" in spool.problem
    assert (tmp_path / "store-0.spool").read_bytes().endswith(b"\n")
    monkeypatch.setattr(os, "pwrite", write)
    spool.put([told(2)])

    assert spool.problem == ""
    spool.close()
    again = Spool(tmp_path, MOST)
    assert drained(again) == [0, 1, 2]
    again.close()


def test_what_went_partly_to_disk_while_the_database_took_it_is_taken_out_once(tmp_path, monkeypatch):
    spool = Spool(tmp_path, 1_000)
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        spool.put([told(one) for one in range(20)])
    taken = spool.peek(10)
    spool.put([told(20)])
    spool.done(len(taken))

    assert len(spool) == 11
    assert (drained(spool), spool.dropped) == (list(range(10, 21)), 0)
    spool.close()


@pytest.mark.parametrize("number", [1, 10])
def test_the_file_does_not_grow_while_the_database_takes_what_comes(tmp_path, number):
    spool = Spool(tmp_path, 5_000)
    spool.put([told(one) for one in range(number)])
    for more in range(number, 400):
        spool.put([told(more)])
        spool.done(1)
        assert spool.problem == ""

    assert spool.dropped == 0
    assert drained(spool) == list(range(400 - number, 400))
    spool.close()


class Killed(BaseException):
    """In the middle of writing: a page may be there and the next not."""


@settings(deadline=None, max_examples=100)
@given(cut=st.integers(0, 3_000))
def test_who_is_killed_while_it_makes_room_leaves_all_that_waits_and_nothing_that_nobody_told(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("spool")
    events = [told(number, summary=f"step {number}") for number in range(10, 41)]
    first = Spool(folder, MOST)
    first.put(events[:-1])
    first.done(20)

    def killed(file: int, data: bytes, place: int) -> None:
        os.pwrite(file, data[:cut], place)
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_write", killed)
        with pytest.raises(Killed):
            first.put(events[-1:])
    first.close()

    second = Spool(folder, MOST)
    found = second.peek(10_000)
    second.close()

    assert [one for one in found if one not in events] == []
    order = list(dict.fromkeys(one.id for one in found))
    assert [one for one in order if one >= "w-30"] == [f"w-{number}" for number in range(30, 40)]


def test_what_waits_is_on_disk_at_its_new_place_before_its_old_one_is_cut_off(tmp_path, monkeypatch):
    spool = Spool(tmp_path, MOST)
    spool.put([told(number) for number in range(10)])
    spool.done(7)
    write, sync, cut = module._write, os.fdatasync, os.ftruncate
    happened = []
    monkeypatch.setattr(module, "_write", lambda *given: (happened.append("write"), write(*given)))
    monkeypatch.setattr(os, "fdatasync", lambda file: (happened.append("sync"), sync(file)))
    monkeypatch.setattr(os, "ftruncate", lambda *given: (happened.append("cut"), cut(*given)))

    spool.put([told(10)])

    assert happened == ["write", "sync", "cut", "write", "sync"]
    assert drained(spool) == [7, 8, 9, 10]
    spool.close()


def test_an_event_that_is_far_too_large_is_dropped_alone(tmp_path):
    spool = Spool(tmp_path, MOST)
    spool.put([told(0), told(1, 1 << 19), told(2)])

    assert (drained(spool), spool.dropped) == ([0, 2], 1)
    spool.close()


def test_a_folder_that_cannot_be_written_leaves_memory(tmp_path):
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file", MOST)
    spool.put([told(0)])

    assert spool.problem
    assert drained(spool) == [0]
