"""A line that says how far a long work is, on a terminal; nothing where it is read by a program."""

import time
from collections.abc import Iterable, Iterator
from typing import Final, TextIO, TypeVar

_EVERY_SECONDS: Final = 0.1
_WIDTH: Final = 24

Item = TypeVar("Item")


class Progress:
    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown = out.isatty()
        self._what = ""
        self._total = 0
        self._told_at = 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._tell("")

    def begin(self, what: str, total: int = 0) -> None:
        """:param total: 0 where it is not known"""
        self._what, self._total, self._told_at = what, total, 0.0

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, counted as they go by."""
        for count, item in enumerate(items):
            now = time.monotonic()
            if self._shown and now - self._told_at > _EVERY_SECONDS:
                self._told_at = now
                self._tell(self._line(count))
            yield item

    def _line(self, count: int) -> str:
        if not self._total:
            return f"{self._what}: {count:,} calls"
        done = count * _WIDTH // self._total
        return f"{self._what} [{'#' * done}{'.' * (_WIDTH - done)}] {count:,} of {self._total:,} calls"

    def _tell(self, line: str) -> None:
        if self._shown:
            print(f"\r\x1b[K{line}", end="", file=self._out, flush=True)
