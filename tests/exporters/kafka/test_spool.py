"""Messages that wait: in order, bounded, there again after a kill, and not lost with the disk."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.kafka.spool import Message, Spool


def message(number: int, size: int = 10) -> Message:
    return Message(float(number), "t", b"k", str(number).encode().rjust(size))


def numbers(spool: Spool, count: int = 1000) -> list[int]:
    return [int(one.message.value) for one in spool.first(count)]


@pytest.fixture
def lost() -> Counter[str]:
    return Counter()


def opened(file: Path | None, lost: Counter[str], most: int = 1 << 20) -> Spool:
    return Spool(file, most, lambda reason, count: lost.update({reason: count}))


def test_what_was_put_and_not_taken_off_is_there_again_after_a_kill(tmp_path: Path, lost: Counter[str]) -> None:
    file = tmp_path / "deep" / "spool"
    script = f"""
import os, signal
from pathlib import Path
from exporters.kafka.spool import Message, Spool
spool = Spool(Path({str(file)!r}), 1 << 20, print)
message = lambda number: Message(float(number), "t", b"k", str(number).encode())
spool.put([message(number) for number in range(5)])
spool.take_off(spool.first(2))
spool.put([message(5)])
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], check=False)

    again = opened(file, lost)

    assert numbers(again) == [2, 3, 4, 5]
    assert again.messages == 4
    assert again.oldest() == 2.0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4), st.booleans()), max_size=20), st.booleans())
def test_it_is_a_queue_whatever_is_put_taken_off_and_reopened(tmp_path_factory: Any, steps: Any, on_disk: bool) -> None:
    lost: Counter[str] = Counter()
    file = tmp_path_factory.mktemp("spool") / "spool" if on_disk else None
    spool, made = opened(file, lost), 0
    model: list[int] = []
    for put, off, reopen in steps:
        spool.put([message(made + more) for more in range(put)])
        model += range(made, made + put)
        made += put
        if off and (first := spool.first(off)):
            spool.take_off(first)
            del model[: len(first)]
        if reopen and on_disk:
            spool.close()
            spool = opened(file, lost)
        assert numbers(spool) == model
        assert spool.messages == len(model)
        assert spool.size_bytes == len(model) * (1 + 10 + 64)
    assert not lost


@pytest.mark.parametrize("on_disk", [True, False])
def test_past_its_room_the_oldest_make_way_and_are_counted(tmp_path: Path, lost: Counter[str], on_disk: bool) -> None:
    spool = opened(tmp_path / "spool" if on_disk else None, lost, most=100_000)
    for number in range(1000):
        spool.put([message(number, 1000)])

    held = numbers(spool)
    assert held[-1] == 999
    assert held == list(range(1000 - len(held), 1000))
    assert lost["full"] == 1000 - len(held)
    assert 80 <= len(held) <= 100
    if on_disk:
        assert (tmp_path / "spool").stat().st_size < 300_000


def test_a_file_that_is_none_is_put_aside(tmp_path: Path, lost: Counter[str]) -> None:
    (tmp_path / "spool").write_bytes(b"no database " * 1000)
    spool = opened(tmp_path / "spool", lost)
    spool.put([message(1)])
    spool.close()

    assert numbers(opened(tmp_path / "spool", lost)) == [1]
    assert (tmp_path / "spool.damaged").exists()
    assert lost == {"damaged": 1}


def test_a_second_process_on_the_same_folder_waits_in_memory(tmp_path: Path, lost: Counter[str]) -> None:
    first = opened(tmp_path / "spool", lost)
    first.put([message(1)])
    second = opened(tmp_path / "spool", lost)
    second.put([message(2)])

    assert (numbers(first), numbers(second)) == ([1], [2])


def test_a_disk_that_is_full_costs_no_message_and_is_used_again(
    tmp_path: Path, lost: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporters.kafka.spool._RETRY_SECONDS", 0.0)
    file = tmp_path / "spool"
    spool = opened(file, lost)
    spool.put([message(1)])
    pages = spool._database.execute("PRAGMA page_count").fetchone()[0]
    spool._database.execute(f"PRAGMA max_page_count = {pages}")
    spool.put([message(2, 50_000)])
    assert numbers(spool) == [1, 2]

    spool.put([message(3)])
    spool.close()

    assert numbers(opened(file, lost)) == [1, 2, 3]
    assert not lost


def test_when_the_disk_fails_no_more_is_taken_off_than_was_sent(tmp_path: Path, lost: Counter[str]) -> None:
    spool = opened(tmp_path / "spool", lost)
    spool.put([message(number) for number in range(10)])
    spool.take_off(spool.first(6))
    sent = spool.first(1)

    spool._database.execute("PRAGMA query_only = ON")
    spool.take_off(sent)

    assert not spool.is_kept
    assert numbers(spool) == [7, 8, 9]


def test_what_lanes_hold_back_is_passed_over_and_keeps_its_place(tmp_path: Path, lost: Counter[str]) -> None:
    spool = opened(tmp_path / "spool", lost)
    spool.put([Message(0.0, topic, key, b"%d" % place) for place, (topic, key) in enumerate(
        [("a", b"x"), ("b", b"x"), ("a", b"y"), ("b", b"x"), ("a", b"x")]
    )])  # fmt: skip

    passed = spool.first(10, {("b", b"x"), ("a", b"y")})
    spool.take_off(passed)

    assert [one.message.value for one in passed] == [b"0", b"4"]
    assert numbers(spool) == [1, 2, 3]
