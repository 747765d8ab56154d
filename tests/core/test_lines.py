import os
import threading
from collections import deque
from pathlib import Path

import pytest

from watchkeeper.core import lines
from watchkeeper.core.lines import LineFile, LineWriter


class Counted:
    """What a writer says that became of lines."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.totals: dict[str, int] = {}

    def __call__(self, outcome: str, amount: int) -> None:
        with self._changed:
            self.totals[outcome] = self.totals.get(outcome, 0) + amount
            self._changed.notify_all()

    def wait_for(self, outcome: str, amount: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.totals.get(outcome, 0) >= amount, timeout=20)


def numbered(count: int) -> deque[bytes]:
    return deque(b"%04d\n" % number for number in range(count))


def test_the_file_and_older_ones_never_take_more_than_their_room_and_hold_the_newest(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "log", most_bytes=400, files=4)

    for line in numbered(1_000):
        file.append(deque([line]))

    kept = [tmp_path / name for name in ("log.3", "log.2", "log.1", "log")]
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert sum(one.stat().st_size for one in kept) <= 400
    together = b"".join(one.read_bytes() for one in kept)
    assert b"".join(numbered(1_000)).endswith(together)
    assert len(together) > 300


def test_one_line_larger_than_a_file_is_kept_whole(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "log", most_bytes=40, files=2)

    file.append(deque([b"small\n", b"x" * 100 + b"\n", b"after\n"]))

    assert (tmp_path / "log.1").read_bytes() == b"x" * 100 + b"\n"
    assert (tmp_path / "log").read_bytes() == b"after\n"


def test_a_torn_end_is_closed_before_the_next_line(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"whole": 1}\n{"to')

    LineFile(tmp_path / "log", 1_000, 2).append(deque([b"{}\n"]))

    assert (tmp_path / "log").read_bytes() == b'{"whole": 1}\n{"to\n{}\n'


def test_a_line_that_does_not_fit_on_the_disk_is_taken_back_and_stays_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    room = 8

    def full(file: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        written = write(file, bytes(data)[:room])
        room -= written
        return written

    monkeypatch.setattr(os, "write", full)
    waiting = numbered(3)

    with pytest.raises(OSError, match="No space left"):
        LineFile(tmp_path / "log", 1_000, 2).append(waiting)

    assert (tmp_path / "log").read_bytes() == b"0000\n"
    assert list(waiting) == [b"0001\n", b"0002\n"]


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "log", 1_000, 2)
    file.append(deque([b"one\n"]))
    (tmp_path / "log").rename(tmp_path / "away")

    file.append(deque([b"two\n"]))

    assert (tmp_path / "log").read_bytes() == b"two\n"


def test_an_owned_file_gets_its_mode_even_where_it_was_there_before(tmp_path: Path) -> None:
    (tmp_path / "log").touch(0o644)

    LineFile(tmp_path / "log", 1_000, 2, 0o600, owned=True).append(deque([b"one\n"]))

    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_pipe_that_nobody_reads_neither_blocks_the_start_nor_the_writer_of_lines(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    counted = Counted()
    file = LineFile(tmp_path / "pipe", 1_000, 2)
    file.probe()
    writer = LineWriter(file, 100_000, counted)

    for _ in range(20):
        writer.put(b"x" * 50_000)  # more than a pipe holds and more than may wait

    assert counted.wait_for("dropped", 1)
    assert not writer.close(0.1)


def test_what_waits_is_bounded_the_oldest_go_and_all_are_counted(tmp_path: Path) -> None:
    counted = Counted()
    (tmp_path / "log").mkdir()
    writer = LineWriter(LineFile(tmp_path / "log", 1_000, 2), 25, counted)

    for line in numbered(10):
        writer.put(line)
    assert not writer.close(20)

    assert counted.totals["dropped"] == 5
    assert writer.problem == f"{tmp_path / 'log'}: Is a directory"


def test_lines_that_waited_for_the_disk_are_written_once_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "RETRY_SECONDS", 0.01)
    counted = Counted()
    (tmp_path / "log").mkdir()
    writer = LineWriter(LineFile(tmp_path / "log", 1_000, 2), 1_000, counted)
    for line in numbered(5):
        writer.put(line)

    (tmp_path / "log").rmdir()

    assert counted.wait_for("written", 5)
    assert writer.close(20)
    assert (tmp_path / "log").read_bytes() == b"".join(numbered(5))
    assert writer.problem == ""


def test_what_was_put_before_the_close_is_written_also_while_the_disk_is_busy(tmp_path: Path) -> None:
    busy, go_on = threading.Event(), threading.Event()

    class Busy(LineFile):
        def append(self, lines: deque[bytes]) -> int:
            busy.set()
            go_on.wait(20)
            return super().append(lines)

    writer = LineWriter(Busy(tmp_path / "log", 100_000, 2), 100_000, Counted())
    writer.put(b"first\n")
    assert busy.wait(20)
    writer.put(b"second\n")
    assert not writer.close(0.0)

    go_on.set()

    assert writer.close(20)
    assert (tmp_path / "log").read_bytes() == b"first\nsecond\n"
