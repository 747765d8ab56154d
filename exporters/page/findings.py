"""The newest findings, bounded, each with whether it is still open; and which of them are of one kind."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from watchkeeper.core.records import Finding, Severity

MAX_FINDINGS: Final = 100
MOST_APART: Final = 2
"""so few of a kind each stand for themselves"""

_GRAVEST_FIRST: Final = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)

Kind = tuple[str, tuple[str, ...], Severity, bool]
T = TypeVar("T")


def kind_of(finding: Finding) -> Kind:
    """What raised it and what sort of thing it is about; of one that does not say, its subject."""
    about = tuple(sorted(label for label, _ in finding.labels))
    return finding.name or finding.subject, about, finding.severity, finding.resolved


def together(entries: Sequence[T], finding: Callable[[T], Finding]) -> list[list[T]]:
    """Those of one kind where its first stands, if they are many; of others, each by itself. In the order given."""
    by_kind: dict[Kind, list[T]] = {}
    for entry in entries:
        by_kind.setdefault(kind_of(finding(entry)), []).append(entry)
    groups: list[list[T]] = []
    for entry in entries:
        alike = by_kind[kind_of(finding(entry))]
        if len(alike) <= MOST_APART:
            groups.append([entry])
        elif entry is alike[0]:
            groups.append(alike)
    return groups


class FindingBook:
    """
    One entry per subject and beginning. A resolution closes the entry it names; when it names none, every open entry
    of its subject, so that nothing stays red for ever. The oldest closed entry makes room first.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[str, float], Finding] = {}

    def add(self, finding: Finding) -> None:
        key = (finding.subject, finding.since)
        if finding.resolved and key not in self._entries:
            for other, entry in tuple(self._entries.items()):
                if entry.subject == finding.subject:
                    self._entries[other] = msgspec.structs.replace(entry, resolved=True)
        self._entries.pop(key, None)
        self._entries[key] = finding
        if len(self._entries) > MAX_FINDINGS:
            closed = next((held for held, entry in self._entries.items() if entry.resolved), None)
            self._entries.pop(next(iter(self._entries)) if closed is None else closed)

    def newest(self) -> tuple[Finding, ...]:
        """Open ones first, the gravest on top; then by the time of their last change, newest first."""
        return tuple(sorted(self._entries.values(), key=_order))


def _order(finding: Finding) -> tuple[bool, int, float]:
    return finding.resolved, 0 if finding.resolved else _GRAVEST_FIRST.index(finding.severity), -finding.at
