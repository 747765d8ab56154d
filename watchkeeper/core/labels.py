"""Label values come from bounded sets: every value is cleaned, and past the bound it becomes `other`."""

import hashlib
import re
from collections.abc import Iterable
from typing import Final

OTHER: Final = "other"
ENUMERATED: Final = frozenset(
    (
        "action", "cache.location", "cache.source", "cache.unit", "check", "clock", "currency", "direction",
        "exporter", "fault.class", "gen_ai.operation.name", "gen_ai.request.stream", "gen_ai.response.finish_reason",
        "gen_ai.token.type", "hw.gpu.task", "hw.limit_type", "hw.sensor_location", "hw.state", "hw.type", "hw.vendor",
        "kind", "link", "network.io.direction", "outcome", "part", "phase", "pipe", "queue", "reason", "severity",
        "signal", "source", "watchkeeper.obtained", "watchkeeper.vantage",
    )
)  # fmt: skip
"""labels whose values are a short list by design"""
MAX_CHARACTERS: Final = 128

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]")
_HASH_CHARACTERS = 8


def clean(value: str) -> str:
    """
    A value that a Prometheus server will accept and a person can read: no control, surrogate or invisible
    characters, at most 128 characters (a cut value ends in a hash of the whole, so that two stay two).
    """
    if len(value) <= MAX_CHARACTERS and value.isascii() and value.isprintable():
        return value
    safe = _UNSAFE.sub("\ufffd", value)
    if len(safe) <= MAX_CHARACTERS:
        return safe
    digest = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=_HASH_CHARACTERS // 2).hexdigest()
    return f"{safe[: MAX_CHARACTERS - _HASH_CHARACTERS - 1]}~{digest}"


class LabelBounds:
    """
    Admits at most `limit` distinct values per label name, first come first served; the rest are `other`.

    >>> bounds = LabelBounds(limit=1)
    >>> bounds.admit("model", "a"), bounds.admit("model", "b"), bounds.admit("model", "a")
    ('a', 'other', 'a')
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: dict[str, set[str]] = {}

    def admit(self, name: str, value: str) -> str:
        """The value to use, `other` when the bound is reached."""
        seen = self._seen.setdefault(name, set())
        if value in seen:
            return value
        if len(seen) >= self._limit:
            return OTHER
        seen.add(value)
        return value

    def retain(self, in_use: Iterable[tuple[str, str]]) -> None:
        """Values that no series uses any longer make room. `in_use`: pairs of label name and value."""
        self._seen = {}
        for name, value in in_use:
            self._seen.setdefault(name, set()).add(value)

    def sizes(self) -> dict[str, int]:
        """Label name to the number of distinct values admitted."""
        return {name: len(values) for name, values in self._seen.items()}
