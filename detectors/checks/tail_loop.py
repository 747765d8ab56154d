"""
An answer whose end says the same thing again and again.

Catches exact loops at the end, of any period up to a third of the last 2,000 characters, one character repeated too
(the `!!!!` of a model whose numbers went wrong). Misses loops that change a number each time (see `repetition`) and
loops that ended before the answer did. Linear: one search backwards and one comparison per copy.
"""

from typing import Annotated, Final

import msgspec

from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Flag, Score
from watchkeeper.core.vocabulary import outputs

_TAIL: Final = 2_000
_SEED: Final = 24
_COPIES: Final = 3


class TailLoopConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Loops at the end of an answer."""

    enabled: bool = True
    """exact and a microsecond"""
    looping_characters: Annotated[int, msgspec.Meta(ge=60, le=2000)] = 200
    """flagged from so many characters of loop on"""


class TailLoop:
    def __init__(self, config: TailLoopConfig, _: Ledger) -> None:
        self._least = config.looping_characters

    def score(self, call: Prepared) -> tuple[Score, ...]:
        said = call.answer or call.reasoning
        if not said:
            return ()
        looping, period = loop(said[-_TAIL:])
        if looping < self._least:
            return (Flag("tail_loop"),)
        kind = "character" if period == 1 else "phrase"
        return (Flag("tail_loop", ((kind, 1),)),)


def loop(tail: str) -> tuple[int, int]:
    """
    Characters that loop at the end, and the loop's period; 0, 0 without one.

    >>> loop("so " + "ha " * 100)
    (300, 3)
    """
    seed = tail[-_SEED:]
    before = tail.rfind(seed, 0, len(tail) - 1)
    if before < 0 or len(seed) < _SEED:
        return 0, 0
    period = len(tail) - _SEED - before
    copy, copies, end = tail[-period:], 1, len(tail) - period
    while tail.endswith(copy, 0, end) and end:
        copies += 1
        end -= period
    return (copies * period, period) if copies >= _COPIES else (0, 0)


PLUGIN: Final = Plugin(
    name="tail_loop",
    summary="An answer whose end says the same thing again and again.",
    config=TailLoopConfig,
    build=TailLoop,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=outputs.VERDICTS,
)
