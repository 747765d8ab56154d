"""One signal on its own: observations or merged ticks in, verdict out. Any number of signals: `bank.Bank`."""

import msgspec

from detectors.drift.bank import Bank, Counts, Watched
from detectors.drift.packs import Pack
from detectors.drift.seasons import Season
from detectors.drift.state import ForeignState, WatchState, encode
from detectors.drift.ticks import TICK_SECONDS, OpenTick
from detectors.drift.verdicts import Crossing, Effect
from watchkeeper.core.records import State, Verdict


class Watch:
    """
    Detector of `rate`, `pit` or `category` kind, as its reference says. Without a reference it only warms up.

    :param share: of the deployment's false-alarm budget, in (0, 1]
    :param horizon: ticks in which the whole deployment expects at most one false alarm
    :param tick_observations: end a tick after so many observations too; only for a stream that is not merged
    """

    def __init__(
        self,
        pack: Pack | None,
        share: float,
        horizon: float,
        tick_seconds: float = TICK_SECONDS,
        tick_observations: int | None = None,
    ) -> None:
        self.pack = pack
        self.crossings: list[Crossing] = []
        """of the last call"""
        self._bank = Bank([Watched(pack, share)], horizon) if pack else None
        self._seasonal = pack is not None and pack.season is not Season.NONE
        self._said = self.verdict(0.0)
        """between ticks, where only an alarm or a season can end by time alone"""
        self._open = OpenTick(pack.bins if pack else 1, tick_seconds, tick_observations)

    def update(self, value: float | str, now: float) -> Verdict:
        """One observation. What is no number where numbers are watched changes nothing."""
        self.crossings = []
        place = self.pack.bin(value) if self.pack else None
        if place is not None:
            ended = self._open.add(place, now)
            if ended is not None:
                self._tick(ended.counts, ended.at)
                self._said = self.verdict(now)
        return self._said if self._said.state is State.OK and not self._seasonal else self.verdict(now)

    def tick(self, counts: Counts, at: float, now: float) -> Verdict:
        """
        Merged counts of a whole tick that began `at`, from `ticks.Merger` or from a stored stream.

        Use this or `update`, not both.
        """
        self.crossings = []
        self._tick(counts, at)
        self._said = self.verdict(now)
        return self._said

    def verdict(self, now: float) -> Verdict:
        return self._bank.verdict(0, now) if self._bank else Verdict(State.WARMING, 0.0, 1.0)

    def effects(self) -> list[Effect]:
        return self._bank.effects(0) if self._bank else []

    def state(self) -> bytes:
        """Empty without a reference."""
        if self._bank is None:
            return b""
        return encode(WatchState(self._bank.state(0), self._open.number, tuple(self._open.counts)))

    def restore(self, data: bytes) -> None:
        """:raises ForeignState: of another reference, share, horizon or version, or damaged"""
        try:
            state = msgspec.msgpack.decode(data, type=WatchState)
        except msgspec.MsgspecError as error:
            raise ForeignState(f"no state of a watch: {error}") from None
        if self._bank is None or len(state.tick_counts) != len(self._open.counts):
            raise ForeignState("state of another reference")
        self._bank.restore(0, state.signal)
        self._open.number = state.tick_number
        self._open.counts = list(state.tick_counts)
        self._open.held = sum(state.tick_counts)
        self._said = Verdict(State.WARMING, 0.0, 1.0)  # said anew at the next call

    def _tick(self, counts: Counts, at: float) -> None:
        if self._bank is not None:
            self.crossings = self._bank.tick({0: counts}, at).get(0, [])
