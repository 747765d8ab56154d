"""Findings as people read them: what, since when, why, what to do. Pure."""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from exporters.page.alike import Entry, listed
from exporters.page.life import Known, life
from exporters.page.markup import Child, Html, element, fragment
from exporters.page.parts import amount_of, code, moment, more, section
from exporters.page.view import View
from exporters.page.words import Words
from watchkeeper.core.memory import Kept
from watchkeeper.core.records import Cause, Finding

MAX_CAUSES: Final = 3
MAX_LINES: Final = 8
"""of evidence"""
_OURS: Final = re.compile(r"dashboards/runbooks/(\w+)\.md")


def findings(
    entries: Sequence[Finding], view: View, words: Words, runbooks: str = "", recorded: Known | None = None
) -> Html:
    """
    Open ones in full; then those of the record from before the start; resolved ones folded away.

    :param runbooks: begins the links to our own runbooks; empty: their names are shown
    :param recorded: None: nothing of the record is to be shown
    """

    def shown(entry: Entry, others: Html | None) -> Html:
        return _finding(entry, others, view.now, words, runbooks)

    def together(some: Sequence[Entry], place: str) -> Html:
        return listed(some, place, shown, view.now, words)

    of = recorded.of if recorded is not None else {}
    known = [Entry(finding, of.get((finding.subject, finding.since))) for finding in entries]
    still_open = [entry for entry in known if not entry.finding.resolved]
    resolved = [entry for entry in known if entry.finding.resolved]
    return section(
        "findings",
        fragment(words.findings, amount_of(len(still_open))),
        element("p", recorded.said, class_="record quiet") if recorded is not None and recorded.said else None,
        together(still_open, "open"),
        None if still_open else element("p", words.no_findings, class_="quiet"),
        _before(recorded.before, together, words) if recorded is not None else None,
        element(
            "details",
            element("summary", words.earlier.format(count=len(resolved)), id="earlier-summary"),
            together(resolved, "earlier"),
            id="earlier",
        )
        if resolved
        else None,
    )


def safe_link(address: str) -> str | None:
    """`address` when it is a web address and nothing else: a finding may not bring a script."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return address if parts.scheme in ("http", "https") and parts.netloc else None


def _before(kept: Sequence[Kept], together: Callable[[Sequence[Entry], str], Html], words: Words) -> Html | None:
    """Open in the record and not raised again: an end that nobody saw is for a person to tell."""
    if not kept:
        return None
    return element(
        "div",
        element("h3", words.before, element("small", f" {len(kept)}")),
        element("p", code(words.before_meaning), class_="quiet"),
        together([Entry(one.finding, one) for one in kept], "before"),
        id="before",
    )


def _finding(known: Entry, others: Html | None, now: float, words: Words, runbooks: str) -> Html:
    entry, kept = known.finding, known.kept
    title, about = words.title_of(entry), words.about(entry)
    key = hashlib.blake2b(f"{entry.subject}\n{entry.since}".encode("utf-8", "replace"), digest_size=5).hexdigest()
    return element(
        "article",
        element(
            "p",
            element("span", words.resolved if entry.resolved else words.severities[entry.severity], class_="severity"),
            " ",
            moment(
                entry.since,
                words.ago_of(now - entry.at)
                if entry.resolved
                else words.since.format(age=words.age(now - entry.since)),
            ),
            element("code", kept.id, class_="id") if kept is not None else None,
        ),
        element("h3", title, title=entry.subject),
        element("p", about, class_="about") if about else None,
        element("p", entry.summary),
        life(kept, now, words) if kept is not None else None,
        _folded(f"e{key}", words.evidence.format(count=len(entry.evidence)), _lines(entry.evidence, words)),
        _causes(entry.causes[:MAX_CAUSES], key, words, runbooks),
        _action(entry.action, words),
        _runbook(entry.runbook, words, runbooks),
        others,
        class_=f"finding {'resolved' if entry.resolved else entry.severity.value}",
    )


def _causes(causes: Sequence[Cause], key: str, words: Words, runbooks: str) -> Html | None:
    """The most probable first, each with what speaks for it folded under it."""
    if not causes:
        return None
    items = []
    for place, cause in enumerate(causes):
        runbook = _runbook(cause.runbook, words, runbooks)
        hidden = fragment(_lines(cause.moved, words), _action(cause.action, words), runbook)
        items.append(element("li", _folded(f"c{key}-{place}", cause.summary, hidden) or cause.summary))
    title = words.cause if len(causes) == 1 else words.causes
    return fragment(element("p", title, class_="label"), element("ol", items, class_="causes"))


def _folded(name: str, summary: str, hidden: Html) -> Html | None:
    """Kept open by its id when the page is refreshed. None when there is nothing to fold."""
    if not hidden:
        return None
    return element("details", element("summary", summary, id=f"{name}-summary"), hidden, id=name)


def _lines(lines: Sequence[str], words: Words) -> Html:
    if not lines:
        return Html("")
    return fragment(
        element("ul", [element("li", line) for line in lines[:MAX_LINES]], class_="evidence"),
        more(len(lines) - MAX_LINES, words.more),
    )


def _action(action: str, words: Words) -> Html | None:
    return element("p", element("span", words.action, class_="label"), " ", code(action)) if action else None


def _runbook(runbook: str, words: Words, runbooks: str) -> Html | None:
    if not runbook:
        return None
    link = safe_link(runbook) or _own(runbook, words, runbooks)
    shown: Child = element("a", words.runbook, href=link, rel="noreferrer") if link else f"{words.runbook}: {runbook}"
    return element("p", shown, class_="runbook")


def _own(runbook: str, words: Words, runbooks: str) -> str | None:
    """Address of a page of the folder `dashboards/runbooks`, in the reader's language; None for any other path."""
    found = _OURS.fullmatch(runbook)
    if not (found and runbooks):
        return None
    return f"{runbooks.rstrip('/')}/{found[1]}{'.zh-CN' if words.tag.startswith('zh') else ''}.md"
