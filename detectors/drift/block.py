"""
Any statistic of a block of observations, judged by its rank among earlier blocks: for dependent or seasonal streams.

Nothing is assumed of the observations in a block, only that blocks of one stratum (hour, weekend) are exchangeable.
Then p = (blocks above + U (1 + blocks equal)) / (n + 1) is uniform and independent of all earlier p, U being uniform
from a generator seeded by reference, statistic and block number. M_k <- (M_k + 1) k p^(k - 1) then makes the same
promise as `rate`, per block. The bag of earlier blocks must grow with every block, under alarm too: with p against a
fixed bag they are not independent, and the promise is broken many times over (a test shows it).

A block ends where `block_size` observations and `block_seconds` are full, and is then thinned at random to exactly
`block_size`: the law of a statistic depends on the number of observations, and must not move with the traffic. A block
that its stratum leaves unfinished is dropped.

V. Vovk, I. Petej, I. Nouretdinov, E. Ahlberg, L. Carlsson, A. Gammerman, Retrain or not retrain, COPA 2021,
arXiv:2102.10439. D. Volkhonskiy et al., Inductive conformal martingales for change-point detection, 2017,
arXiv:1706.03415.
"""

import hashlib
import math
import struct
from statistics import fmean
from typing import Final

import msgspec
import numpy as np

from detectors.drift.bands import Floats
from detectors.drift.bank import Counts
from detectors.drift.kinds import Kind
from detectors.drift.packs import Pack
from detectors.drift.pit import mid_ranks
from detectors.drift.ranks import BINS, EXPONENTS, LEAST_BLOCKS, Bag, grow
from detectors.drift.state import VERSION, BlockState, ForeignState, check, encode
from detectors.drift.verdicts import Crossing, verdict, worst
from watchkeeper.core.records import State, Verdict

PSI: Final = "psi"
LOCATION: Final = "location"
_EXPONENTS: Final = np.array(EXPONENTS)
_GROUPS: Final = 10


class Statistics:
    """What a block is compared with: one stratum's first half of a reference."""

    def __init__(self, pack: Pack, key: str) -> None:
        reference = np.asarray(pack.strata[key].first_half, dtype=np.float64)
        below = np.cumsum(reference) - reference
        tenths = (below * _GROUPS / reference.sum()).astype(np.intp).clip(0, _GROUPS - 1)
        ordered = pack.kind not in (Kind.FLAG, Kind.CATEGORY)
        self._groups = np.unique(tenths, return_index=True)[1] if ordered else np.arange(reference.size)
        """first bin of each group"""
        self._shares = _smooth(np.add.reduceat(reference, self._groups))
        self._ranks = mid_ranks(reference) if pack.kind is Kind.NUMBER else None

    def of(self, counts: Counts) -> dict[str, float]:
        """Each >= 0 and larger the further away. `location` is the distance of the AUC from 1/2; numbers only."""
        held = np.asarray(counts, dtype=np.float64)
        shares = _smooth(np.add.reduceat(held, self._groups))
        found = {PSI: float(((shares - self._shares) * np.log(shares / self._shares)).sum())}
        if self._ranks is not None:
            found[LOCATION] = abs(float(held @ self._ranks / held.sum()) - 0.5)
        return found


def _smooth(counts: Floats) -> Floats:
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * counts.size))


class _Line:
    """One statistic: its bags by stratum and its evidence."""

    def __init__(self) -> None:
        self.bags: dict[str, Bag] = {}
        self.evidence = [0.0] * len(EXPONENTS)
        self.cusum = np.zeros(_EXPONENTS.size)
        self.onset = np.zeros(_EXPONENTS.size)
        self.odds = 0.0
        self.crossed_at = 0.0
        self.last = 0.0


class Block:
    """
    Detector of a signal by its blocks. Its own share must be apart from the one of a `Watch` of the same signal.

    :param horizon: blocks in which the whole deployment expects at most one false alarm; with `block_seconds` of the
        reference above 0 there are at most `days * 86400 / block_seconds` blocks in so many days
    """

    def __init__(self, pack: Pack, share: float, horizon: float) -> None:
        self.pack = pack
        self.share = share
        self.horizon = horizon
        self.crossings: list[Crossing] = []
        """of the last call"""
        self._statistics = {key: Statistics(pack, key) for key in pack.strata}
        self._lines: dict[str, _Line] = {PSI: _Line()}
        if pack.kind is Kind.NUMBER:
            self._lines[LOCATION] = _Line()
        self._limit = horizon * len(self._lines) / share
        self._counts = np.zeros(pack.bins, dtype=np.int64)
        self._stratum = ""
        self._open_at = 0.0
        self._number = 0
        for key, blocks in pack.blocks.items():
            for counts in blocks:
                for name, value in self._statistics[key].of(counts).items():
                    self._bag(name, key).rank(value, 0.5)

    def update(self, value: float | str, now: float) -> Verdict:
        """One observation. What is no number where numbers are watched changes nothing."""
        place = self.pack.bin(value)
        if place is None:
            self.crossings = []
            return self.verdict(now)
        counts = np.zeros(self.pack.bins, dtype=np.int64)
        counts[place] = 1
        return self.tick(counts, now, now)

    def tick(self, counts: Counts, at: float, now: float) -> Verdict:
        """Merged counts of a tick that began `at`; a block ends between ticks."""
        self.crossings = []
        held = int(self._counts.sum())
        key = self.pack.stratum_at(at)
        if held and held >= self.pack.block_size and at - self._open_at >= self.pack.block_seconds:
            self._close()
        elif held and key != self._stratum:
            self._counts[:] = 0
        if not self._counts.any():
            self._open_at, self._stratum = at, key
        self._counts += np.asarray(counts, dtype=np.int64)
        return self.verdict(now)

    def verdict(self, now: float) -> Verdict:
        said = worst([verdict(line.odds, self._limit, line.crossed_at, now) for line in self._lines.values()])
        if said.state is State.OK and self.blocks_known(now) < LEAST_BLOCKS:
            return Verdict(State.WARMING, said.score, said.threshold)
        return said

    def blocks_known(self, at: float) -> int:
        """Earlier blocks of the stratum in force at this time."""
        bag = self._lines[PSI].bags.get(self.pack.stratum_at(at))
        return bag.total if bag else 0

    def last(self) -> dict[str, float]:
        """The statistics of the newest block, for display."""
        return {name: line.last for name, line in self._lines.items()}

    def state(self) -> bytes:
        lines = self._lines.items()
        return encode(
            BlockState(
                version=VERSION,
                reference=self.pack.id,
                share=self.share,
                horizon=self.horizon,
                number=self._number,
                open_stratum=self._stratum,
                open_at=self._open_at,
                open_counts=tuple(self._counts.tolist()),
                evidence={name: (*line.evidence, line.odds) for name, line in lines},
                cusum={name: tuple(line.cusum.tolist()) for name, line in lines},
                onset={name: tuple(line.onset.tolist()) for name, line in lines},
                crossed_at={name: line.crossed_at for name, line in lines},
                last={name: line.last for name, line in lines},
                bags={name: {key: _pack_bag(bag) for key, bag in line.bags.items()} for name, line in lines},
            )
        )

    def restore(self, data: bytes) -> None:
        """:raises ForeignState: of another reference, share, horizon or version, or damaged"""
        try:
            state = msgspec.msgpack.decode(data, type=BlockState)
        except msgspec.MsgspecError as error:
            raise ForeignState(f"no state of a block detector: {error}") from None
        held = (state.reference, state.share, state.horizon)
        check(state.version, held, (self.pack.id, self.share, self.horizon))
        if state.evidence.keys() != self._lines.keys() or len(state.open_counts) != self.pack.bins:
            raise ForeignState("state of other statistics")
        self._number, self._stratum, self._open_at = state.number, state.open_stratum, state.open_at
        self._counts = np.array(state.open_counts, dtype=np.int64)
        for name, line in self._lines.items():
            *evidence, line.odds = state.evidence[name]
            line.evidence, line.cusum = evidence, np.array(state.cusum[name])
            line.onset, line.crossed_at, line.last = (
                np.array(state.onset[name]),
                state.crossed_at[name],
                state.last[name],
            )
            line.bags = {key: Bag(_unpack_bag(bag)) for key, bag in state.bags[name].items()}

    def _bag(self, name: str, key: str) -> Bag:
        return self._lines[name].bags.setdefault(key, Bag())

    def _close(self) -> None:
        counts, self._counts = self._counts, np.zeros(self.pack.bins, dtype=np.int64)
        self._number += 1
        if self._stratum not in self._statistics:
            return
        if counts.sum() > self.pack.block_size:
            generator = np.random.Generator(np.random.PCG64(_seed(self.pack.id, "thinning", self._number)))
            counts = generator.multivariate_hypergeometric(counts, self.pack.block_size, method="marginals")
        for name, value in self._statistics[self._stratum].of(counts).items():
            self._judge(name, value)

    def _judge(self, name: str, value: float) -> None:
        line, bag = self._lines[name], self._bag(name, self._stratum)
        known = bag.total
        p = bag.rank(value, (_seed(self.pack.id, name, self._number) % 2**53 + 0.5) / 2**53)
        line.last = value
        if known < LEAST_BLOCKS:
            return
        line.onset[line.cusum <= 0] = self._open_at
        line.cusum = np.maximum(line.cusum, 0.0) + np.log(_EXPONENTS) + (_EXPONENTS - 1) * math.log(p)
        line.evidence = grow(line.evidence, p)
        line.odds = fmean(line.evidence)
        if line.odds >= self._limit:
            self.crossings.append(self._crossing(name, line, line.evidence.index(max(line.evidence))))
            line.evidence = [0.0] * len(EXPONENTS)
            line.cusum[:] = 0.0
            line.crossed_at = self._open_at

    def _crossing(self, name: str, line: _Line, best: int) -> Crossing:
        return Crossing(
            score=name,
            at=self._open_at,
            onset=float(line.onset[best]),
            log_odds=math.log(line.odds),
            effect=line.last,
            observations=self.pack.block_size,
            band=None,
            reference=self.pack.id,
            share=self.share / len(self._lines),
            horizon=self.horizon,
        )


def _seed(*parts: str | int) -> int:
    return int.from_bytes(hashlib.sha256(":".join(map(str, parts)).encode()).digest()[:8])


def _pack_bag(bag: Bag) -> bytes:
    return struct.pack(f"<{BINS}{'I' if max(bag.counts) > 65535 else 'H'}", *bag.counts)


def _unpack_bag(data: bytes) -> tuple[int, ...]:
    try:
        return struct.unpack(f"<{BINS}{'I' if len(data) == 4 * BINS else 'H'}", data)
    except struct.error:
        raise ForeignState("a damaged bag") from None
