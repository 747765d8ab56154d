"""What senders put into JSON strings that JSON forbids, replaced so that the rest of the request can be read."""

import re
from typing import Final

_REPLACEMENT: Final = rb"\ufffd"
_KEPT: Final = re.compile(
    rb"(?:[^\\]++"
    rb"|\\[^u]"
    rb"|\\u(?![dD][89a-fA-F])"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb")*+",
    re.DOTALL,
)
"""all up to half a surrogate pair without the other half"""
_LONE: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def repaired(body: bytes) -> bytes:
    """
    With U+FFFD for bytes that are no UTF-8, and for escapes of half a surrogate pair. What is fine stays as it is.

    >>> repaired(rb'"cut \\ud83d, whole \\ud83d\\ude00"')
    b'"cut \\\\ufffd, whole \\\\ud83d\\\\ude00"'
    """
    text = body.decode(errors="replace").encode()
    if b"\\u" not in text:
        return text
    parts = []
    position = 0
    while True:
        kept = _KEPT.match(text, position)
        end = kept.end() if kept else position
        lone = _LONE.match(text, end)
        if lone is None:
            parts.append(text[position:])
            return b"".join(parts)
        parts += (text[position:end], _REPLACEMENT)
        position = lone.end()
