"""What is left out of lines for people: credentials in addresses, which a mistake beside them would have quoted."""

import re
from typing import Final

HIDDEN: Final = "(hidden)"
_IN_FRONT: Final = re.compile(r"(?P<scheme>\w+://)?[^\s'\"@]*:[^\s'\"@]*@")
"""user:password@, and what stands before it without a space"""
_IN_QUERY: Final = re.compile(r"(?i)((?:password|passphrase|secret|token|key)=)[^\s'\"&]+")


def without_credentials(line: str) -> str:
    """
    >>> without_credentials("url: 'http://w:pass@host/x?key=abc' is no address")
    "url: 'http://(hidden)@host/x?key=(hidden)' is no address"
    """
    if "@" in line:
        line = _IN_FRONT.sub(rf"\g<scheme>{HIDDEN}@", line)
    return _IN_QUERY.sub(rf"\1{HIDDEN}", line) if "=" in line else line
