"""What senders put into JSON strings that JSON forbids, replaced so that the rest of the request can be read."""

import re
from typing import Final

_REPLACEMENT: Final = rb"\ufffd"
_ESCAPE: Final = re.compile(
    rb"\\(?:"
    rb"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})"  # half of one
    rb"|.)",
    re.DOTALL,
)


def repaired(body: bytes) -> bytes:
    """
    With U+FFFD for bytes that are no UTF-8, and for escapes of half a surrogate pair. What is fine stays as it is.

    >>> repaired(rb'"cut \\ud83d, whole \\ud83d\\ude00"')
    b'"cut \\\\ufffd, whole \\\\ud83d\\\\ude00"'
    """
    text = body.decode(errors="replace").encode()
    return _ESCAPE.sub(lambda escape: _REPLACEMENT if escape[1] else escape[0], text)
