"""Who sends over which data link, and what is kept of a share: what it was at first, and what it is now."""

from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from watchkeeper.core.labels import OTHER
from watchkeeper.core.records import Batch, Labels, Point, SeriesKey
from watchkeeper.core.vocabulary import links

Key = TypeVar("Key", bound=Hashable)
Kept = TypeVar("Kept")

_FORGET_SECONDS: Final = 8 * 86_400.0
_MINUTE: Final = 60.0
_MINUTES: Final = 60
"""an hour of them"""
WINDOW_SECONDS: Final = 300.0
"""what `now` is, where it has calls enough"""
WARMING_SECONDS: Final = 1800.0
WARMING_CALLS: Final = 200.0
LEAST_CALLS: Final = 20.0
"""fewer say nothing about a share"""


class Link(NamedTuple):
    """One sender's way. Empty = not told; without a service: all of the source."""

    source: str
    namespace: str = ""
    service: str = ""

    @property
    def subject(self) -> Labels:
        said = (("k8s.namespace.name", self.namespace), ("service.name", self.service), ("link", self.source))
        return tuple((name, value) for name, value in said if value)

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.service}" if self.namespace else self.service
        return f"{place or 'a service without a name'} over {self.source}"


def link_of(own: dict[str, str]) -> Link | None:
    """Whose series this is; None for several that were folded into one."""
    link = Link(*(own.get(label, "") for label in links.LINK))
    return None if OTHER in link else link


def gone_links(batch: Batch) -> Iterator[Link]:
    """Those whose series went: no record of them for a day."""
    for metric, labels in batch.gone:
        if metric is links.DELAY and (link := link_of(dict(labels))) is not None:
            yield link


class Ways(Generic[Key, Kept]):
    """
    What is kept of each link, or part of one. It outlives its series, which go after a day without a record, by a week:
    what was usual on Friday still is on Monday.
    """

    def __init__(self, make: Callable[[float], Kept]) -> None:
        """:param make: from the time at which the link was first seen"""
        self._make = make
        self._kept: dict[Key, Kept] = {}
        self._seen_at: dict[Key, float] = {}
        self._hidden: set[Key] = set()

    def see(self, key: Key, now: float) -> Kept:
        """A record came."""
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = self._make(now)
        self._seen_at[key] = now
        self._hidden.discard(key)
        return kept

    def find(self, key: Key) -> Kept | None:
        return self._kept.get(key)

    def hide(self, key: Key) -> None:
        """Its series are gone: not judged until it is seen again."""
        if key in self._kept:
            self._hidden.add(key)

    def present(self, now: float) -> Iterator[tuple[Key, Kept]]:
        """Those to be judged; what was not seen for a week is forgotten."""
        for key, seen_at in list(self._seen_at.items()):
            self._seen_at[key] = min(seen_at, now)  # the clock was set back
            if now - seen_at > _FORGET_SECONDS:
                del self._kept[key], self._seen_at[key]
                self._hidden.discard(key)
            elif key not in self._hidden:
                yield key, self._kept[key]


class Usual:
    """
    A share as it was when the link was new: of its first 200 calls, or of those of its first half hour if they are
    more. From then on it stays, so that what goes wrong slowly is never taken for usual.
    """

    __slots__ = ("_calls", "_hits", "_since", "share")

    def __init__(self, since: float) -> None:
        self._since = since
        self._calls = self._hits = 0.0
        self.share: float | None = None
        """None: not known yet"""

    def add(self, hits: float, calls: float, at: float) -> None:
        if self.share is not None:
            return
        self._calls += calls
        self._hits += hits
        self._since = min(self._since, at)  # the clock was set back
        if self._calls >= WARMING_CALLS and at - self._since >= WARMING_SECONDS:
            self.share = min(1.0, self._hits / self._calls)


class Newest:
    """
    The newest point of each series that changed since it was asked last. Totals lose nothing by that, and a tick costs
    what a dict does.
    """

    def __init__(self) -> None:
        self._points: dict[SeriesKey, Point] = {}

    def see(self, batch: Batch) -> None:
        for point in batch.points:
            self._points[(point.metric, point.labels)] = point

    def take(self) -> Iterable[Point]:
        points, self._points = self._points, {}
        return points.values()


class Recent:
    """Numbers that are added up by the minute, for the last hour; the first is how many calls there were."""

    __slots__ = ("_columns", "_minutes", "_newest")

    def __init__(self, columns: int = 2) -> None:
        self._columns = columns
        self._minutes = array("f", bytes(4 * columns * _MINUTES))
        self._newest = 0

    def add(self, numbers: Sequence[float], at: float) -> None:
        minute = int(at // _MINUTE)
        if not -1 <= minute - self._newest < _MINUTES:  # the clock was set back, or there was none for an hour
            self._minutes = array("f", bytes(4 * self._columns * _MINUTES))
            self._newest = minute
        while self._newest < minute:
            self._newest += 1
            start = self._newest % _MINUTES * self._columns
            self._minutes[start : start + self._columns] = array("f", bytes(4 * self._columns))
        start = minute % _MINUTES * self._columns
        for column, number in enumerate(numbers, start):
            self._minutes[column] += number

    def enough(self, now: float) -> tuple[Sequence[float], float] | None:
        """Sums, and seconds, of the shortest time, 5 minutes to an hour, with 20 calls; None: not even that."""
        newest = int(now // _MINUTE)
        sums = [0.0] * self._columns
        for back in range(_MINUTES):
            if 0 <= self._newest - newest + back < _MINUTES:
                start = (newest - back) % _MINUTES * self._columns
                for column in range(self._columns):
                    sums[column] += self._minutes[start + column]
            seconds = (back + 1) * _MINUTE
            if seconds >= WINDOW_SECONDS and sums[0] >= LEAST_CALLS:
                return sums, seconds
        return None

    def share(self, now: float) -> tuple[float, float, float] | None:
        """What part of the calls the second number is; how many calls; in how many seconds."""
        enough = self.enough(now)
        if enough is None:
            return None
        (calls, hits, *_), seconds = enough
        return min(1.0, hits / calls), calls, seconds
