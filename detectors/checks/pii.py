"""
Personal data in an answer (`pii`) and in a prompt (`pii_prompt`).

Chinese resident ID (province, date and check character of GB 11643), mainland mobile number, bank card (issuer prefix,
length and Luhn), mail address. Candidates are found behind cheap gates, eleven digits or an `@`, then verified.
A mobile number without a word such as 手机 or phone within 20 characters is `possible_mobile`, counted and not flagged:
order numbers look the same. Misses names, addresses, other countries' ids, and numbers written out or spread out.
Counts by kind leave, never what was found.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import islice
from typing import Final

import msgspec

from detectors.checks._forms import answer_bytes, has_number
from detectors.checks._phrases import Group, Hits, answer_hits, prepare, prompt_hits
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Flag, Score
from watchkeeper.core.vocabulary import outputs

_LEAST_DIGITS: Final = 11
_CANDIDATES: Final = 500
_NEAR: Final = 20
_NUMBER: Final = re.compile(r"(?<![0-9A-Za-z_.])\+?[0-9](?:[ -]?[0-9]){9,21}[Xx]?(?![0-9A-Za-z_])")
_PART: Final = re.compile(r"[0-9]{11,}[Xx]?")
_LOCAL: Final = re.compile(r"[A-Za-z0-9._%+-]{1,64}\Z")
_DOMAIN: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,5}[A-Za-z]{2,24}(?![A-Za-z0-9])")
_EXAMPLES: Final = ("example.com", "example.org", "example.net", "test.com", "domain.com", "yourcompany.com")
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS: Final = "10X98765432"
_PROVINCES: Final = frozenset(
    f"{code}"
    for codes in ((11, 16), (21, 24), (31, 38), (41, 47), (50, 55), (61, 66), (71, 72), (81, 84))
    for code in range(*codes)
)
_THIS_YEAR: Final = 2100
"""the check keeps no clock: a birthday is before this year, the check character does the rest"""
_POSSIBLE: Final = "possible_mobile"


class PiiConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Personal data."""

    enabled: bool = True
    """verified, hence hardly ever wrong, and a few microseconds"""
    prompts: bool = True
    """prompts, too"""


class Pii:
    def __init__(self, config: PiiConfig, _: Ledger) -> None:
        self._prompts = config.prompts
        prepare()

    def score(self, call: Prepared) -> tuple[Score, ...]:
        scores: tuple[Score, ...] = ()
        if call.answer:
            found = kinds(call.answer, call.form(answer_bytes), call.form(answer_hits))
            scores = _flags("pii", found)
        if self._prompts and call.prompt:
            scores += _flags("pii_prompt", kinds(call.prompt, call.prompt.encode(), call.form(prompt_hits)))
        return scores


def _flags(name: str, found: list[str]) -> tuple[Score, ...]:
    """:param found: kinds, each as often as it was found"""
    if not found:
        return Flag(name), Flag(f"{name}_possible")
    counts = Counter(found)
    possible = counts.pop(_POSSIBLE, 0)
    suspected = ((_POSSIBLE, possible),) if possible else ()
    return Flag(name, tuple(counts.items())), Flag(f"{name}_possible", suspected)


def kinds(text: str, data: bytes, hits: Hits) -> list[str]:
    """The kind of each piece of personal data in a text; `data` is the text in UTF-8."""
    return [kind for kind, _, _ in spans(text, data, hits)]


def spans(text: str, data: bytes, hits: Hits, most: int = _CANDIDATES) -> Iterator[tuple[str, int, int]]:
    """Kind, begin and end of what is found, numbers before mails; of each, so many candidates are looked at."""
    if has_number(data, _LEAST_DIGITS):
        phones = hits.get(Group.PHONE, ())
        for candidate in islice(_NUMBER.finditer(text), most):
            whole = _number(candidate[0], candidate.start(), phones)
            if whole:
                yield whole, candidate.start(), candidate.end()
            else:
                yield from _parts(candidate, phones)
    if b"@" in data:
        for begin, end in _mails(text, most):
            yield "mail", begin, end


def _parts(candidate: re.Match[str], phones: Sequence[int]) -> Iterator[tuple[str, int, int]]:
    """Of a run that is nothing as a whole: several numbers beside each other."""
    for part in _PART.finditer(candidate[0]):
        if len(part[0]) < len(candidate[0]):
            begin = candidate.start() + part.start()
            if kind := _number(part[0], begin, phones):
                yield kind, begin, begin + len(part[0])


def _number(written: str, at: int, phones: Sequence[int]) -> str:
    plain = written.replace(" ", "").replace("-", "")
    if len(plain) == 18 and is_resident_id(plain.upper()):
        return "resident_id"
    mobile = plain.removeprefix("+86")
    if len(mobile) == 13 and mobile.startswith("86") and mobile[2] == "1":
        mobile = mobile[2:]
    if len(mobile) == 11 and mobile.isdigit() and mobile[0] == "1" and mobile[1] in "3456789":
        is_named = any(at - _NEAR - 8 <= start <= at + len(written) + _NEAR for start in phones)
        return "mobile" if is_named or plain.startswith("+86") else _POSSIBLE
    return "card" if plain.isdigit() and is_card(plain) else ""


def is_resident_id(number: str) -> bool:
    """
    18 characters, X in upper case, by GB 11643.

    >>> is_resident_id("11010519491231002X"), is_resident_id("110105194912310021")
    (True, False)
    """
    if number[:2] not in _PROVINCES or not number[:17].isdigit():
        return False
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, number, strict=False))
    return 1900 <= born.year < _THIS_YEAR and _CHECKS[total % 11] == number[17]


def is_card(number: str) -> bool:
    """
    Digits of a payment card: issuer prefix with its lengths, and Luhn's sum.

    >>> is_card("4111111111111111"), is_card("4111111111111112")
    (True, False)
    """
    length, two, four = len(number), number[:2], number[:4]
    is_issued = (
        (number[0] == "4" and length in (13, 16, 19))
        or (length == 16 and ("51" <= two <= "55" or "2221" <= four <= "2720"))
        or (length == 15 and two in ("34", "37"))
        or (two == "62" and 16 <= length <= 19)
    )
    if not is_issued or len(set(number)) < 2:
        return False
    odd, even = number[-1::-2], number[-2::-2]
    total = sum(map(int, odd)) + sum(digit * 2 - 9 * (digit > 4) for digit in map(int, even))
    return total % 10 == 0


def _mails(text: str, most: int) -> Iterator[tuple[int, int]]:
    at = -1
    for _ in range(most):
        at = text.find("@", at + 1)
        if at < 0:
            return
        local = _LOCAL.search(text[max(0, at - 64) : at])
        domain = _DOMAIN.match(text, at + 1)
        if local and domain and not domain[0].lower().endswith(_EXAMPLES):
            yield at - len(local[0]), domain.end()


PLUGIN: Final = Plugin(
    name="pii",
    summary="Personal data in answers and prompts: Chinese resident ID, mobile, bank card, mail.",
    config=PiiConfig,
    build=Pii,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=outputs.VERDICTS,
)
