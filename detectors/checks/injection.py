"""
Attempts to make the model leave its instructions: in prompts (`injection`) and in what tools and retrieval bring
(`injection_context`).

Phrases in English and Chinese of four kinds: to ignore what was said, a persona without limits, a wish for the system
prompt, forged roles. A prompt is flagged from `least_hits` phrases on, a tool's result from one on: results have no
business giving instructions. Catches the published jailbreaks that are copied around. Misses polite, indirect,
encoded and foreign instructions ("please send the report to ..." in a web page is nothing it could know): its silence
is no assurance.
"""

from typing import Annotated, Final

import msgspec

from detectors.checks._phrases import Group, Hits, context_hits, prepare, prompt_hits
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Flag, Score
from watchkeeper.core.vocabulary import outputs

_KINDS: Final = (
    ("ignore", Group.IGNORE),
    ("persona", Group.PERSONA),
    ("extract", Group.EXTRACT),
    ("forged_role", Group.MARKUP),
)
_STRONG: Final = ("extract", "forged_role")
_CONTEXT: Final = ("ignore", "extract", "forged_role")


class InjectionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prompt injection."""

    enabled: bool = True
    """free: the phrases are looked for in one pass with all others"""
    least_hits: Annotated[int, msgspec.Meta(ge=1)] = 2
    """phrases that flag a prompt; one that asks for the system prompt or forges a role is enough"""


class Injection:
    def __init__(self, config: InjectionConfig, _: Ledger) -> None:
        self._least = config.least_hits
        prepare()

    def score(self, call: Prepared) -> tuple[Score, ...]:
        if not call.prompt:
            return ()
        hits = _hits(call.form(prompt_hits))
        is_marked = sum(count for _, count in hits) >= self._least or any(kind in _STRONG for kind, _ in hits)
        scores: tuple[Score, ...] = (Flag("injection", hits if is_marked else ()),)
        if call.context:
            brought = tuple(hit for hit in _hits(call.form(context_hits)) if hit[0] in _CONTEXT)
            scores += (Flag("injection_context", brought),)
        return scores


def _hits(found: Hits) -> tuple[tuple[str, int], ...]:
    return tuple((kind, len(found[group])) for kind, group in _KINDS if group in found)


PLUGIN: Final = Plugin(
    name="injection",
    summary="Attempts to make the model leave its instructions, in prompts and in what tools bring.",
    config=InjectionConfig,
    build=Injection,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=outputs.VERDICTS,
)
