"""
What changed as a fact: another model answers, another version of a service, driver or firmware, a restarted engine.

A value counts as new where another one was known for two minutes and this one was not seen for an hour. Bounded: 4,096
subjects of 32 values, the last 256 changes.
"""

from collections import deque
from collections.abc import Iterator, Set
from typing import Final

import msgspec

from detectors.causes.scope import Place, place_of
from watchkeeper.core.labels import OTHER
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Batch, Completion, Labels, Point, SeriesKey
from watchkeeper.core.vocabulary import devices, engines, requests

_SETTLED_SECONDS: Final = 120.0
_FORGOTTEN_SECONDS: Final = 3600.0
_SUBJECTS: Final = 4_096
_VALUES: Final = 32
_CHANGES: Final = 256
_SERVICE_VERSION: Final = "service version"
_NAMED: Final = {
    requests.REQUESTS: (("answering model", "gen_ai.response.model"),),
    devices.INFO: (("driver", "hw.driver_version"), ("firmware", "hw.firmware_version")),
}
READS: Final = frozenset((engines.RESETS, *_NAMED))


class Change(msgspec.Struct, frozen=True):
    """`before` and `after` are empty for a restart."""

    at: float
    what: str
    place: Place
    before: str = ""
    after: str = ""


class _Subject:
    __slots__ = ("current", "seen", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.current = ""
        self.seen: dict[str, float] = {}


class Versions:
    def __init__(self) -> None:
        self._subjects: dict[tuple[str, Place], _Subject] = {}
        self._changes: deque[Change] = deque(maxlen=_CHANGES)
        self._restarts: dict[Place, float] = {}
        self._names: dict[SeriesKey, tuple[tuple[str, Place, str], ...]] = {}

    def update(self, batch: Batch) -> None:
        for point in batch.points:
            metric = point.metric
            if metric is engines.RESETS:
                self._restarted(point, batch.at)
            elif metric in _NAMED:
                names = self._names.get((metric, point.labels))
                if names is None:
                    names = self._names[metric, point.labels] = _names(metric, point.labels)
                for what, place, value in names:
                    self._note(what, place, value, batch.at)
        for key in batch.gone:
            self._names.pop(key, None)

    def see(self, call: Completion, at: float) -> None:
        """The hot path: a known version costs two look-ups."""
        if call.service_version:
            place = Place(call.namespace, "", call.service, "", "")
            self._note(_SERVICE_VERSION, place, call.service_version, at)

    def of_services(self) -> Iterator[tuple[Place, str, float]]:
        """Each version of a service that is known, with the unix seconds at which a call last had it."""
        for (what, place), subject in self._subjects.items():
            if what == _SERVICE_VERSION:
                for version, at in subject.seen.items():
                    yield place, version, at

    def around(self, at: float, seconds: float, places: Set[Place]) -> Iterator[Change]:
        """Changes within `seconds` of `at` that concern one of the places, the nearest first."""
        near = [change for change in self._changes if abs(change.at - at) <= seconds]
        for change in sorted(near, key=lambda change: abs(change.at - at)):
            if any(_concerns(change.place, place) for place in places):
                yield change

    def _note(self, what: str, place: Place, value: str, at: float) -> None:
        subject = self._subjects.get((what, place))
        if subject is None:
            if len(self._subjects) >= _SUBJECTS:
                return
            subject = self._subjects[what, place] = _Subject(at)
        if value != subject.current:
            last = subject.seen.get(value)
            is_new = last is None or at - last > _FORGOTTEN_SECONDS
            if is_new and subject.current and at - subject.since >= _SETTLED_SECONDS:
                self._changes.append(Change(at, what, place, subject.current, value))
            if len(subject.seen) >= _VALUES and value not in subject.seen:
                del subject.seen[min(subject.seen, key=lambda known: subject.seen[known])]
            subject.current = value
        subject.seen[value] = at

    def _restarted(self, point: Point, at: float) -> None:
        place = place_of(point.labels)
        total = point.value
        if isinstance(total, float | int) and total > self._restarts.get(place, 0.0):
            self._restarts[place] = total
            if len(self._restarts) > _SUBJECTS:
                self._restarts.pop(next(iter(self._restarts)))
            self._changes.append(Change(at, "engine restarted", place))


def _names(metric: Metric, labels: Labels) -> tuple[tuple[str, Place, str], ...]:
    found, place = dict(labels), _subject(place_of(labels))
    named = ((what, place, found.get(label, "")) for what, label in _NAMED[metric])
    return tuple(name for name in named if name[2] not in ("", OTHER))


def _subject(place: Place) -> Place:
    """Replicas of a service change one after the other: one change, told once. A device stays the same in any pod."""
    return Place(device=place.device) if place.device else place._replace(pod="")


def _concerns(changed: Place, place: Place) -> bool:
    """All that the change names, the place has."""
    return all(not named or named == own for named, own in zip(changed, place, strict=True))
