"""What a record that outlives the process is told beside series and findings: what people changed, what runs."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from watchkeeper.agent.explain import Explainer
from watchkeeper.core.records import Change, ChangeKind, Seen

if TYPE_CHECKING:
    from watchkeeper.agent.references.journal import Event

_EVERY_SECONDS: Final = 60.0
_JOURNAL_SECONDS: Final = 5.0
_MOST_EVENTS: Final = 1_000
"""of a journal, at a start: the newest"""
_SECRET: Final = re.compile(r"canaries|patterns|headers|passphrase|password|secret|token$|key$")
_PLACE: Final = re.compile(r"_(file|path|folder)$")
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s]+@")
_HIDDEN: Final = "(hidden)"

Told = tuple[tuple[Change, ...], tuple[Seen, ...]]


class Record:
    """
    Belongs to the pipeline's thread.

    :param changes: that are known at the start
    :param references: the folder whose journal tells of references; None: there is none
    """

    def __init__(self, changes: Sequence[Change], references: Path | None, explainer: Explainer | None) -> None:
        self._changes = tuple(changes)
        self._folder = references
        self._explainer = explainer
        self._stamp: tuple[int, int] | None = None
        self._told = 0
        self._journal_at = self._seen_at = float("-inf")

    def tick(self, now: float) -> Told:
        """What is new since the last call. Never raises. :param now: unix seconds"""
        changes, self._changes = self._changes, ()
        if not 0 <= now - self._journal_at < _JOURNAL_SECONDS:
            self._journal_at = now
            changes += self._journal()
        seen: tuple[Seen, ...] = ()
        if self._explainer is not None and not 0 <= now - self._seen_at < _EVERY_SECONDS:
            self._seen_at = now
            seen = self._explainer.versions_of_services()
        return changes, seen

    def _journal(self) -> tuple[Change, ...]:
        if self._folder is None:
            return ()
        from watchkeeper.agent.references import journal

        try:
            stat = (self._folder / journal.NAME).stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp == self._stamp:
                return ()
            events = journal.read(self._folder).events
        except OSError:  # drift says what is wrong with the folder
            return ()
        new = events[max(self._told, len(events) - _MOST_EVENTS) :] if len(events) >= self._told else events
        self._stamp, self._told = stamp, len(events)
        return tuple(_of_reference(event) for event in new)


def of_configuration(config: Any, instance: str, now: float) -> Change:
    """
    That this configuration is in force. :param now: unix seconds
    """
    document = msgspec.json.encode(_shown(msgspec.to_builtins(config), ""), order="sorted").decode()
    key = hashlib.sha256(f"{instance} {now} {document}".encode()).hexdigest()
    return Change(
        at=now,
        kind=ChangeKind.CONFIGURATION,
        key=key,
        subject=config.role,
        who=f"start of {instance}",
        document=document,
    )


def _of_reference(event: "Event") -> Change:
    return Change(
        at=event.at,
        kind=ChangeKind.REFERENCE,
        key=hashlib.sha256(msgspec.json.encode(event)).hexdigest(),
        subject=f"{event.signal} of {event.segment}",
        who=event.by,
        summary=": ".join(filter(None, (f"{event.reference[:12]} {event.deed.value}", event.why))),
    )


def _shown(value: Any, key: str) -> Any:
    """A configuration without what may be secret; lengths of lists stay."""
    if isinstance(value, dict):
        return {name: _shown(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(inner, key) for inner in value]
    if isinstance(value, str) and value and _SECRET.search(key) and not _PLACE.search(key):
        return _HIDDEN
    return _CREDENTIALS.sub(f"{_HIDDEN}@", value) if isinstance(value, str) else value
