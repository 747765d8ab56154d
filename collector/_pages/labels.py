"""Labels of a page to ours, and how series that land on the same ones become one."""

from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec

Translate = Callable[[str], str | None]
"""an engine's label value to ours; None leaves the series out"""


class Fold(StrEnum):
    """How gauges that land on the same labels (the ranks of one engine) become one. Counters and histograms add up."""

    SUM = "sum"
    MEAN = "mean"
    MAX = "max"


def words(known: Mapping[str, str], otherwise: str | None) -> Translate:
    """Translation by a word list; `otherwise` is for words that the list does not have."""
    return lambda value: known.get(value, otherwise)


class Label(msgspec.Struct, frozen=True):
    """One label of the engine's that is kept. `theirs` missing on a series leaves the label out."""

    theirs: str
    ours: str
    translate: Translate = lambda value: value
