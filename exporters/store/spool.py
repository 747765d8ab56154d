"""
Events on their way to the database: on disk before anything else is tried, in order, until the database has them.

A line each, a checksum and JSON: who is killed while room is made in the file leaves a line there that begins as one
and ends as another. What a process left behind is taken up by the next one; the ids of events make sure that what had
reached the database already counts once. Without a folder, and while its disk is full, they wait in memory, bounded.
"""

import fcntl
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Final
from zlib import crc32

import msgspec

from exporters.store.events import DECODER, ENCODER, Event

_NAME: Final = "store-{}.spool"
_MOST_FILES: Final = 64
_MOST_HELD: Final = 2_000
_MOST_LINE_BYTES: Final = 1 << 18
_READ_BYTES: Final = 1 << 20
_SUM_BYTES: Final = len("01234567 ")
_NO_FILE: Final = -1


class Spool:
    """
    For one thread that puts and one that takes. A file of its own for each process that shares the folder; one whose
    process is gone is taken over.

    :param folder: None: memory alone
    """

    def __init__(self, folder: Path | None, most_bytes: int) -> None:
        self.problem = ""
        """why events wait in memory alone"""
        self.dropped = 0
        """events lost for lack of room, and lines that were none"""
        self._lock = Lock()
        self._most_bytes = most_bytes
        self._held: deque[tuple[Event, bytes]] = deque()
        self._file = _NO_FILE
        self._size = 0
        self._done = 0
        """bytes of the file that the database has"""
        self._in_file = 0
        if folder is not None:
            try:
                self._file = self._open(folder)
            except OSError as error:
                self.problem = f"{folder}: {error.strerror}"

    def __len__(self) -> int:
        return self._in_file + len(self._held)

    def put(self, events: Sequence[Event]) -> None:
        """On disk when it returns, where there is one with room. Never raises."""
        with self._lock:
            self._put(events)

    def peek(self, most: int) -> list[Event]:
        """
        The oldest, in order.

        :raises OSError: the file cannot be read
        """
        with self._lock:
            return self._peek(most)

    def done(self, count: int) -> None:
        """
        The database has the oldest `count`, as `peek` gave them.

        :raises OSError: the file cannot be read
        """
        with self._lock:
            self._take_out(count)

    def drops(self) -> int:
        """How many were lost since the last call."""
        with self._lock:
            dropped, self.dropped = self.dropped, 0
        return dropped

    def _put(self, events: Sequence[Event]) -> None:
        for event in events:
            try:
                line = _line_of(event)
            except (msgspec.MsgspecError, ValueError, TypeError, OverflowError):
                line = b""
            if 0 < len(line) <= _MOST_LINE_BYTES:
                self._held.append((event, line))
            else:
                self.dropped += 1
        self._spill()
        while len(self._held) > _MOST_HELD:
            self._held.pop()  # the newest: order stays, and what is older may be what began it all
            self.dropped += 1

    def _peek(self, most: int) -> list[Event]:
        found = [DECODER.decode(line[_SUM_BYTES:]) for line in islice(self._lines(), most)]
        if not found and self._in_file:  # somebody emptied the file
            self.dropped += self._in_file
            self._clear()
        return found or [event for event, _ in islice(self._held, most)]

    def _take_out(self, count: int) -> None:
        """The first of what was in memory at `peek` may be in the file by now, and the rest still in memory."""
        on_disk = min(count, self._in_file)
        for _ in range(count - on_disk):
            self._held.popleft()
        if on_disk:
            self._done += sum(map(len, self._lines()[:on_disk]))
            self._in_file -= on_disk
            if not self._in_file:
                self._clear()
        self._spill()

    def close(self) -> None:
        if self._file != _NO_FILE:
            os.close(self._file)
            self._file = _NO_FILE

    def _spill(self) -> None:
        """From memory to disk, as far as there is room."""
        if self._file == _NO_FILE:
            return
        if not self._held:
            self.problem = ""
            return
        self._compact()
        lines: list[bytes] = []
        room = self._most_bytes - self._size
        for _, line in self._held:
            room -= len(line)
            if room < 0:
                break
            lines.append(line)
        data = b"".join(lines)
        try:
            _write(self._file, data, self._size)
            os.fdatasync(self._file)
        except OSError as error:
            self.problem = f"findings cannot be kept on disk: {error.strerror}"
            self._cut(self._size)
            return
        self.problem = "" if len(lines) == len(self._held) else "the room for findings on disk is full"
        self._size += len(data)
        self._in_file += len(lines)
        for _ in lines:
            self._held.popleft()

    def _compact(self) -> None:
        """
        Makes room of what the database has: in place, so that the lock on the file stays, and only where nothing is
        written over what still counts.
        """
        left = self._size - self._done
        if not self._done or left > self._done:
            return
        try:
            _write(self._file, os.pread(self._file, left, self._done), 0)
            os.fdatasync(self._file)  # what is cut off below is the only copy on disk until then
        except OSError as error:
            self.problem = f"findings cannot be kept on disk: {error.strerror}"
            return
        self._size, self._done = left, 0
        self._cut(left)

    def _clear(self) -> None:
        self._in_file = self._done = self._size = 0
        self._cut(0)

    def _cut(self, size: int) -> None:
        """What a failed write left behind must not be in the way of the next."""
        with suppress(OSError):
            os.ftruncate(self._file, size)

    def _lines(self) -> list[bytes]:
        """The next ones of the file, as many as are read at once."""
        if self._file == _NO_FILE:
            return []
        data = os.pread(self._file, min(_READ_BYTES, self._size - self._done), self._done)
        return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)

    def _open(self, folder: Path) -> int:
        """The first file that no other process has; what is in others that nobody has comes with it."""
        folder.mkdir(parents=True, exist_ok=True)
        mine = _NO_FILE
        for number in range(_MOST_FILES):
            path = folder / _NAME.format(number)
            if mine != _NO_FILE and not path.exists():
                continue
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                continue
            good = self._good(file)
            if mine == _NO_FILE:
                mine = file
            _write(mine, good, self._size)
            self._size += len(good)
            self._in_file += good.count(b"\n")
            os.ftruncate(mine, self._size)
            os.fdatasync(mine)
            if file != mine:
                os.ftruncate(file, 0)
                os.close(file)
        if mine == _NO_FILE:
            raise OSError(0, "is used by too many processes")
        return mine

    def _good(self, file: int) -> bytes:
        """The lines that are events."""
        lines = os.pread(file, os.fstat(file).st_size, 0).splitlines(keepends=True)
        good = [line for line in lines if _is_event(line)]
        self.dropped += len(lines) - len(good)
        return b"".join(good)


def _write(file: int, data: bytes, place: int) -> None:
    """:raises OSError: not written, or not wholly"""
    while data:
        written = os.pwrite(file, data, place)
        data, place = data[written:], place + written


def _line_of(event: Event) -> bytes:
    """:raises ValueError, TypeError, OverflowError, MsgspecError: it cannot be told in JSON"""
    said = ENCODER.encode(event)
    return b"%08x %b\n" % (crc32(said), said)


def _is_event(line: bytes) -> bool:
    said = line[_SUM_BYTES:].removesuffix(b"\n")
    if line != b"%08x %b\n" % (crc32(said), said):
        return False
    try:
        DECODER.decode(said)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True
