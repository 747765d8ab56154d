"""Text as every database takes it."""

import re
from typing import Final

_NUL: Final = re.compile("\x00")


def plain(text: str) -> str:
    """PostgreSQL's text holds anything but this one character."""
    return _NUL.sub("\N{REPLACEMENT CHARACTER}", text)
