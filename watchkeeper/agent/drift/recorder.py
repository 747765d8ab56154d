"""
What was observed, kept on disk for references to be proposed from. Numbers and short words, never text.

Of each segment and tick every value is kept with how often it came, numbers cut down to cells of 0.9 %: a reference
must hold the wandering that evidence sees, so nothing may be left out. The folder is bounded: the oldest file goes.
"""

import errno
import logging
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from watchkeeper.core.labels import OTHER
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Tally, cell, encode_frame
from watchkeeper.core.vocabulary import drift

_LOG: Final = logging.getLogger("watchkeeper.drift")
_WORDS: Final = 50
"""of one signal in one tick; further ones are `other`"""
_FILES: Final = 8
_SUFFIX: Final = ".tallies"


class Recorder:
    """
    Belongs to the pipeline's thread. A folder that cannot be written costs what a tick brought, which is counted;
    nothing else.

    :param most_bytes: of all files together
    """

    def __init__(self, folder: Path, most_bytes: int, ledger: Ledger) -> None:
        self._folder = folder
        self._file_bytes = max(1, most_bytes // _FILES)
        self._most_bytes = most_bytes
        self._ledger = ledger
        self._open: dict[str, dict[str, Counter[float | str]]] = {}
        self._observations = 0
        self._file: Path | None = None
        self._problem = ""

    def add(self, segment: str, values: Mapping[str, float | str]) -> None:
        """What one record of a call gave to watch."""
        signals = self._open.get(segment)
        if signals is None:
            signals = self._open[segment] = {}
        for signal, value in values.items():
            counts = signals.get(signal)
            if counts is None:
                counts = signals[signal] = Counter()
            if isinstance(value, str):
                if len(counts) >= _WORDS and value not in counts:
                    value = OTHER
            elif value != value:  # no number
                continue
            else:
                value = cell(value)
            counts[value] += 1
        self._observations += len(values)

    def flush(self, at: float, seconds: float, now: float) -> None:
        """Write the tick that began `at` and lasted `seconds`. :param now: unix seconds"""
        tallies = [
            Tally(at, seconds, segment, {signal: list(counts.items()) for signal, counts in signals.items()})
            for segment, signals in self._open.items()
        ]
        self._open.clear()
        count, self._observations = self._observations, 0
        if not tallies:
            return
        try:
            self._write(encode_frame(tallies), now)
        except OSError as error:
            self._ledger.add(drift.RECORDED, count, (("outcome", "lost"),))
            self._say(f"{self._folder}: {error.strerror}; observations are not kept until it can be written")
            return
        self._ledger.add(drift.RECORDED, count, (("outcome", "kept"),))
        self._say("")

    def _write(self, frame: bytes, now: float) -> None:
        # others may remove a file at any time: an operator, or a second watchkeeper that makes room
        is_usable = self._file is not None and self._file.exists()
        if self._file is None or not is_usable or self._file.stat().st_size + len(frame) > self._file_bytes:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = self._folder / f"{int(now * 1000):014d}-{os.getpid()}{_SUFFIX}"
            self._make_room()
        _append(self._file, frame)

    def _make_room(self) -> None:
        """A file is about to begin: with it full, all must fit."""
        files = sorted(self._folder.glob(f"*{_SUFFIX}"))
        sizes = {file: file.stat().st_size for file in files}
        while sizes and sum(sizes.values()) + self._file_bytes > self._most_bytes:
            oldest = files.pop(0)
            oldest.unlink(missing_ok=True)
            del sizes[oldest]

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            if problem:
                _LOG.warning("%s", problem)
            else:
                _LOG.info("%s: observations are kept again", self._folder)


def _append(path: Path, frame: bytes) -> None:
    """All of it or nothing: behind a part of a frame nothing could be read. :raises OSError: not written"""
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            if file.write(frame) < len(frame):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(before)
            raise
