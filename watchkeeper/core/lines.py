"""Lines appended to a file by a thread of their own, older files kept beside it, all of them together bounded."""

import os
import stat
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final

RETRY_SECONDS: Final = 5.0


class LineFile:
    """
    `path` and, from newer to older, `path.1`, `path.2` and so on: `files` in all, together at most `most_bytes`.

    The file is opened for each writing, so that others may move it away. A line is there whole or not at all: what did
    not fit on the disk is taken back, and the torn end that a lost machine left is closed by a line break. Anything but
    a plain file (a pipe, /dev/stdout) is written to and left at that.

    :param mode: of the files that are made, and of those found when `owned`
    """

    def __init__(self, path: Path, most_bytes: int, files: int, mode: int = 0o644, *, owned: bool = False) -> None:
        self.path = path
        self._file_bytes = max(1, most_bytes // files)
        self._files = files
        self._mode = mode
        self._owned = owned

    def probe(self) -> None:
        """Make it, empty, where there is none. :raises OSError: it cannot be written"""
        os.close(self._open())

    def append(self, lines: deque[bytes]) -> int:
        """
        Write them and wait until the disk has them. Those written are taken off `lines`, also when the next fails.

        :return: how many were written
        :raises OSError: the disk is full, the folder is gone, …
        """
        count, file = 0, self._open()
        try:
            while lines:
                if self._is_full(file, len(lines[0])):
                    self._make_room()
                    os.close(file)
                    file = self._open()
                _write(file, lines[0])
                lines.popleft()
                count += 1
            if _is_plain(file):
                os.fdatasync(file)
        finally:
            os.close(file)
        return count

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # read and write: a pipe opened so waits for nobody, and the end of what is there can be looked at
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, self._mode)
        try:
            if _is_plain(file):
                if self._owned:
                    os.fchmod(file, self._mode)
                size = os.fstat(file).st_size
                if size and os.pread(file, 1, size - 1) != b"\n":
                    _write(file, b"\n")
        except BaseException:
            os.close(file)
            raise
        return file

    def _is_full(self, file: int, more: int) -> bool:
        size = os.fstat(file).st_size
        return _is_plain(file) and size > 0 and size + more > self._file_bytes

    def _make_room(self) -> None:
        for number in range(self._files - 1, 0, -1):
            newer = self._numbered(number - 1)
            if newer.exists():
                newer.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path


def _is_plain(file: int) -> bool:
    return stat.S_ISREG(os.fstat(file).st_mode)


def _write(file: int, line: bytes) -> None:
    before = os.fstat(file).st_size
    left = memoryview(line)
    try:
        while left:
            left = left[os.write(file, left) :]
    except OSError:
        if _is_plain(file):
            os.ftruncate(file, before)
        raise


class LineWriter:
    """
    `put` stores a line and returns; a thread writes it. While the file cannot be written lines wait, the oldest go when
    they are more than `most_waiting_bytes`, and it is tried again every RETRY_SECONDS.

    :param count: told from either thread how many lines were `written`, `dropped`
    """

    def __init__(self, file: LineFile, most_waiting_bytes: int, count: Callable[[str, int], None]) -> None:
        self._file = file
        self._most_bytes = most_waiting_bytes
        self._count = count
        self._lock = Lock()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._wake = Event()
        self._stop = Event()
        self.problem = ""
        """why the last writing failed, with the path; empty when it went well"""
        self._thread = Thread(target=self._run, name=f"lines-{file.path.name}", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        with self._lock:
            self._waiting.append(line)
            self._waiting_bytes += len(line)
            dropped = self._shorten()
        if dropped:
            self._count("dropped", dropped)
        self._wake.set()

    def close(self, seconds: float) -> bool:
        """Write what waits, for at most so long; False when not all of it could be."""
        self._stop.set()
        self._wake.set()
        self._thread.join(seconds)
        return not self._thread.is_alive() and not self._waiting

    def _run(self) -> None:
        is_last = False
        while not is_last:
            if self.problem:
                self._stop.wait(RETRY_SECONDS)
            else:
                self._wake.wait()
            self._wake.clear()
            is_last = self._stop.is_set()  # asked before, so that what was put meanwhile is written
            self._write()

    def _write(self) -> None:
        with self._lock:
            lines, self._waiting, self._waiting_bytes = self._waiting, deque(), 0
        if not lines:
            return
        before = len(lines)
        try:
            self._file.append(lines)
            self.problem = ""
        except OSError as error:
            self.problem = f"{self._file.path}: {error.strerror}"
        self._count("written", before - len(lines))
        if lines:
            with self._lock:
                self._waiting.extendleft(reversed(lines))
                self._waiting_bytes = sum(map(len, self._waiting))
                dropped = self._shorten()
            self._count("dropped", dropped)

    def _shorten(self) -> int:
        dropped = 0
        while self._waiting_bytes > self._most_bytes:
            self._waiting_bytes -= len(self._waiting.popleft())
            dropped += 1
        return dropped
