"""
An answer without content.

Exact: no character but blanks and no tool call, or no output token although the call went well. An answer of which
only reasoning is known is its own kind. A sender that captures prompts but no answers is not mistaken for empty
answers: then tokens decide, and without them nothing is said. Misses content that says nothing.
"""

from typing import Final

import msgspec

from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Completion, Flag, Outcome, Score
from watchkeeper.core.vocabulary import outputs

_OPERATIONS: Final = frozenset(("chat", "text_completion", "generate_content"))
_GOOD: Final = (Outcome.OK, None)


class EmptyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answers without content."""

    enabled: bool = True
    """exact and free"""


class Empty:
    def __init__(self, _: EmptyConfig, __: Ledger) -> None:
        pass

    def score(self, call: Prepared) -> tuple[Score, ...]:
        completion = call.completion
        if completion.operation not in _OPERATIONS or completion.outcome not in _GOOD:
            return ()
        has_tools = bool(completion.tool_names or call.text.calls)
        if call.has_answer:
            return (Flag("empty", () if has_tools else _of_text(call)),)
        if completion.output_tokens is None or not completion.counts:
            return ()
        return (Flag("empty", () if has_tools else _of_tokens(completion)),)


def _of_text(call: Prepared) -> tuple[tuple[str, int], ...]:
    if call.answer and not call.answer.isspace():
        return ()
    return (("only_reasoning" if call.reasoning.strip() else "blank", 1),)


def _of_tokens(completion: Completion) -> tuple[tuple[str, int], ...]:
    return (("no_tokens", 1),) if completion.output_tokens == 0 else ()


PLUGIN: Final = Plugin(
    name="empty",
    summary="An answer without content.",
    config=EmptyConfig,
    build=Empty,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=outputs.VERDICTS,
)
