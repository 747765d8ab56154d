"""Forms of a call that several checks read, each made once per call through `Prepared.form`."""

from typing import Final

import lz4.block

from watchkeeper.core.prepared import Prepared

_SHAPE: Final = bytes(ord("0") if one in b"0123456789" else ord("x") for one in range(256))
_TWO_WHEN_LOWER: Final = "\u0130"
"""Turkish capital I with a dot: the one character whose lower case is two"""
_APOSTROPHES: Final = "\u2018\u2019\u02bc\u00b4`"


def answer_lower(call: Prepared) -> str:
    return lower(call.answer)


def prompt_lower(call: Prepared) -> str:
    return lower(call.prompt)


def context_lower(call: Prepared) -> str:
    return lower(call.context)


def answer_bytes(call: Prepared) -> bytes:
    return call.answer.encode()


def compression(call: Prepared) -> float:
    """Bytes over LZ4 bytes; 1 for an empty answer."""
    data = call.form(answer_bytes)
    return len(data) / len(lz4.block.compress(data, store_size=False)) if data else 1.0


def answer_words(call: Prepared) -> list[str]:
    return call.form(answer_lower).split()


def lower(text: str) -> str:
    """In lower case, apostrophes made one, every character still at its place."""
    if text.isascii():
        return text.lower().replace("`", "'")
    low = text.replace(_TWO_WHEN_LOWER, "i").lower()
    for one in _APOSTROPHES:  # many times quicker than str.translate
        low = low.replace(one, "'")
    return low


def has_number(data: bytes, digits: int) -> bool:
    """Whether so many ASCII digits stand in a row, but for blanks and hyphens between."""
    return b"0" * digits in data.translate(_SHAPE, b" -")
