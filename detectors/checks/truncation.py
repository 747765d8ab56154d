"""
An answer that was cut short.

`truncation` is exact: the engine's finish reason says length. `truncation_suspect` is a proxy for calls without one or
whose reason says stop: an odd number of code fences, JSON that does not close, or more than 200 characters that end in
the middle of a sentence. It misses an answer cut just after a full stop, and marks poems, lists and titles that end
without one: a share to watch, no fact about one answer.
"""

from typing import Final

import msgspec

from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Flag, Score
from watchkeeper.core.vocabulary import outputs

_LEAST: Final = 200
_ENDS: Final = frozenset(".!?:;)]}>\"'`*|_~=-…。！？：；）】」』”’》〉～।؟๚។")
_LAST_LINE: Final = 400


class TruncationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answers cut short."""

    enabled: bool = True
    """the first is exact, the second costs two microseconds"""


class Truncation:
    def __init__(self, _: TruncationConfig, __: Ledger) -> None:
        pass

    def score(self, call: Prepared) -> tuple[Score, ...]:
        reasons = call.completion.finish_reasons
        is_cut = "length" in reasons
        scores: tuple[Score, ...] = (Flag("truncation", (("limit", 1),) if is_cut else ()),) if reasons else ()
        if call.answer and not is_cut:
            kind = suspicion(call.answer.rstrip())
            scores += (Flag("truncation_suspect", ((kind, 1),) if kind else ()),)
        return scores


def suspicion(answer: str) -> str:
    """
    Why an answer looks cut: fence, json, sentence; empty when it does not.

    >>> suspicion("Run this:\\n```sh\\nls")
    'fence'
    """
    if answer.count("```") % 2:
        return "fence"
    if answer[:1] in ("{", "["):
        return "" if answer[-1] in "}])." else "json"
    if len(answer) <= _LEAST or answer[-1] in _ENDS or not (answer[-1].isalnum() or answer[-1] in ",、，(（[{"):
        return ""
    line = answer[-_LAST_LINE:].rpartition("\n")[2].lstrip()
    return "" if _is_item(line) else "sentence"


def _is_item(line: str) -> bool:
    """Lines of lists, tables, headings and signatures end as they like."""
    return line[:1] in "-*#|•·>+" or line[:3].rstrip(".)、 ").isdigit() or len(line) <= 40


PLUGIN: Final = Plugin(
    name="truncation",
    summary="An answer that was cut short.",
    config=TruncationConfig,
    build=Truncation,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=outputs.VERDICTS,
)
