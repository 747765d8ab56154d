"""
Letters of an alphabet that neither the prompt nor the operator speaks.

Exact about letters: two and more of a script that the prompt has none of and that is not in `expected`. Catches a model
that falls into another alphabet (Chinese in an English answer). Misses another language in the same alphabet (see
`language`), and is right but of no use where translations are asked for: those prompts are left out. ASCII is free.
"""

import re
from typing import Annotated, Final

import msgspec

from detectors.checks._alphabets import RANGES, answer_alphabets
from detectors.checks._phrases import Group, prepare, prompt_hits
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Flag, Score
from watchkeeper.core.vocabulary import outputs

_ANY: Final = {name: re.compile(f"[{ranges}]") for name, ranges in RANGES.items()}
_GREEK_WORD: Final = re.compile("[\u0370-\u03ff]{3}")
"""single Greek letters are names of quantities"""
_TOGETHER: Final = {"kana": ("kana", "han"), "han": ("han", "kana")}


class ScriptConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unexpected alphabets."""

    enabled: bool = True
    """exact, free for ASCII"""
    expected: tuple[str, ...] = ()
    """alphabets that any answer may use: han, kana, hangul, cyrillic, greek, arabic, hebrew, devanagari, bengali,
    gurmukhi, gujarati, odia, tamil, telugu, kannada, malayalam, sinhala, thai, lao, tibetan, georgian, armenian,
    ethiopic, khmer, burmese; Latin always may"""
    least_letters: Annotated[int, msgspec.Meta(ge=1)] = 2
    """flagged from so many letters on; of Greek, from three in a row"""


class Script:
    def __init__(self, config: ScriptConfig, _: Ledger) -> None:
        self._least = config.least_letters
        self._expected = frozenset(config.expected)
        prepare()

    def score(self, call: Prepared) -> tuple[Score, ...]:
        if not call.answer or not call.prompt:
            return ()
        possible = call.form(answer_alphabets)
        spoken = [name for name, one in _ANY.items() if name in possible and one.search(call.answer)]
        if not spoken:
            return (Flag("script"),)
        if call.form(prompt_hits).get(Group.TRANSLATE):
            return ()
        unexpected = [name for name in spoken if name not in self._expected and not _has(call.prompt, name)]
        hits = ((name, letters(call.answer, name)) for name in unexpected)
        return (Flag("script", tuple(hit for hit in hits if hit[1] >= self._least)),)


def letters(text: str, script: str) -> int:
    """
    How many letters of a script the text has; of Greek none without a word of it.

    >>> letters("Moscow is Москва", "cyrillic"), letters("alpha is α", "greek")
    (6, 0)
    """
    if script == "greek" and not _GREEK_WORD.search(text):
        return 0
    return len(_ANY[script].findall(text))


def _has(prompt: str, name: str) -> bool:
    return not prompt.isascii() and any(_ANY[one].search(prompt) for one in _TOGETHER.get(name, (name,)))


PLUGIN: Final = Plugin(
    name="script",
    summary="Letters of an alphabet that neither the prompt nor the operator speaks.",
    config=ScriptConfig,
    build=Script,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=outputs.VERDICTS,
    problems=lambda config: tuple(
        f"checks.script.expected: no alphabet is called '{name}'; known: {', '.join(RANGES)}"
        for name in config.expected
        if name not in RANGES
    ),
)
