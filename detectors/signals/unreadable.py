"""
A share of what arrives that cannot be read.

Of each source three shares, each per `interval_seconds` one number: requests refused whole for what they hold (not for
want of room), items refused of requests that were taken, and values left out because they cannot be right, per item.
Evidence is `detectors.drift.rate` with the band [0, `let_pass_ratio`]: while the expected share, whatever went before,
is within it, the three together raise at most one finding in `false_alarm_days` on average for each source. A
crossing warns. It ends when nothing has crossed for 10 minutes and the share over them is within the band.

An interval, not an item, is the unit: one broken batch brings hundreds of broken items at once, and they are one fact.

Catches: everything unreadable after 40 s, 10 % after 80 s, 2 % after 4 to 6 minutes. Misses: what never
reaches the port (see `arrival`), a single broken batch, and a small sender's broken records among many good ones of
others. Keeps 10 tracks of evidence for each share of each source.
"""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import health

if TYPE_CHECKING:
    from detectors.signals._shares import Unreadable


class UnreadableConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A share of what arrives that cannot be read."""

    enabled: bool = True
    """False: what cannot be read is counted and not judged"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=60)] = 10.0
    """how often a share is taken and judged"""
    let_pass_ratio: Annotated[float, msgspec.Meta(gt=0, le=0.5)] = 0.01
    """a share up to this is left alone"""
    false_alarm_days: Annotated[float, msgspec.Meta(ge=1, le=3650)] = 30.0
    """days in which one false finding about a source is accepted"""


def build(config: UnreadableConfig, ledger: Ledger) -> "Unreadable":
    from detectors.signals._shares import Unreadable

    return Unreadable(
        config.interval_seconds, config.let_pass_ratio, config.false_alarm_days * 86_400 / config.interval_seconds
    )


PLUGIN: Final = Plugin(
    name="unreadable",
    summary="A share of what arrives that cannot be read.",
    config=UnreadableConfig,
    build=build,
    reads=(
        health.RECEIVED, health.REJECTED, health.REFUSED_REQUESTS, health.TAKEN_REQUESTS, health.INVALID_VALUES,
    ),
    roles=("run", "sidecar", "gateway", "detector"),
    interval_seconds=lambda config: config.interval_seconds,
)  # fmt: skip
