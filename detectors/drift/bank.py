"""
Many watched signals in a few arrays: one tick of all of them costs little more than one tick of one.

A signal is a reference and a share of the false-alarm budget; its scores (rate; location and spread; one per category)
divide the share evenly and are rows of the arrays. Signals with equally many bins share one matrix product.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.drift.bands import Band, Floats
from detectors.drift.packs import Integers, Pack
from detectors.drift.rate import TRACKS, Score, Tracks, table, weights
from detectors.drift.seasons import Season
from detectors.drift.state import VERSION, ForeignState, SignalState, check
from detectors.drift.verdicts import Crossing, Effect, verdict, worst
from watchkeeper.core.records import State, Verdict

Counts = Sequence[int] | Integers | Floats


class Watched(msgspec.Struct, frozen=True):
    """One signal of a bank. `share` of the false-alarm budget of the deployment, in (0, 1]."""

    pack: Pack
    share: float


class _Signal:
    """A signal's place: rows of the arrays, and the stratum whose tables are in force ("" before the first tick)."""

    __slots__ = ("bands", "names", "pack", "rows", "share", "stratum", "width_place")

    def __init__(self, watched: Watched, first_row: int, width_place: int) -> None:
        self.pack = watched.pack
        self.share = watched.share
        self.width_place = width_place
        some = next(iter(watched.pack.strata))
        self.names = tuple(score.name for score in watched.pack.scores(some))
        self.rows = slice(first_row, first_row + len(self.names))
        self.stratum = ""
        self.bands: tuple[Band, ...] = ()


class _Width:
    """Signals of one number of bins: which, the rows they have, and a table of each row."""

    def __init__(self, bins: int) -> None:
        self.bins = bins
        self.signals: list[int] = []
        self.rows: list[int] = []
        self.owner: list[int] = []
        """of each row: place in `signals`"""
        self.seasonal = False

    def freeze(self) -> None:
        self.row_index = np.array(self.rows, dtype=np.intp)
        self.owner_index = np.array(self.owner, dtype=np.intp)
        self.tables = np.zeros((len(self.rows), self.bins, TRACKS + 1))
        """the last column holds the scores' values, so that one product gives their sums too"""
        self.counts = np.zeros((len(self.signals), self.bins))


class Bank:
    """
    :param horizon: A: ticks in which the whole deployment expects at most one false alarm (`odds.horizon`)
    :raises ValueError: shares that together exceed 1
    """

    def __init__(self, watched: Sequence[Watched], horizon: float) -> None:
        if sum(one.share for one in watched) > 1 + 1e-9:
            raise ValueError("the shares of the false-alarm budget exceed 1")
        self.horizon = horizon
        self._signals: list[_Signal] = []
        self._widths: dict[int, _Width] = {}
        row = 0
        limits: list[float] = []
        for place, one in enumerate(watched):
            width = self._widths.setdefault(one.pack.bins, _Width(one.pack.bins))
            signal = _Signal(one, row, len(width.rows))
            self._signals.append(signal)
            scores = len(signal.names)
            width.rows += range(row, row + scores)
            width.owner += [len(width.signals)] * scores
            width.signals.append(place)
            width.seasonal |= one.pack.season is not Season.NONE
            limits += [horizon * scores / one.share] * scores
            row += scores
        for width in self._widths.values():
            width.freeze()
        self.tracks = Tracks(np.array(limits), np.zeros((row, TRACKS)))
        self._crossed_at = np.zeros(row)
        self._added = np.zeros((row, TRACKS + 1))
        for signal in self._signals:
            if signal.pack.season is Season.NONE:
                self._use(signal, next(iter(signal.pack.strata)))

    def __len__(self) -> int:
        return len(self._signals)

    def tick(self, counts: Mapping[int, Counts], at: float) -> dict[int, list[Crossing]]:
        """
        Merged counts of one tick, by place of the signal; those left out or without observations do not move.

        :param at: unix seconds at which the tick began
        :return: what crossed, by place of the signal
        """
        active = self._fill(counts, at)
        if not active.any():
            return {}
        held = np.zeros(active.size)
        for width in self._widths.values():
            product = np.matmul(width.counts[width.owner_index][:, None, :], width.tables)[:, 0, :]
            self._added[width.row_index] = product
            held[width.row_index] = width.counts.sum(axis=1)[width.owner_index]
        everything = bool(active.all())
        rows = slice(None) if everything else np.flatnonzero(active)
        added = self._added[rows]
        alarms = self.tracks.tick(rows, added[:, :TRACKS], added[:, TRACKS], held[rows], at)
        if not alarms.any():
            return {}
        crossed = np.flatnonzero(alarms) if everything else np.flatnonzero(active)[alarms]
        self._crossed_at[crossed] = at
        places = {row: place for place, one in enumerate(self._signals) for row in range(one.rows.start, one.rows.stop)}
        found: dict[int, list[Crossing]] = {}
        for row in crossed.tolist():
            found.setdefault(places[row], []).append(self._crossing(self._signals[places[row]], row, at))
        return found

    def verdict(self, place: int, now: float) -> Verdict:
        """:param now: unix seconds"""
        signal = self._signals[place]
        verdicts = [
            verdict(float(self.tracks.odds[row]), float(self.tracks.limits[row]), float(self._crossed_at[row]), now)
            for row in range(signal.rows.start, signal.rows.stop)
        ]
        said = worst(verdicts)
        if said.state is State.OK and signal.pack.stratum_at(now) not in signal.pack.strata:
            return Verdict(State.WARMING, said.score, said.threshold)
        return said

    def effects(self, place: int) -> list[Effect]:
        """What each score reads now; those without observations are left out."""
        signal, tracks = self._signals[place], self.tracks
        rows = range(signal.rows.start, signal.rows.stop)
        return [
            Effect(name, float(tracks.recent_sum[row] / tracks.recent_n[row]), float(tracks.recent_n[row]), band)
            for row, name, band in zip(rows, signal.names, signal.bands, strict=False)
            if tracks.recent_n[row] > 0
        ]

    def added(self, place: int) -> dict[str, Floats]:
        """What the last tick with observations added to the tracks of each score: for `report.PeriodEvidence`."""
        signal = self._signals[place]
        rows = range(signal.rows.start, signal.rows.stop)
        return {name: self._added[row, :TRACKS].copy() for name, row in zip(signal.names, rows, strict=True)}

    def state(self, place: int) -> SignalState:
        signal = self._signals[place]
        arrays = tuple(np.ascontiguousarray(array[signal.rows], dtype="<f8").tobytes() for array in self._arrays())
        crossed = tuple(self._crossed_at[signal.rows].tolist())
        return SignalState(VERSION, signal.pack.id, signal.share, self.horizon, arrays, crossed)

    def restore(self, place: int, state: SignalState) -> None:
        """:raises ForeignState: of another reference, share, horizon or version, or damaged"""
        signal = self._signals[place]
        held = (state.reference, state.share, state.horizon)
        check(state.version, held, (signal.pack.id, signal.share, self.horizon))
        arrays = self._arrays()
        wanted = [array[signal.rows] for array in arrays]
        if len(state.arrays) != len(arrays) or len(state.crossed_at) != len(signal.names):
            raise ForeignState("state of other scores")
        if any(len(data) != 8 * array.size for data, array in zip(state.arrays, wanted, strict=True)):
            raise ForeignState("state of other scores")
        for array, data in zip(wanted, state.arrays, strict=True):
            array[...] = np.frombuffer(data, dtype="<f8").reshape(array.shape)
        self._crossed_at[signal.rows] = state.crossed_at

    def _arrays(self) -> tuple[Floats, ...]:
        tracks = self.tracks
        return (
            tracks.evidence, tracks.cusum, tracks.onset, tracks.base_sum, tracks.base_n,
            tracks.total_sum, tracks.total_n, tracks.recent_sum, tracks.recent_n, tracks.odds,
        )  # fmt: skip

    def _fill(self, counts: Mapping[int, Counts], at: float) -> NDArray[np.bool_]:
        """Counts into the arrays; which rows have any."""
        active = np.zeros(self.tracks.limits.size, dtype=bool)
        for width in self._widths.values():
            width.counts[:] = 0.0
            given = [(line, counts[place]) for line, place in enumerate(width.signals) if place in counts]
            if width.seasonal:
                given = [one for one in given if self._in_force(self._signals[width.signals[one[0]]], at)]
            if given:
                width.counts[[line for line, _ in given]] = [count for _, count in given]
            filled = np.asarray(width.counts.any(axis=1))
            active[width.row_index] = filled[width.owner_index]
        return active

    def _in_force(self, signal: _Signal, at: float) -> bool:
        """Tables of the stratum at this time are loaded; False where the reference has none."""
        if signal.pack.season is Season.NONE:
            return True
        key = signal.pack.stratum_at(at)
        if key != signal.stratum and key in signal.pack.strata:
            self._use(signal, key)
        return key in signal.pack.strata

    def _use(self, signal: _Signal, key: str) -> None:
        scores: tuple[Score, ...] = signal.pack.scores(key)
        width = self._widths[signal.pack.bins]
        for row, score in enumerate(scores):
            width.tables[signal.width_place + row, :, :TRACKS] = table(score)
            width.tables[signal.width_place + row, :, TRACKS] = score.values
            self.tracks.weights[signal.rows.start + row] = weights(score.band)
        signal.stratum = key
        signal.bands = tuple(score.band for score in scores)

    def _crossing(self, signal: _Signal, row: int, at: float) -> Crossing:
        tracks = self.tracks
        score = row - signal.rows.start
        onset, effect, observations = tracks.since_onset(row)
        return Crossing(
            score=signal.names[score],
            at=at,
            onset=onset,
            log_odds=float(np.log(tracks.odds[row])),
            effect=effect,
            observations=int(observations),
            band=signal.bands[score],
            reference=signal.pack.id,
            share=signal.share / len(signal.names),
            horizon=self.horizon,
        )
