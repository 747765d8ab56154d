"""Alphabets, and which of them an answer may have: one pass in C over the upper bytes of its UTF-16."""

import re
from typing import Final

from watchkeeper.core.prepared import Prepared

RANGES: Final = {
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
PRIVATE: Final = "private"
PRIVATE_RANGES: Final = "\ue000-\uf8ff\U000f0000-\U0010ffff"


def _upper_bytes(ranges: str) -> set[int]:
    """Of the first UTF-16 unit of each character."""
    return {
        byte
        for first, last in re.findall("(.)-(.)", ranges)
        for byte in range(first.encode("utf-16-be")[0], last.encode("utf-16-be")[0] + 1)
    }


def _names_by_upper_byte() -> dict[int, tuple[str, ...]]:
    bytes_of = {name: _upper_bytes(ranges) for name, ranges in (*RANGES.items(), (PRIVATE, PRIVATE_RANGES))}
    found = {byte: tuple(name for name, its in bytes_of.items() if byte in its) for byte in range(256)}
    return {byte: names for byte, names in found.items() if names}


_NAMES: Final = _names_by_upper_byte()
_MARKS: Final = {names: mark for mark, names in enumerate(dict.fromkeys(_NAMES.values()))}
"""one byte for all upper bytes that say the same"""
_MARK_OF_BYTE: Final = bytes(_MARKS.get(_NAMES.get(byte, ()), 0) for byte in range(256))
_OF_NONE: Final = bytes(set(range(256)) - _NAMES.keys())
_ABSENT: Final[frozenset[str]] = frozenset()


def answer_alphabets(call: Prepared) -> frozenset[str]:
    """
    Names of RANGES, and PRIVATE, of which the answer may have a character: none that it has is missing, and one may be
    too many that shares an upper byte with another (Lao with Thai, Han with what is beyond the first 65,536).
    """
    if call.answer.isascii():
        return _ABSENT
    marks = call.answer.encode("utf-16-le")[1::2].translate(_MARK_OF_BYTE, _OF_NONE)
    if not marks:
        return _ABSENT
    return frozenset(name for names, mark in _MARKS.items() if mark in marks for name in names)
