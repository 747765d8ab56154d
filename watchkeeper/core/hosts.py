"""Names and addresses of machines, as configurations give them."""

from typing import Final

_MOST_CHARACTERS: Final = 253


def is_host(text: str) -> bool:
    """
    Whether a resolver takes it: an address, or a name whose labels have 1 to 63 characters. Asks nobody.

    >>> is_host("gateway.obs.svc."), is_host("::1"), is_host("a..b"), is_host("a b")
    (True, True, False, False)
    """
    if not 0 < len(text) <= _MOST_CHARACTERS or not text.isprintable() or " " in text:
        return False
    try:
        text.encode("idna")  # as Python does with every name that it has resolved
    except UnicodeError:
        return False
    return True
