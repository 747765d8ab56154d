"""Text without what the checks for personal data and secrets find in it. Pure; what they miss stays."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from detectors.checks import pii, secrets
from detectors.checks._forms import lower
from detectors.checks._phrases import find
from watchkeeper.core.prepared import bounded

MOST_CHARACTERS: Final = 50_000
_BEYOND: Final = 8_192
"""what begins within the bound is recognised by what stands so far behind it"""
_ROUNDS: Final = 5
_ALL: Final = 1_000_000
_KEY_REST: Final = re.compile(r"[0-9A-Za-z_+/=.!@#$%^&*~-]*(?<![.!])")
"""a key longer than its published form is still a key"""
_KEY_END: Final = re.compile(r"-----END [A-Z ]{0,40}-----")
_LOCAL_REST: Final = re.compile(r"[\w.%+-]*\Z")
_WITHHELD: Final = "[withheld]"

Span = tuple[int, int, str]
"""begin, end, and the word that stands for it"""


class Redacted(NamedTuple):
    """`found` is how often each word, such as `mail`, `secret:aws` or `canary`, stands for something."""

    text: str
    found: Counter[str]
    is_cut: bool
    is_withheld: bool = False
    """nothing of the text is left: what was found did not come to an end"""


class Redactor:
    """
    Puts `[mail]`, `[mobile]`, `[resident_id]`, `[card]`, `[secret:aws]`, `[canary]`, `[pattern]` in place of all that
    the checks find, until they find nothing.

    >>> Redactor().redact("to ann@acme.io, key AKIAQ3EGRZ7CTBXW2LMN", 100).text
    'to [mail], key [secret:aws]'

    :param canaries: strings as they stand
    :param patterns: regular expressions of the operator's own
    """

    def __init__(self, canaries: Sequence[str] = (), patterns: Sequence[re.Pattern[str]] = ()) -> None:
        self._canaries = tuple(filter(None, canaries))
        self._patterns = tuple(patterns)
        self._beyond = max(_BEYOND, *map(len, self._canaries), 0)

    def redact(self, text: str, most_characters: int) -> Redacted:
        """
        At most so many characters of the text, as it was before, redacted.

        :param most_characters: up to MOST_CHARACTERS
        """
        if len(text) > MOST_CHARACTERS + self._beyond:
            text = text[: MOST_CHARACTERS + self._beyond]
        text = bounded(text)
        is_cut = len(text) > most_characters
        text = text[: most_characters + self._beyond]
        spans = [*self._found(text), *self._matched(text)]
        text, found = _replaced(text, spans, most_characters)
        for _ in range(_ROUNDS):  # what was taken out may have hidden what stood beside it
            spans = list(self._found(text))
            if not spans:
                return Redacted(text, found, is_cut)
            text, more = _replaced(text, spans, len(text))
            found += more
        return Redacted(_WITHHELD, found, is_cut, is_withheld=True)

    def _found(self, text: str) -> Iterator[Span]:
        hits = find(lower(text), None)
        for kind, begin, end in pii.spans(text, text.encode(), hits, _ALL):
            if kind == "mail":
                local = _LOCAL_REST.search(text, max(0, begin - 256), begin)
                begin = local.start() if local else begin
            yield begin, end, kind.removeprefix("possible_")
        for kind, begin, end in secrets.spans(text, hits, _ALL):
            yield begin, _end_of_secret(text, kind, end), f"secret:{kind}"
        for canary in self._canaries:
            begin = text.find(canary)
            while begin >= 0:
                yield begin, begin + len(canary), "canary"
                begin = text.find(canary, begin + 1)

    def _matched(self, text: str) -> Iterator[Span]:
        for pattern in self._patterns:
            for match in islice(pattern.finditer(text), _ALL):
                if match[0]:
                    yield match.start(), match.end(), "pattern"


def _end_of_secret(text: str, kind: str, end: int) -> int:
    """A private key goes on to its last line, or for all that is left; others as far as the characters of keys do."""
    if kind == "private_key":
        last = _KEY_END.search(text, end)
        return last.end() if last else len(text)
    rest = _KEY_REST.match(text, end)
    return rest.end() if rest else end


def _replaced(text: str, spans: Sequence[Span], most: int) -> tuple[str, Counter[str]]:
    """The first `most` characters with words for the spans; what begins in them is replaced whole."""
    pieces: list[str] = []
    found: Counter[str] = Counter()
    at = 0
    for begin, end, word in sorted(spans):
        if begin >= most:
            break
        if begin >= at:
            pieces += (text[at:begin], f"[{word}]")
            found[word] += 1
        at = max(at, end)
    pieces.append(text[at:most])
    return "".join(pieces), found
