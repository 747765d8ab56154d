"""
Damaged characters, and text that is none.

Catches replacement characters, control characters, private use, and UTF-8 that was read as Latin-1, Windows-1252 or
GBK; of gibberish, words without blanks, vowels or an alphabet: long runs of consonants, and characters of many scripts
in turn. Misses damage between two encodings that is rare, a single misread letter, and gibberish made of real words.
ASCII text costs one pass over its bytes.
"""

import re
from typing import Annotated, Final

import msgspec

from detectors.checks._alphabets import PRIVATE, PRIVATE_RANGES, answer_alphabets
from detectors.checks._forms import answer_bytes, answer_lower
from detectors.checks._phrases import Group, answer_hits, prepare
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Flag, Score
from watchkeeper.core.vocabulary import outputs

_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\r\f\x1b")) + b"\x7f"
_C1: Final = re.compile("[\x80-\x84\x86-\x9f]")
_PRIVATE: Final = re.compile(f"[{PRIVATE_RANGES}]")
_MISREAD: Final = re.compile(
    "[\u00c2-\u00f4][\x80-\x9f\u00a1-\u00aa\u00ac-\u00ba\u00bc-\u00bf\u20ac\u201a\u0192\u2020\u2021\u02c6\u2030\u02dc\u2122]"
)
"""UTF-8 read as Latin-1 or Windows-1252: what follows an accented letter in no language"""
_C1_BYTES: Final = re.compile(rb"\xc2[\x80-\x9f]")
_MISREAD_BYTES: Final = re.compile(rb"\xc3[\x82-\xb4][\xc2\xc6\xcb\xe2]")
"""of the UTF-8, each beginning with a byte that is quickly looked for"""
_CONSONANT: Final = bytes(ord("c") if one in b"bcdfghjklmnpqrstvwxz" else ord(" ") for one in range(256))
_CONSONANTS: Final = b"ccccc"
_LETTERS: Final = re.compile(r"[a-z]{5,30}")
_WORDS_READ: Final = 120
_OF_A_WORD: Final = 40
"""characters"""
_LEAST_WORDS: Final = 8
_SWITCH: Final = re.compile(
    "[\u0400-\u04ff][a-z\u0e00-\u0e7f\u0600-\u06ff\u4e00-\u9fff\uac00-\ud7a3\u0900-\u097f]|"
    "[\u4e00-\u9fff\uac00-\ud7a3][\u0e00-\u0e7f\u0600-\u06ff\u0400-\u04ff\u0590-\u05ff\u0900-\u097f]|"
    "[\u0600-\u06ff\u0590-\u05ff][a-z\u4e00-\u9fff\uac00-\ud7a3\u0400-\u04ff\u0e00-\u0e7f\u0900-\u097f]|"
    "[\u0e00-\u0e7f\u0900-\u097f][\u4e00-\u9fff\uac00-\ud7a3\u0600-\u06ff\u0400-\u04ff]"
)
_TOUCH_LATIN: Final = frozenset(("cyrillic", "arabic", "hebrew"))
_TOUCH: Final = _TOUCH_LATIN | {"han", "hangul", "thai", "devanagari"}
"""alphabets of `_SWITCH`: one of the first beside Latin, or two of all, are what it takes"""


class MojibakeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Damaged characters and gibberish."""

    enabled: bool = True
    """nearly exact and cheap"""
    misread: Annotated[int, msgspec.Meta(ge=1)] = 1
    """flagged from so many pairs of characters on that only misread UTF-8 has"""
    gibberish_ratio: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.2
    """flagged above this share of words that cannot be pronounced"""
    script_changes: Annotated[int, msgspec.Meta(ge=1)] = 6
    """flagged from so many places on where letters of two alphabets touch, in the first 120 words"""


class Mojibake:
    def __init__(self, config: MojibakeConfig, _: Ledger) -> None:
        self._config = config
        prepare()

    def score(self, call: Prepared) -> tuple[Score, ...]:
        if not call.answer:
            return ()
        data = call.form(answer_bytes)
        found = {"control": len(data) - len(data.translate(None, _CONTROLS))}
        answer, alphabets = call.answer, call.form(answer_alphabets)
        if not answer.isascii():
            found["replacement"] = answer.count("\ufffd")
            found["control"] += len(_C1.findall(answer)) if _C1_BYTES.search(data) else 0
            if PRIVATE in alphabets:
                found["private_use"] = len(_PRIVATE.findall(answer))
            misread = len(call.form(answer_hits).get(Group.DAMAGE, ()))
            misread += len(_MISREAD.findall(answer)) if _MISREAD_BYTES.search(data) else 0
            found["misread"] = misread if misread >= self._config.misread else 0
        found["gibberish"] = int(self._is_gibberish(call.form(answer_lower), alphabets))
        return (Flag("mojibake", tuple((kind, count) for kind, count in found.items() if count)),)

    def _is_gibberish(self, low: str, alphabets: frozenset[str]) -> bool:
        may_switch = bool(alphabets & _TOUCH_LATIN) or len(alphabets & _TOUCH) > 1
        if not may_switch and _clusters(low) < _LEAST_WORDS // 2:
            return False  # most answers; a part of the text has no more
        sample = " ".join([word[:_OF_A_WORD] for word in low.split(None, _WORDS_READ)[:_WORDS_READ]])
        if may_switch and len(_SWITCH.findall(sample)) >= self._config.script_changes:
            return True
        odd = _clusters(sample)
        if odd < _LEAST_WORDS // 2:
            return False
        plain = len(_LETTERS.findall(sample))
        return plain >= _LEAST_WORDS and odd / plain > self._config.gibberish_ratio


def _clusters(sample: str) -> int:
    """How often five consonants stand in a row, each counted once."""
    return sample.encode().translate(_CONSONANT).count(_CONSONANTS)


PLUGIN: Final = Plugin(
    name="mojibake",
    summary="Damaged characters, and text that is none.",
    config=MojibakeConfig,
    build=Mojibake,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=outputs.VERDICTS,
)
