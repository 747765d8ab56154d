"""Findings get their probable causes: every tick is remembered, and what moved with a finding is ranked."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from detectors.causes.history import History
from detectors.causes.rank import explain
from detectors.causes.scope import place_of
from detectors.causes.versions import READS, Versions
from watchkeeper.agent.supervisor import Failures
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Completion, Finding, Seen
from watchkeeper.core.vocabulary import health

_EVIDENCE: Final = 6
"""lines of what moved that a finding gets at most"""
_MOST_WAITING: Final = 256


class Explainer:
    """
    Sees every call and every batch, so that it knows what was before. Never raises: what fails is counted, and the
    finding goes out as it is. One that is raised too soon after its onset for causes is explained again by `late`.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._failures = Failures("agent", "causes", self._count)
        self._history = History()
        self._versions = Versions()
        self.reads = tuple(sorted(self._history.reads | READS, key=lambda metric: metric.name))
        """what it makes use of in a batch"""
        self._waiting: dict[str, tuple[float, Finding]] = {}
        """by subject: until when, and what"""

    def see_all(self, calls: Iterable[Completion], now: float) -> None:
        """In the order in which they came: only another version than the last one's tells something."""
        last = None
        for call in calls:
            if call.service_version:
                seen = (call.namespace, call.service, call.service_version)
                if seen != last:
                    self._versions.see(call, now)
                    last = seen

    def versions_of_services(self) -> tuple[Seen, ...]:
        """All that are known, with when a call last had them."""
        return tuple(
            Seen(at, place.namespace, place.service, version) for place, version, at in self._versions.of_services()
        )

    def update(self, batch: Batch) -> None:
        def work() -> None:
            self._versions.update(batch)
            self._history.update(batch)

        self._failures.attempt(work)

    def explain(self, finding: Finding) -> Finding:
        """The finding with its causes, what moved as evidence, and the first cause's action if it has none itself."""
        self._waiting.pop(finding.subject, None)
        if finding.resolved:
            return finding
        explained = finding

        def work() -> None:
            nonlocal explained
            explained = self._explain(finding)

        self._failures.attempt(work)
        return explained

    def late(self, now: float) -> list[Finding]:
        """Open ones that had to wait until enough was known since their onset. :param now: unix seconds"""
        due = [finding for at, finding in self._waiting.values() if now >= at]
        return [self.explain(msgspec.structs.replace(finding, at=now)) for finding in due]

    def _explain(self, finding: Finding) -> Finding:
        found = explain(place_of(finding.labels), finding.since, self._history, self._versions)
        if found.again_at > finding.at and len(self._waiting) < _MOST_WAITING:
            self._waiting[finding.subject] = found.again_at, finding
        moved = dict.fromkeys(line for cause in found.causes for line in cause.moved)
        first = found.causes[0] if found.causes else None
        return msgspec.structs.replace(
            finding,
            causes=(*finding.causes, *found.causes),
            evidence=(*finding.evidence, *_most(tuple(moved)), *found.notes),
            action=finding.action or (first.action if first else ""),
            runbook=finding.runbook or (first.runbook if first else ""),
        )

    def _count(self, reason: str) -> None:
        self._ledger.add(health.SIGNAL_FAILURES, 1, (("signal", "causes"), ("reason", reason)))


def _most(lines: Sequence[str]) -> tuple[str, ...]:
    left = len(lines) - _EVIDENCE
    return tuple(lines) if left <= 0 else (*lines[:_EVIDENCE], f"and {left} more")
