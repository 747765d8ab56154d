"""
Letters of an alphabet that neither the prompt nor the operator speaks.

Exact about letters: two and more of a script that the prompt has none of and that is not in `expected`. Catches a model
that falls into another alphabet (Chinese in an English answer). Misses another language in the same alphabet (see
`language`), and is right but of no use where translations are asked for: those prompts are left out. ASCII is free.
"""

import re
from typing import Annotated, Final

import msgspec

from detectors.checks._forms import answer_bytes, letters_are_ascii
from detectors.checks._phrases import Group, prepare, prompt_hits
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Flag, Score
from watchkeeper.core.vocabulary import outputs

_SCRIPTS: Final = {
    "han": "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002ebef",
    "kana": "\u3041-\u309f\u30a1-\u30fa\u31f0-\u31ff",
    "hangul": "\u1100-\u11ff\uac00-\ud7a3",
    "cyrillic": "\u0400-\u052f",
    "greek": "\u0370-\u03ff",
    "arabic": "\u0620-\u065f\u066e-\u06ff\u0750-\u077f",
    "hebrew": "\u05d0-\u05f2",
    "devanagari": "\u0904-\u0963",
    "bengali": "\u0985-\u09e3",
    "tamil": "\u0b83-\u0bd7",
    "telugu": "\u0c05-\u0c63",
    "thai": "\u0e01-\u0e4e",
    "georgian": "\u10a0-\u10ff",
    "armenian": "\u0531-\u0587",
    "ethiopic": "\u1200-\u135a",
    "khmer": "\u1780-\u17d3",
    "burmese": "\u1000-\u109f",
}
_ANY: Final = {name: re.compile(f"[{span}]") for name, span in _SCRIPTS.items()}
_FOREIGN: Final = re.compile(f"[{''.join(_SCRIPTS.values())}]")
_GREEK_WORD: Final = re.compile("[\u0370-\u03ff]{3}")
"""single Greek letters are names of quantities"""
_TOGETHER: Final = {"kana": ("kana", "han"), "han": ("han", "kana")}


class ScriptConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unexpected alphabets."""

    enabled: bool = True
    """exact, free for ASCII"""
    expected: tuple[str, ...] = ()
    """alphabets that any answer may use: han, kana, hangul, cyrillic, greek, arabic, hebrew, devanagari, bengali,
    tamil, telugu, thai, georgian, armenian, ethiopic, khmer, burmese; Latin always may"""
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
        if letters_are_ascii(call.form(answer_bytes)) or not _FOREIGN.search(call.answer):
            return (Flag("script"),)
        if call.form(prompt_hits).get(Group.TRANSLATE):
            return ()
        hits = tuple(
            (name, count)
            for name, count in letters(call.answer).items()
            if count >= self._least and name not in self._expected and not _has(call.prompt, name)
        )
        return (Flag("script", hits),)


def letters(text: str) -> dict[str, int]:
    """
    Letters of every script but Latin that the text has.

    >>> letters("Moscow is Москва")
    {'cyrillic': 6}
    """
    found = {name: len(found) for name, one in _ANY.items() if (found := one.findall(text))}
    if "greek" in found and not _GREEK_WORD.search(text):
        del found["greek"]
    return found


def _has(prompt: str, name: str) -> bool:
    return any(_ANY[one].search(prompt) for one in _TOGETHER.get(name, (name,)))


PLUGIN: Final = Plugin(
    name="script",
    summary="Letters of an alphabet that neither the prompt nor the operator speaks.",
    config=ScriptConfig,
    build=Script,
    metrics=outputs.VERDICTS,
    problems=lambda config: tuple(
        f"checks.script.expected: no alphabet is called '{name}'; known: {', '.join(_SCRIPTS)}"
        for name in config.expected
        if name not in _SCRIPTS
    ),
)
