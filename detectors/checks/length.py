"""
How long answers are: characters, tokens over the limit asked for, tokens over the prompt's, share of reasoning.

Exact numbers for drift to watch; flags nothing. Lengths of real traffic move within the hour: compare them with the
same hour of another day, not with a fixed limit.
"""

from typing import Final

import msgspec

from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Number, Score
from watchkeeper.core.vocabulary import outputs


class LengthConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lengths of answers."""

    enabled: bool = True
    """exact and free"""


class Length:
    def __init__(self, _: LengthConfig, __: Ledger) -> None:
        pass

    def score(self, call: Prepared) -> tuple[Score, ...]:
        completion = call.completion
        scores: list[Score] = []
        if call.has_answer:
            scores.append(Number(outputs.CHARACTERS, len(call.text.answer) - len(call.text.reasoning)))
        tokens = completion.output_tokens
        if tokens and completion.counts:
            if completion.max_output_tokens:
                scores.append(Number(outputs.LENGTH_OF_LIMIT, tokens / completion.max_output_tokens))
            if completion.input_tokens:
                scores.append(Number(outputs.LENGTH_OF_PROMPT, tokens / completion.input_tokens))
            if completion.reasoning_tokens is not None:
                scores.append(Number(outputs.REASONING_SHARE, min(1.0, completion.reasoning_tokens / tokens)))
        return tuple(scores)


PLUGIN: Final = Plugin(
    name="length",
    summary="How long answers are, against limit and prompt, and how much of them is reasoning.",
    config=LengthConfig,
    build=Length,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=(outputs.CHARACTERS, outputs.LENGTH_OF_LIMIT, outputs.LENGTH_OF_PROMPT, outputs.REASONING_SHARE),
)
