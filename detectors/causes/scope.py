"""Whose series they are, and which of them belong to a finding: its own, those of its pods, of its model, all."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from watchkeeper.core.records import Labels


class Place(NamedTuple):
    """Whose a series is, as far as its labels tell; empty = they do not."""

    namespace: str = ""
    pod: str = ""
    service: str = ""
    model: str = ""
    device: str = ""


_LABELS: Final = ("k8s.namespace.name", "k8s.pod.name", "service.name", "gen_ai.request.model", "hw.id")
REST: Final = Place()
TIERS: Final = ("", "same pods", "same model", "everything watched")
"""how near to the finding, nearest first; the words stand beside what moved"""


def place_of(labels: Labels) -> Place:
    found = dict(labels)
    return Place(*(found.get(label, "") for label in _LABELS))


def tiers(subject: Place, places: Iterable[Place]) -> tuple[frozenset[Place], ...]:
    """
    Places as near to `subject` as TIERS says, each set holding the one before.

    Devices are joined to services by the pod that both name, services to the engines behind them by the model.
    """
    every = frozenset(places)
    own = frozenset(place for place in every if _agrees(subject, place))
    pods = _pods(own)
    in_pods = own | {place for place in every if place[:2] in pods}
    models = {place.model for place in (*in_pods, subject) if place.model}
    of_model = {place for place in every if place.model in models}
    pods |= _pods(of_model)
    near = in_pods | of_model | {place for place in every if place[:2] in pods}
    return own, in_pods, near, every


def _agrees(subject: Place, place: Place) -> bool:
    """Nothing that both tell differs, and they share more than a namespace."""
    both = [(ours, theirs) for ours, theirs in zip(subject, place, strict=True) if ours and theirs]
    shared = sum(1 for ours, theirs in zip(subject[1:], place[1:], strict=True) if ours and ours == theirs)
    return shared > 0 and all(ours == theirs for ours, theirs in both)


def _pods(places: Iterable[Place]) -> set[tuple[str, ...]]:
    return {place[:2] for place in places if place.pod}
