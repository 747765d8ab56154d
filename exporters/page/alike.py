"""Findings of one kind, told together: the first in full, the others a line each, folded. Pure."""

import hashlib
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final

import msgspec

from exporters.page.findings import kind_of, together
from exporters.page.life import life
from exporters.page.markup import Html, element, fragment
from exporters.page.parts import moment, more
from exporters.page.words import Words
from watchkeeper.core.memory import Kept
from watchkeeper.core.records import Finding

MAX_KINDS: Final = 8
MAX_ALIKE: Final = 40
"""lines under one"""


class Entry(msgspec.Struct, frozen=True):
    """A finding, and what is known of it elsewhere."""

    finding: Finding
    kept: Kept | None = None


def listed(
    entries: Sequence[Entry], place: str, shown: Callable[[Entry, Html | None], Html], now: float, words: Words
) -> Html:
    """
    Bounded, in the order given; where there are many of a kind, in place of its first.

    :param place: a name for this list: a kind may stand in several
    :param shown: draws one in full, and under it what is given
    """
    groups = together(entries, attrgetter("finding"))
    drawn = [shown(group[0], _others(group, place, now, words)) for group in groups[:MAX_KINDS]]
    return fragment(drawn, more(sum(map(len, groups[MAX_KINDS:])), words.more))


def _others(group: Sequence[Entry], place: str, now: float, words: Words) -> Html | None:
    """All but the first, under one line with how many they are, and how long ago the newest and the oldest were."""
    first, rest = group[0].finding, group[1:]
    if not rest:
        return None
    times = sorted(_time(entry.finding) for entry in rest)
    newest, oldest = (words.age(now - at).replace(" ", "\u00a0") for at in (times[-1], times[0]))
    ages = newest if newest == oldest else words.span.format(newest=newest, oldest=oldest)
    when = (words.ago if first.resolved else words.since).format(age=ages)
    kind = repr((place, kind_of(first))).encode(errors="replace")
    key = f"k{hashlib.blake2b(kind, digest_size=5).hexdigest()}"
    return element(
        "details",
        element("summary", words.alike.format(count=len(rest), when=when), id=f"{key}-summary"),
        element("ul", [_line(entry, now, words) for entry in rest[:MAX_ALIKE]], class_="alike"),
        more(len(rest) - MAX_ALIKE, words.more),
        id=key,
        class_="kind",
    )


def _line(entry: Entry, now: float, words: Words) -> Html:
    finding, kept = entry.finding, entry.kept
    age = words.age(now - _time(finding))
    return element(
        "li",
        element("b", words.about(finding) or words.title_of(finding)) if finding.name else None,
        " ",
        moment(_time(finding), words.ago.format(age=age) if finding.resolved else words.since.format(age=age)),
        element("code", kept.id, class_="id") if kept is not None else None,
        element("p", finding.summary),
        life(kept, now, words) if kept is not None else None,
    )


def _time(finding: Finding) -> float:
    """Of its end, or else of its beginning; unix seconds."""
    return finding.at if finding.resolved else finding.since
