"""Evidence that survives a restart: versioned, and worth nothing under another reference or a larger share."""

from typing import Final

import msgspec

from watchkeeper.core.errors import WatchkeeperError

VERSION: Final = 1


class ForeignState(WatchkeeperError):  # noqa: N818 - what it is
    """This state belongs to another reference, a smaller share or another version: begin with none instead."""


class SignalState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one watched signal. Arrays are little-endian float64, row after row, in the order of `rate.Tracks`."""

    version: int
    reference: str
    share: float
    horizon: float
    """ticks in which the deployment accepts one false alarm"""
    arrays: tuple[bytes, ...]
    crossed_at: tuple[float, ...]
    """per score: unix seconds of the last alarm, 0 = never"""


class WatchState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a watch: its signal, and the tick in progress."""

    signal: SignalState
    tick_number: int
    tick_counts: tuple[int, ...]


class BlockState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a block detector. `bags`: by statistic and stratum, blocks per bin of the statistic."""

    version: int
    reference: str
    share: float
    horizon: float
    number: int
    open_stratum: str
    open_at: float
    open_counts: tuple[int, ...]
    evidence: dict[str, tuple[float, ...]]
    bags: dict[str, dict[str, bytes]]
    crossed_at: dict[str, float]
    onset: dict[str, tuple[float, ...]]
    cusum: dict[str, tuple[float, ...]]
    last: dict[str, float]


def encode(state: SignalState | WatchState | BlockState) -> bytes:
    return msgspec.msgpack.encode(state)


def check(version: int, held: tuple[str, float, float], own: tuple[str, float, float]) -> None:
    """
    :param held: reference, share and horizon of the state
    :raises ForeignState: they differ from the detector's own; a share that was larger will do, see `shares`
    """
    if version != VERSION:
        raise ForeignState(f"state of version {version}; this watchkeeper reads version {VERSION}")
    if held[0] != own[0]:
        raise ForeignState(f"state of another reference: {held[0][:12]} instead of {own[0][:12]}")
    if held[1] < own[1]:
        raise ForeignState(f"state of a smaller share: {held[1]:.3g} instead of {own[1]:.3g}")
    if held[2] != own[2]:
        raise ForeignState(f"state of another horizon: {held[2]:.6g} instead of {own[2]:.6g}")
