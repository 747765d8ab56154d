"""
Rows of observations kept on disk, for references to be proposed from. Numbers and short words, never text.

Of each segment a few rows of every tick are kept, drawn at random, so that a busy one costs no more than a quiet one.
The folder is bounded: the oldest file makes room.
"""

import logging
import os
import random
from pathlib import Path
from typing import Final

from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Row, encode_frame
from watchkeeper.core.vocabulary import drift

_LOG: Final = logging.getLogger("watchkeeper.drift")
ROWS_PER_TICK: Final = 20
"""of one segment"""
_FILES: Final = 8
_SUFFIX: Final = ".rows"


class Recorder:
    """
    Belongs to the pipeline's thread. A folder that cannot be written costs rows, which are counted; nothing else.

    :param most_bytes: of all files together
    :param started_at: unix seconds; names the first file
    """

    def __init__(self, folder: Path, most_bytes: int, ledger: Ledger, started_at: float) -> None:
        self._folder = folder
        self._file_bytes = max(1, most_bytes // _FILES)
        self._most_bytes = most_bytes
        self._ledger = ledger
        self._chance = random.Random(started_at)  # noqa: S311 - which rows are kept is no secret
        self._drawn: dict[str, tuple[int, list[Row]]] = {}
        self._file: Path | None = None
        self._problem = ""

    def add(self, row: Row) -> None:
        """Reservoir of the tick: each row of a segment is kept with the same probability."""
        seen, kept = self._drawn.get(row.segment, (0, []))
        self._drawn[row.segment] = (seen + 1, kept)
        if len(kept) < ROWS_PER_TICK:
            kept.append(row)
            return
        self._ledger.add(drift.ROWS, 1, (("outcome", "thinned"),))
        place = self._chance.randrange(seen + 1)
        if place < ROWS_PER_TICK:
            kept[place] = row

    def flush(self, now: float) -> None:
        """Write what the tick brought. :param now: unix seconds"""
        rows = sorted((row for _, kept in self._drawn.values() for row in kept), key=lambda row: row.at)
        self._drawn.clear()
        if not rows:
            return
        try:
            self._write(encode_frame(rows), now)
        except OSError as error:
            self._ledger.add(drift.ROWS, len(rows), (("outcome", "lost"),))
            self._say(f"{self._folder}: {error.strerror}; observations are not kept until it can be written")
            return
        self._ledger.add(drift.ROWS, len(rows), (("outcome", "kept"),))
        self._say("")

    def _write(self, frame: bytes, now: float) -> None:
        if self._file is None or self._file.stat().st_size + len(frame) > self._file_bytes:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = self._folder / f"{int(now * 1000):014d}-{os.getpid()}{_SUFFIX}"
            self._make_room()
        with self._file.open("ab") as file:
            file.write(frame)

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
