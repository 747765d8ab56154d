"""
References: what a signal looked like while a person called it good. Immutable; its id is the hash of what it says.

Observations come in order of time, in the unit that is as good as independent: a request, or the mean over a session or
a chain of retries where requests come in near-copies. A wrong unit is the most common cause of false alarms.
"""

import bisect
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.drift import bands, category, cuts, pit, tolerance
from detectors.drift.bands import Band, Floats
from detectors.drift.kinds import Kind
from detectors.drift.rate import Score
from detectors.drift.seasons import Season, stratum

BINS: Final = 64
_FEW_BINS: Final = 16
_FEW: Final = 2000
"""observations below which 16 bins have to do"""
_LEAST: Final = 100
"""observations that a reference, or a stratum of it, must have"""
RATE: Final = "rate"
_RANK_FLOOR: Final = 0.02
_FLAG_FLOOR: Final = 0.002
_FLAG_PART: Final = 0.1

Integers = NDArray[np.int64]


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    by: str
    at: float
    """unix seconds"""
    why: str


class Stratum(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One season's part of a reference: counts per bin, the band of each score, counts of its first half alone."""

    counts: tuple[int, ...]
    bands: Mapping[str, Band]
    first_half: tuple[int, ...]
    """what blocks are compared with: their bag comes from the second half, which would look too good beside itself"""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to make a reference out of observations."""

    season: Season = Season.NONE
    utc_offset_seconds: float = 0.0
    confidence: float = bands.CONFIDENCE
    """that the band of a score holds its true mean, in (0, 1)"""
    tolerance: Mapping[str, float] = {}
    """by score, in the score's own unit; one left out gets the default, see docs/drift.md"""
    block_size: int = 100
    """least observations of a block; of numbers that wander blocks are made longer, see `cuts`"""
    block_seconds: float = 60.0
    """least length of a block, where times are known; 0: no blocks"""


class Pack(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A reference. `edges` (numbers) or `categories` define the bins; a bin begins at its lower edge."""

    version: int = 1
    id: str = ""
    """sha256 of all other fields but the approval"""
    signal: str
    segment: str = ""
    kind: Kind
    made_at: float
    """unix seconds"""
    n: int
    design_effect: float
    """the largest of its scores: observations worth one independent one"""
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    season: Season = Season.NONE
    utc_offset_seconds: float = 0.0
    strata: Mapping[str, Stratum]
    block_size: int
    block_seconds: float
    """0: a block ends at `block_size` whatever time that takes"""
    blocks: Mapping[str, tuple[tuple[int, ...], ...]]
    """by stratum: bin counts of each block of the second half"""
    approval: Approval | None = None

    @property
    def bins(self) -> int:
        return len(self.categories) + 1 if self.kind is Kind.CATEGORY else len(self.edges) + 1

    def bin(self, value: float | str) -> int | None:
        """The bin of one observation; None for what is no number where numbers are watched."""
        if self.kind is Kind.CATEGORY:
            found = self.categories.index(value) if value in self.categories else len(self.categories)
            return found
        if isinstance(value, str) or math.isnan(value):
            return None
        return bisect.bisect_right(self.edges, value)

    def stratum_at(self, at: float) -> str:
        """:param at: unix seconds"""
        return stratum(self.season, at, self.utc_offset_seconds)

    def scores(self, key: str) -> tuple[Score, ...]:
        """What is watched while this stratum is in force; the same names in each. :raises KeyError: no such stratum"""
        held = self.strata[key]
        values = score_values(self.kind, self.edges, self.categories, np.asarray(held.counts, dtype=np.float64))
        return tuple(Score(name, values[name], band) for name, band in held.bands.items())

    def approved(self, by: str, at: float, why: str) -> "Pack":
        """The same reference (same id) with a person's word for it. :param at: unix seconds"""
        return msgspec.structs.replace(self, approval=Approval(by, at, why))

    def encode(self) -> bytes:
        """JSON that `decode` takes back."""
        return msgspec.json.encode(self, order="sorted")


def decode(data: bytes) -> Pack:
    """:raises ValueError: not a reference, or changed since it was made"""
    try:
        pack = msgspec.json.decode(data, type=Pack)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a reference: {error}") from None
    if pack.version != 1:
        raise ValueError(f"a reference of version {pack.version}; this watchkeeper reads version 1")
    if pack.id != content_hash(pack):
        raise ValueError(f"the reference {pack.id[:12]} was changed after it was made: its hash does not fit")
    return pack


def content_hash(pack: Pack) -> str:
    bare = msgspec.structs.replace(pack, id="", approval=None)
    return hashlib.sha256(msgspec.json.encode(bare, order="sorted")).hexdigest()


def score_values(kind: Kind, edges: Sequence[float], categories: Sequence[str], counts: Floats) -> dict[str, Floats]:
    """Score name to the value of each bin, in [0, 1]."""
    if kind is Kind.CATEGORY:
        return category.values(categories)
    if kind is Kind.NUMBER:
        return pit.values(counts)
    if kind is Kind.FLAG:
        return {RATE: np.array([0.0, 1.0])}
    return {RATE: (np.arange(len(edges) + 1) + 0.5) / (len(edges) + 1)}


def build(
    signal: str,
    kind: Kind,
    observations: Sequence[float] | Sequence[str] | Floats,
    *,
    made_at: float,
    times: Sequence[float] | Floats | None = None,
    segment: str = "",
    plan: Plan = Plan(),  # noqa: B008 - frozen
) -> Pack:
    """
    A reference out of observations in order of time. Numbers that are none (NaN) are left out.

    :param times: unix seconds of each observation; needed for a season
    :raises ValueError: fewer than 100 observations, in every stratum; a season without times
    """
    if plan.season is not Season.NONE and times is None:
        raise ValueError("a reference by season needs the time of each observation")
    numbers, words = _split(kind, observations)
    kept = np.ones(len(words), dtype=bool) if kind is Kind.CATEGORY else ~np.isnan(numbers)
    keys = _strata(plan, times, kept.size)[kept]
    clock = None if times is None else np.asarray(times, dtype=np.float64)[kept]
    usable = {key: np.flatnonzero(keys == key) for key in np.unique(keys).tolist()}
    usable = {key: places for key, places in usable.items() if places.size >= _LEAST}
    if not usable:
        raise ValueError(f"a reference needs {_LEAST} observations, of each season too; {int(kept.sum())} are too few")
    first = {key: places[: places.size // 2] for key, places in usable.items()}
    early = np.sort(np.concatenate(list(first.values())))
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    if kind is Kind.CATEGORY:
        categories = category.frequent([words[place] for place in early])
        index = {word: place for place, word in enumerate(categories)}
        found = np.array([index.get(word, len(categories)) for word in words])
    else:
        numbers = numbers[kept]
        edges = _edges(kind, numbers[early])
        found = np.searchsorted(edges, numbers, side="right")
    bins = max(len(edges), len(categories)) + 1
    counts = {key: np.bincount(found[places], minlength=bins) for key, places in usable.items()}
    span = 0.0 if clock is None else float(clock.max() - clock.min())
    held = _bands(kind, edges, categories, found, keys, usable, counts, plan, tolerance.near(span))
    size, seconds = plan.block_size, 0.0 if clock is None else plan.block_seconds
    if kind is Kind.NUMBER and clock is not None:
        size, seconds = cuts.lengthened(found, usable.values(), clock, bins, size, seconds)
    pack = Pack(
        signal=signal,
        segment=segment,
        kind=kind,
        made_at=float(made_at),
        n=sum(places.size for places in usable.values()),
        design_effect=max(band.design_effect for by_score in held.values() for band in by_score.values()),
        edges=edges,
        categories=categories,
        season=plan.season,
        utc_offset_seconds=float(plan.utc_offset_seconds),
        strata={
            key: Stratum(
                tuple(counts[key].tolist()),
                held[key],
                tuple(np.bincount(found[first[key]], minlength=bins).tolist()),
            )
            for key in usable
        },
        block_size=size,
        block_seconds=float(seconds),
        blocks={
            key: cuts.blocks(found, places[places.size // 2 :], clock, bins, size, seconds)
            for key, places in usable.items()
        },
    )
    return msgspec.structs.replace(pack, id=content_hash(pack))


def _split(kind: Kind, observations: Sequence[float] | Sequence[str] | Floats) -> tuple[Floats, list[str]]:
    if kind is Kind.CATEGORY:
        return np.empty(0), [str(word) for word in observations]
    return np.asarray(observations, dtype=np.float64), []


def _strata(plan: Plan, times: Sequence[float] | Floats | None, size: int) -> NDArray[np.str_]:
    if times is None:
        return np.full(size, stratum(Season.NONE, 0.0))
    return np.array([stratum(plan.season, float(at), plan.utc_offset_seconds) for at in times])


def _edges(kind: Kind, numbers: Floats) -> tuple[float, ...]:
    """
    Where bins begin: at values themselves, so that it does not matter whether others were cut down to them. Few
    distinct values get a bin each; otherwise quantiles, equal ones once.
    """
    if kind is Kind.FLAG:
        return (0.5,)
    if kind is Kind.SHARE:
        return tuple((np.arange(1, BINS) / BINS).tolist())
    bins = BINS if numbers.size >= _FEW // 2 else _FEW_BINS
    distinct = np.unique(numbers)
    if distinct.size <= bins:
        return tuple(distinct[1:].tolist())
    ordered = np.sort(numbers)
    chosen = np.unique(ordered[np.arange(1, bins) * ordered.size // bins])
    return tuple(chosen[chosen > ordered[0]].tolist())


def _bands(
    kind: Kind,
    edges: tuple[float, ...],
    categories: tuple[str, ...],
    found: Integers,
    keys: NDArray[np.str_],
    usable: Mapping[str, Integers],
    counts: Mapping[str, Integers],
    plan: Plan,
    near: float,
) -> dict[str, dict[str, Band]]:
    values = {key: score_values(kind, edges, categories, counts[key].astype(np.float64)) for key in usable}
    held: dict[str, dict[str, Band]] = {key: {} for key in usable}
    everything = np.sort(np.concatenate(list(usable.values())))
    replay = tolerance.ticks(found[everything], keys[everything].tolist(), next(iter(counts.values())).size)
    for name in next(iter(values.values())):
        scores = np.zeros(found.size)
        for key, places in usable.items():
            scores[places] = values[key][name][found[places]] - _mean(values[key][name], counts[key])
        effect = bands.design_effect(scores[everything])

        def banded(width: float, name: str = name, effect: float = effect) -> dict[str, Score]:
            return {
                key: Score(name, by[name], _band(kind, by[name], counts[key], effect, width, plan.confidence))
                for key, by in values.items()
            }

        rarer = max(min(mean, 1 - mean) for mean in (_mean(values[key][name], counts[key]) for key in usable))
        floor = _RANK_FLOOR if kind is Kind.NUMBER else max(_FLAG_FLOOR, _FLAG_PART * rarer)
        given = plan.tolerance.get(name)
        chosen = banded(tolerance.least(floor, banded, replay, near) if given is None else given)
        for key in usable:
            held[key][name] = chosen[key].band
    return held


def _mean(values: Floats, counts: Integers) -> float:
    return float(values @ counts / counts.sum())


def _band(kind: Kind, values: Floats, counts: Integers, effect: float, width: float, confidence: float) -> Band:
    n = int(counts.sum())
    mean = _mean(values, counts)
    if kind in (Kind.FLAG, Kind.CATEGORY):
        return bands.flag_band(float(values @ counts), n, effect, float(width), float(confidence))
    deviation = math.sqrt(max(0.0, _mean(values**2, counts) - mean**2))
    return bands.mean_band(mean, deviation, n, effect, float(width), float(confidence))
