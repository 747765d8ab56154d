"""
An answer that says much of it twice: the share of its groups of words that were there before.

Catches near-loops, renumbered lists of the same sentence, and paragraphs that come again. Misses repetition in other
words. Songs, forms and code that repeat themselves are flagged, too. Looked at only where LZ4 finds something to
compress; else the share is taken as 0.
"""

from typing import Annotated, Final

import msgspec

from detectors.checks._forms import answer_words, compression
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Flag, Number, Score
from watchkeeper.core.vocabulary import outputs

_GATE: Final = 1.25
_WORDS: Final = 8_000
_UNSPACED: Final = 12
"""characters a word on average, from which on a text is taken as written without blanks"""


class RepetitionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Repetition within an answer."""

    enabled: bool = True
    """exact by definition, and skipped for text that does not compress"""
    repeated_ratio: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.2
    """flagged above this share of repeated groups"""
    least_words: Annotated[int, msgspec.Meta(ge=8)] = 50
    """shorter answers are not flagged; of text without blanks, twice as many characters"""


class Repetition:
    def __init__(self, config: RepetitionConfig, _: Ledger) -> None:
        self._ratio = config.repeated_ratio
        self._least = config.least_words

    def score(self, call: Prepared) -> tuple[Score, ...]:
        if not call.answer:
            return ()
        share = 0.0
        if call.form(compression) > _GATE:
            share = repeated(call.form(answer_words), call.answer, self._least)
        hits = (("repeated", 1),) if share > self._ratio else ()
        return Flag("repetition", hits), Number(outputs.REPETITION, share)


def repeated(words: list[str], text: str, least: int) -> float:
    """Share of groups seen before; 0.0 of fewer than `least` words or pairs of characters."""
    if len(text) > _UNSPACED * len(words):
        dense = "".join(words)[: 2 * _WORDS]
        units, groups = len(dense) // 2, max(0, len(dense) - 7)
        distinct = len({dense[at : at + 8] for at in range(groups)}) if units >= least else 0
    else:
        words = words[:_WORDS]
        units, groups = len(words), max(0, len(words) - 3)
        distinct = len(set(zip(words, words[1:], words[2:], words[3:], strict=False))) if units >= least else 0
    return 1.0 - distinct / groups if distinct else 0.0


PLUGIN: Final = Plugin(
    name="repetition",
    summary="An answer that says much of it twice.",
    config=RepetitionConfig,
    build=Repetition,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=(*outputs.VERDICTS, outputs.REPETITION),
)
