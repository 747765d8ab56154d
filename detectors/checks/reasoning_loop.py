"""
Reasoning that goes round in circles.

Reasoning is read in chunks of 1,000 characters: of each, the share of groups of 8 words (16 characters where no blanks
are written) that were there before. Flagged when three chunks in a row are above the limit. Catches a model that
thinks the same thought again. Misses circles in other words. Only reasoning that is told apart, or in <think> tags.
"""

from typing import Annotated, Final

import msgspec

from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Flag, Number, Score
from watchkeeper.core.vocabulary import outputs

_CHUNK: Final = 1_000
_WORDS: Final = 8
_CHARACTERS: Final = 16
_IN_A_ROW: Final = 3
_UNSPACED: Final = 12


class ReasoningLoopConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Circles in reasoning."""

    enabled: bool = True
    """costs nothing where there is no reasoning"""
    repeated_ratio: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.3
    """a chunk is a repetition above this share of groups seen before"""


class ReasoningLoop:
    def __init__(self, config: ReasoningLoopConfig, _: Ledger) -> None:
        self._ratio = config.repeated_ratio

    def score(self, call: Prepared) -> tuple[Score, ...]:
        if len(call.reasoning) < _CHUNK:
            return ()
        row = longest = 0
        shares = repeated(call.reasoning)
        for share in shares:
            row = row + 1 if share > self._ratio else 0
            longest = max(longest, row)
        hits = (("circle", longest),) if longest >= _IN_A_ROW else ()
        return Flag("reasoning_loop", hits), Number(outputs.REASONING_REPEATED, max(shares))


def repeated(reasoning: str) -> list[float]:
    """Of each chunk, the share of its groups that an earlier chunk, or it, had before."""
    seen: set[object] = set()
    shares = []
    for at in range(0, len(reasoning), _CHUNK):
        chunk = reasoning[at : at + _CHUNK]
        words = chunk.split()
        before = len(seen)
        if len(chunk) > _UNSPACED * len(words):
            dense = "".join(words)
            groups = len(dense) - _CHARACTERS + 1
            seen.update([dense[at : at + _CHARACTERS] for at in range(groups)])
        else:
            groups = len(words) - _WORDS + 1
            seen.update(zip(*[words[at:] for at in range(_WORDS)], strict=False))
        shares.append(1.0 - (len(seen) - before) / groups if groups > 0 else 0.0)
    return shares


PLUGIN: Final = Plugin(
    name="reasoning_loop",
    summary="Reasoning that goes round in circles.",
    config=ReasoningLoopConfig,
    build=ReasoningLoop,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=(*outputs.VERDICTS, outputs.REASONING_REPEATED),
)
