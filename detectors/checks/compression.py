"""
How much an answer can be compressed: a number to watch for change, never a limit.

Prose lies near 1.1, code near 2, JSON and tables at 3 and more, loops far above. Short answers compress little
whatever they say, so it moves with length too. Catches a model or a template that was swapped. Flags nothing.
"""

from typing import Annotated, Final

import msgspec

from detectors.checks._forms import answer_bytes, compression
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Number, Score
from watchkeeper.core.vocabulary import outputs


class CompressionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Compression of an answer."""

    enabled: bool = True
    """3 us a kB, and `repetition` uses it"""
    least_characters: Annotated[int, msgspec.Meta(ge=1)] = 20
    """shorter answers are left out"""


class Compression:
    def __init__(self, config: CompressionConfig, _: Ledger) -> None:
        self._least = config.least_characters

    def score(self, call: Prepared) -> tuple[Score, ...]:
        if len(call.answer) < self._least:
            return ()
        markup = len(data := call.form(answer_bytes)) - len(data.translate(None, _MARKUP))
        return (
            Number(outputs.COMPRESSION, call.form(compression)),
            Number(outputs.MARKUP, markup / len(data)),
        )


_MARKUP: Final = b"*#`|_<>{}[]~=\\"

PLUGIN: Final = Plugin(
    name="compression",
    summary="How much an answer can be compressed, and how much of it is markup.",
    config=CompressionConfig,
    build=Compression,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=(outputs.COMPRESSION, outputs.MARKUP),
)
