"""Numbers with a time of their own: which of them are too old to be told as now."""

import re
from typing import Final

_STAMPED: Final = re.compile(
    rb"^[a-zA-Z_:][a-zA-Z0-9_:]*(?:[ \t]*\{[^\n]*\}[ \t]*|[ \t]+)[^\s{}]+[ \t]+(-?[0-9]{1,19})[ \t\r]*$", re.MULTILINE
)
_MILLISECONDS: Final = 1000.0


def split(body: bytes, now: float, oldest_seconds: float) -> tuple[bytes, bytes]:
    """
    A page without the samples that are older than `oldest_seconds`, and these. Samples without a time are now's.

    :param now: unix seconds
    """
    limit = (now - oldest_seconds) * _MILLISECONDS
    fresh, stale, end = [], [], 0
    for match in _STAMPED.finditer(body):
        if float(match[1]) < limit:
            fresh.append(body[end : match.start()])
            stale.append(match[0])
            end = match.end() + 1
    if not stale:
        return body, b""
    fresh.append(body[end:])
    return b"".join(fresh), b"\n".join((*stale, b""))
