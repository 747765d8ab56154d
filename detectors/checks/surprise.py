"""
How unusual an answer's own tokens were to the model that wrote it, from the log probabilities that the engine gives.

Mean and largest -log p in nats, and the share of tokens with p under 0.05. Catches a changed model, template, sampling
or precision before the text shows it, and broken numbers. High is unusual, not untrue: it finds no hallucinations. Only
calls that asked for log probabilities have them, and only their first tokens are kept (4,096). Entropy over the
alternatives of a token is not carried.
"""

from typing import Annotated, Final

import msgspec

from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Number, Score
from watchkeeper.core.vocabulary import outputs

_UNLIKELY: Final = -2.995732273553991
"""log 0.05"""


class SurpriseConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Log probabilities."""

    enabled: bool = True
    """exact numbers, and nothing where calls do not ask for them"""
    least_tokens: Annotated[int, msgspec.Meta(ge=1)] = 8
    """shorter answers are left out"""


class Surprise:
    def __init__(self, config: SurpriseConfig, _: Ledger) -> None:
        self._least = config.least_tokens

    def score(self, call: Prepared) -> tuple[Score, ...]:
        logprobs = call.completion.token_logprobs
        if len(logprobs) < self._least:
            return ()
        unlikely = sum(logprob < _UNLIKELY for logprob in logprobs)
        return (
            Number(outputs.SURPRISE, 0.0 - sum(logprobs) / len(logprobs)),
            Number(outputs.SURPRISE_WORST, 0.0 - min(logprobs)),
            Number(outputs.SURPRISE_SHARE, unlikely / len(logprobs)),
        )


PLUGIN: Final = Plugin(
    name="surprise",
    summary="How unusual an answer's tokens were to the model that wrote it, from log probabilities.",
    config=SurpriseConfig,
    build=Surprise,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=(outputs.SURPRISE, outputs.SURPRISE_WORST, outputs.SURPRISE_SHARE),
    reads_logprobs=True,
)
