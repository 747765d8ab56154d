"""What hours brought so far: counts per bin by stream, rows drawn, things seen. Bounded; kept until it is written."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from exporters.store.totals import Thing
from watchkeeper.core.labels import OTHER
from watchkeeper.core.observed import Counted, Drawn
from watchkeeper.core.records import Labels, Seen
from watchkeeper.core.vocabulary import devices, requests

HOUR_SECONDS: Final = 3600
_MOST_THINGS: Final = 20_000
_MOST_DRAWN: Final = 20_000
Stream = tuple[str, str, str]
"""segment, signal, id of the reference"""


class Hours:
    """Counts of streams by hour. For one thread. :param most: streams and hours together"""

    def __init__(self, most: int) -> None:
        self.dropped = 0
        self._most = most
        self._counts: dict[tuple[int, Stream], array[int]] = {}
        self._changed: dict[tuple[int, Stream], None] = {}
        self._written: set[tuple[int, Stream]] = set()
        self._drawn: dict[tuple[float, str], Drawn] = {}

    def add(self, counted: Iterable[Counted]) -> None:
        for one in counted:
            hour = int(one.at // HOUR_SECONDS) * HOUR_SECONDS
            key = (hour, (one.segment, one.signal, one.reference))
            held = self._counts.get(key)
            if held is None or len(held) != len(one.counts):
                if held is None and len(self._counts) >= self._most:
                    self.dropped += 1
                    continue
                self._counts[key] = array("q", one.counts)
            else:
                for place, count in enumerate(one.counts):
                    if count:
                        held[place] += count
            self._changed[key] = None

    def draw(self, drawn: Iterable[Drawn]) -> None:
        for one in drawn:
            if len(self._drawn) >= _MOST_DRAWN and (one.hour, one.segment) not in self._drawn:
                self.dropped += 1
            else:
                self._drawn[one.hour, one.segment] = one

    def changed(self, most: int) -> list[tuple[int, Stream, "array[int]"]]:
        """Some of those that are not written as they are now."""
        keys = [key for key, _ in zip(self._changed, range(most), strict=False)]
        return [(*key, self._counts[key]) for key in keys]

    def is_resumed(self, hour: int, stream: Stream, now: float) -> bool:
        """
        What comes for an hour that is long over may have been written in part, and forgotten: as when a log is read
        again from where it was left. Once it is known what was written, `resume` adds it.
        """
        return hour + 2 * HOUR_SECONDS <= now and (hour, stream) not in self._written

    def resume(self, hour: int, stream: Stream, before: Sequence[int]) -> None:
        held = self._counts[hour, stream]
        if len(before) == len(held):
            for place, count in enumerate(before):
                held[place] += count
        self._written.add((hour, stream))

    def drawn(self, most: int) -> list[Drawn]:
        return [one for one, _ in zip(self._drawn.values(), range(most), strict=False)]

    def written(self, counts: Iterable[tuple[int, Stream, "array[int]"]], drawn: Iterable[Drawn], now: float) -> None:
        """Hours that are over are forgotten. :param now: unix seconds"""
        for hour, stream, _ in counts:
            del self._changed[hour, stream]
            if hour + 2 * HOUR_SECONDS <= now:
                self._forget((hour, stream))
            else:
                self._written.add((hour, stream))
        for one in drawn:
            if self._drawn.get((one.hour, one.segment)) is one:
                del self._drawn[one.hour, one.segment]

    def forget(self, now: float) -> None:
        """Hours that are over and written: nothing is added to them any more."""
        old = [key for key in self._counts if key[0] + 2 * HOUR_SECONDS <= now and key not in self._changed]
        for key in old:
            self._forget(key)

    def _forget(self, key: tuple[int, Stream]) -> None:
        del self._counts[key]
        self._written.discard(key)


class Things:
    """What was seen since it was written last, with the first and last time. For one thread."""

    def __init__(self) -> None:
        self.dropped = 0
        self._seen: dict[Thing, tuple[float, float]] = {}

    def add(self, things: Iterable[Thing], at: float) -> None:
        for thing in things:
            first, last = self._seen.get(thing, (at, at))
            if len(self._seen) >= _MOST_THINGS and thing not in self._seen:
                self.dropped += 1
                continue
            self._seen[thing] = (min(first, at), max(last, at))

    def take(self) -> dict[Thing, tuple[float, float]]:
        taken, self._seen = self._seen, {}
        return taken

    def give_back(self, things: dict[Thing, tuple[float, float]]) -> None:
        """They could not be written."""
        for thing, (first, last) in things.items():
            self.add((thing,), first)
            self.add((thing,), last)


def things_of_call(labels: Labels) -> Iterator[Thing]:
    """Of a series of calls."""
    found = {name: value for name, value in labels if value != OTHER}
    model = found.get("gen_ai.request.model", "")
    if model:
        yield Thing(
            "model",
            found.get("k8s.namespace.name", ""),
            found.get("service.name", ""),
            found.get("gen_ai.provider.name", ""),
            model,
            found.get("gen_ai.response.model", ""),
        )


def things_of_device(labels: Labels) -> Iterator[Thing]:
    found = dict(labels)
    versions = " ".join(
        f"{word} {found[label]}"
        for word, label in (("driver", "hw.driver_version"), ("firmware", "hw.firmware_version"))
        if found.get(label)
    )
    yield Thing(
        "device",
        provider=found.get("hw.vendor", ""),
        service=found.get("hw.id", ""),
        name=found.get("hw.model", "") or found.get("hw.name", ""),
        version=versions,
    )


def thing_of_service(seen: Seen) -> Thing:
    return Thing("service", seen.namespace, seen.service, version=seen.version)


READ: Final = {requests.REQUESTS: things_of_call, devices.INFO: things_of_device}
"""metrics whose series tell what runs"""
