"""
An answer that declines, in English or Chinese.

Phrases of refusal in the first 400 characters, apostrophes made one. Catches what models say when they decline; a
change of its share tells of a new model, prompt or policy. Misses polite evasions, answers beside the point, other
languages; an answer that quotes a refusal is marked. A share to watch, no fact about one answer.
"""

from typing import Annotated, Final

import msgspec

from detectors.checks._phrases import Group, answer_hits, prepare
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Flag, Score
from watchkeeper.core.vocabulary import outputs

_KINDS: Final = (("english", Group.REFUSAL_ENGLISH), ("chinese", Group.REFUSAL_CHINESE))


class RefusalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Refusals."""

    enabled: bool = True
    """hardly ever wrong where it marks, and free: the phrases are looked for in one pass with all others"""
    first_characters: Annotated[int, msgspec.Meta(ge=50, le=65_536)] = 400
    """how far into the answer a refusal may begin"""


class Refusal:
    def __init__(self, config: RefusalConfig, _: Ledger) -> None:
        self._first = config.first_characters
        prepare()

    def score(self, call: Prepared) -> tuple[Score, ...]:
        if not call.answer:
            return ()
        found = call.form(answer_hits)
        hits = []
        for kind, group in _KINDS:
            if count := sum(start < self._first for start in found.get(group, ())):
                hits.append((kind, count))
        return (Flag("refusal", tuple(hits)),)


PLUGIN: Final = Plugin(
    name="refusal",
    summary="An answer that declines, in English or Chinese.",
    config=RefusalConfig,
    build=Refusal,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=outputs.VERDICTS,
)
