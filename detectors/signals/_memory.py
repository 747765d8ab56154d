"""When records came in the last eight days, in cells of ten minutes: what a silence is measured against."""

from array import array
from itertools import accumulate
from typing import Final

CELL_SECONDS: Final = 600.0
DAY_CELLS: Final = 144
_CELLS: Final = 8 * DAY_CELLS + 16
_SHIFT_CELLS: Final = 6
"""an hour: people are not punctual, and clocks change in spring"""
_WEEK_DAYS: Final = 7
_QUIET_DAY: Final = 0.1
_STEADY_RECORDS: Final = 4.0
"""in each ten minutes of an hour"""


class Memory:
    """5 kB. A clock that is set back by more than an hour begins anew."""

    __slots__ = ("_cells", "_first", "_newest")

    def __init__(self, now: float) -> None:
        self._cells = array("f", bytes(4 * _CELLS))
        self._first = self._newest = int(now // CELL_SECONDS)

    def add(self, records: float, at: float) -> None:
        cell = int(at // CELL_SECONDS)
        if cell < self._newest - _SHIFT_CELLS or cell - self._newest >= _CELLS:
            self._cells = array("f", bytes(4 * _CELLS))
            self._first = self._newest = cell
        while self._newest < cell:
            self._newest += 1
            self._cells[self._newest % _CELLS] = 0.0
        self._cells[cell % _CELLS] += records

    def _of(self, cell: int) -> float:
        return self._cells[cell % _CELLS] if self._newest - _CELLS < cell <= self._newest else 0.0

    @property
    def knows_a_week(self) -> bool:
        return self._newest - self._first > _WEEK_DAYS * DAY_CELLS + _SHIFT_CELLS

    def usual(self, began: float, now: float) -> float | None:
        """
        How many records came at this time of the day on the last day with traffic, and a week ago if that is known,
        whichever is fewer; at the emptiest such stretch within an hour, and of a long silence without its first and
        last hour. Of a silence over a day, its first day.
        None: no such day is known.
        """
        first = int(began // CELL_SECONDS)
        days = [day for day in range(1, _WEEK_DAYS + 1) if first - day * DAY_CELLS - _SHIFT_CELLS >= self._first]
        if not days:
            return None
        seconds = min(now - began, DAY_CELLS * CELL_SECONDS)
        cells = max(1, int((began + seconds) // CELL_SECONDS) - first - 1)
        kept_from, until = self._first_kept, list(accumulate(self._kept(), initial=0.0))
        last = len(until) - 1

        def total(cell: int, number: int) -> float:
            low, high = cell - kept_from, cell + number - kept_from
            return until[min(max(0, high), last)] - until[min(max(0, low), last)]

        def emptiest(day: int) -> float:
            began_then = first + 1 - day * DAY_CELLS
            shifted = range(began_then - _SHIFT_CELLS, began_then + _SHIFT_CELLS + 1)
            trimmed = total(began_then + _SHIFT_CELLS, cells - 2 * _SHIFT_CELLS)
            return min(*(total(cell, cells) for cell in shifted), *([trimmed] if cells > 2 * _SHIFT_CELLS else ()))

        totals = {day: total(first - day * DAY_CELLS - DAY_CELLS // 2, DAY_CELLS) for day in days}
        enough = _QUIET_DAY * max(totals.values())
        asked = {next(day for day in days if totals[day] >= enough)} | ({_WEEK_DAYS} & set(days))
        return min(map(emptiest, asked)) * min(1.0, seconds / (cells * CELL_SECONDS))

    @property
    def _first_kept(self) -> int:
        return max(self._first, self._newest - _CELLS + 1)

    def _kept(self) -> "array[float]":
        """All cells that are known, oldest first."""
        begin, end = self._first_kept % _CELLS, self._newest % _CELLS + 1
        return self._cells[begin:end] if begin < end else self._cells[begin:] + self._cells[:end]

    def steady(self, began: float, now: float) -> float | None:
        """
        How many records would have come at the slowest pace of the hour before, if that hour did not fall off; None if
        it did, or is not known.
        """
        last = int(began // CELL_SECONDS)
        if last - _SHIFT_CELLS < self._first:
            return None
        hour = sorted(self._of(cell) for cell in range(last - _SHIFT_CELLS, last))
        slowest, median = hour[0], hour[_SHIFT_CELLS // 2]
        if slowest < _STEADY_RECORDS or slowest < median / 2:
            return None
        return slowest * (now - began) / CELL_SECONDS
