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
    "gurmukhi": "\u0a05-\u0a74",
    "gujarati": "\u0a85-\u0ae3",
    "odia": "\u0b05-\u0b63",
    "tamil": "\u0b83-\u0bd7",
    "telugu": "\u0c05-\u0c63",
    "kannada": "\u0c85-\u0ce3",
    "malayalam": "\u0d05-\u0d63",
    "sinhala": "\u0d85-\u0ddf",
    "thai": "\u0e01-\u0e4e",
    "lao": "\u0e81-\u0edf",
    "tibetan": "\u0f40-\u0fbc",
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
        if letters_are_ascii(call.form(answer_bytes)) or not _FOREIGN.search(call.answer):
            return (Flag("script"),)
        if call.form(prompt_hits).get(Group.TRANSLATE):
            return ()
        once = "".join(set(call.answer))
        unexpected = [
            name
            for name, one in _ANY.items()
            if name not in self._expected and one.search(once) and not _has(call.prompt, name)
        ]
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
    return any(_ANY[one].search(prompt) for one in _TOGETHER.get(name, (name,)))


PLUGIN: Final = Plugin(
    name="script",
    summary="Letters of an alphabet that neither the prompt nor the operator speaks.",
    config=ScriptConfig,
    build=Script,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=outputs.VERDICTS,
    problems=lambda config: tuple(
        f"checks.script.expected: no alphabet is called '{name}'; known: {', '.join(_SCRIPTS)}"
        for name in config.expected
        if name not in _SCRIPTS
    ),
)
