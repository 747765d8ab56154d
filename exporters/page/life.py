"""What people did about a finding, as the record has it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from exporters.page.markup import Html, element, fragment
from exporters.page.parts import moment
from exporters.page.words import Words
from watchkeeper.core.memory import Deed, Did, Kept, Recollection
from watchkeeper.core.records import Finding

MAX_COMMENTS: Final = 3
MAX_TEXT: Final = 160
"""characters of a person's words; all of them are shown to who points at them"""
STALE_SECONDS: Final = 15.0
"""age of a copy past which the page says so"""

_Key = tuple[str, frozenset[tuple[str, str]]]


class Known(msgspec.Struct, frozen=True):
    """What is known of the findings of the page, and of others that it does not have."""

    of: Mapping[tuple[str, float], Kept]
    """by subject and onset of the page's own"""
    before: tuple[Kept, ...]
    """still open, from before this process began; the newest first"""
    said: str
    """what the reader must know of the copy; empty: nothing"""


def known(entries: Sequence[Finding], copy: Recollection, now: float, words: Words) -> Known:
    """:param entries: every one that the page holds, open or not"""
    by_key: dict[_Key, list[Kept]] = {}
    for kept in sorted(copy.kept, key=lambda one: -one.opened_at):
        by_key.setdefault(_key(kept.finding), []).append(kept)
    of: dict[tuple[str, float], Kept] = {}
    for entry in entries:
        meant = next((kept for kept in by_key.get(_key(entry), ()) if kept.opened_at <= entry.at), None)
        if meant is not None:
            of[entry.subject, entry.since] = meant
    ours = {_key(entry) for entry in entries}
    before = tuple(
        kept for kept in copy.kept if not (kept.is_closed or kept.finding.resolved) and _key(kept.finding) not in ours
    )
    return Known(of, before, _said(copy, now, words))


def life(kept: Kept, now: float, words: Words) -> Html:
    """Who did what and when, in order; of comments the last few. Without any deed, that nobody did any."""
    comments = [deed for deed in kept.deeds if deed.did is Did.COMMENTED]
    left_out = comments[:-MAX_COMMENTS]
    lines = []
    if not (kept.is_closed or kept.finding.resolved or any(deed.did is Did.ACKNOWLEDGED for deed in kept.deeds)):
        lines.append(element("li", words.untaken, class_="faint"))
    for deed in kept.deeds:
        if left_out and deed is left_out[0]:
            lines.append(element("li", words.more_comments.format(count=len(left_out)), class_="faint"))
        if deed not in left_out:
            lines.append(element("li", _deed(deed, now, words)))
    return element("ul", lines, class_="life") if lines else Html("")


def _deed(deed: Deed, now: float, words: Words) -> Html:
    before, _, after = words.deeds[deed.did].partition("{who}")
    text = deed.text if len(deed.text) <= MAX_TEXT else f"{deed.text[: MAX_TEXT - 1]}…"
    return fragment(
        before,
        element("b", element("bdi", deed.who or words.unnamed)),
        after,
        " ",
        moment(deed.at, words.ago_of(max(0.0, now - deed.at))),
        fragment(": ", element("bdi", text, title=deed.text if text != deed.text else None)) if text else None,
    )


def _said(copy: Recollection, now: float, words: Words) -> str:
    if copy.at is None:
        return words.record_away if copy.is_away else words.record_not_read
    age = max(0.0, now - copy.at)
    if copy.is_away:
        return words.record_away_since.format(age=words.age(age))
    return words.record_old.format(age=words.age(age)) if age > STALE_SECONDS else ""


def _key(finding: Finding) -> _Key:
    """The same for the same thing found of the same subject, as the record takes it."""
    return (finding.name, frozenset(finding.labels)) if finding.name else (finding.subject, frozenset())
