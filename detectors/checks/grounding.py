"""
How much of an answer stands in the context that tools or retrieval brought.

Two proxies: the share of its groups of 3 words (3 characters where no blanks are written) that the context has, and the
share of its numbers and addresses that neither prompt nor context has. Catches retrieval that broke, a model that stops
quoting, invented figures. Misses wrong conclusions in borrowed words, and takes good paraphrase for invention: watch
its change, judge no answer by it. Only calls whose context is told apart in the request: results of tools, messages of
retrieval. The dearest of the checks, hence sampled.
"""

import re
from typing import Annotated, Final

import msgspec

from detectors.checks._forms import answer_lower, context_lower
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Number, Score
from watchkeeper.core.vocabulary import outputs

_WORDS: Final = re.compile(r"[^\W_]{1,64}")
_FIGURES: Final = re.compile(r"[0-9][0-9.,]{0,30}[0-9]|https?://[^\s)>\]\"']{3,300}")
_LEAST: Final = 8
_UNSPACED: Final = 12
_MOST: Final = 16_384


class GroundingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Grounding in retrieved context."""

    enabled: bool = True
    """costs nothing where no context is told apart"""
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1
    """of the answers with context looked at, spread evenly"""


class Grounding:
    def __init__(self, config: GroundingConfig, _: Ledger) -> None:
        self._share = config.share
        self._due = 1.0 - config.share

    def score(self, call: Prepared) -> tuple[Score, ...]:
        if not call.context or not call.answer:
            return ()
        self._due += self._share
        if self._due < 1:
            return ()
        self._due -= 1
        scores: list[Score] = []
        said = _groups(call.form(answer_lower)[:_MOST])
        if len(said) >= _LEAST:
            scores.append(Number(outputs.GROUNDED, len(said & _groups(call.form(context_lower))) / len(said)))
        figures = set(_FIGURES.findall(call.answer[:_MOST]))
        if figures:
            missing = sum(one not in call.context and one not in call.prompt for one in list(figures)[:200])
            scores.append(Number(outputs.UNGROUNDED_FIGURES, missing / min(len(figures), 200)))
        return tuple(scores)


def _groups(text: str) -> set[object]:
    words = _WORDS.findall(text)
    if len(text) > _UNSPACED * text.count(" "):
        dense = "".join(words)
        return {dense[at : at + 3] for at in range(len(dense) - 2)}
    return set(zip(words, words[1:], words[2:], strict=False))


PLUGIN: Final = Plugin(
    name="grounding",
    summary="How much of an answer stands in the context that tools or retrieval brought.",
    config=GroundingConfig,
    build=Grounding,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=(outputs.GROUNDED, outputs.UNGROUNDED_FIGURES),
)
