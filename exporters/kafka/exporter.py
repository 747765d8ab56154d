"""Batches to messages: what each tick counted, a segment a message, and findings."""

import secrets
import socket
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from exporters.kafka import KafkaConfig
from exporters.kafka.sender import Sender
from exporters.kafka.spool import Message
from watchkeeper.core.errors import Retryable
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Counted, Segment
from watchkeeper.core.records import Batch, Finding
from watchkeeper.core.vocabulary.outputs import SEGMENT
from watchkeeper.core.wire import REFERENCE_CHARACTERS, FindingRecord, StreamCounts, TickRecord, encode

_SIGNS_OF_LIFE: Final = 3
"""ticks without observations that are told of after one with: so the last one with some is soon over for a detector"""
_SET_BACK_SECONDS: Final = 600.0
_CLOSE_SECONDS: Final = 5.0


class KafkaExporter:
    """
    `write` encodes and returns; while the brokers are away it raises why, so that the agent counts it, says it once and
    shows the exporter as down. Messages wait in the spool meanwhile.
    """

    def __init__(self, config: KafkaConfig, settings: dict[str, Any], folder: Path | None, ledger: Ledger) -> None:
        self._config = config
        self._replica = config.replica or socket.gethostname()
        self._started = secrets.token_hex(8)
        self._newest = float("-inf")
        self._quiet: dict[str, int] = {}
        """ticks since a segment was last counted"""
        file = folder / "kafka.sqlite" if folder is not None else None
        self._sender = Sender(settings, config.compression, file, config.spool_mebibytes << 20, ledger)

    def write(self, batch: Batch) -> None:
        messages = list(self._messages(batch))
        if messages:
            self._sender.put(messages)
        if problem := self._sender.problem:
            raise Retryable(problem)

    def close(self) -> None:
        """:raises Retryable: it did not end in time; what is in the spool's file is sent after the next start"""
        if not self._sender.close(_CLOSE_SECONDS):
            raise Retryable("the last messages could not be sent in time")

    def _messages(self, batch: Batch) -> Iterator[Message]:
        if self._config.ticks and batch.ticked is not None:
            self._notice(batch.ticked)
            for record in self._records(batch.counted, batch.ticked):
                yield self._message(batch.at, self._config.ticks_topic, record.segment, record)
        if self._config.findings:
            for finding in batch.findings:
                told = FindingRecord(self._replica, finding)
                yield self._message(batch.at, self._config.findings_topic, _subject(finding), told)

    def _message(self, at: float, topic: str, key: str, record: TickRecord | FindingRecord) -> Message:
        return Message(at, topic, key.encode(), encode(record, self._config.format))

    def _records(self, counted: Sequence[Counted], ticked: float) -> Iterator[TickRecord]:
        by_segment: defaultdict[str, list[StreamCounts]] = defaultdict(list)
        for one in counted:
            bins = {place: count for place, count in enumerate(one.counts) if count}
            by_segment[one.segment].append(StreamCounts(one.signal, one.reference[:REFERENCE_CHARACTERS], bins))
        self._quiet = {segment: ticks + 1 for segment, ticks in self._quiet.items() if ticks < _SIGNS_OF_LIFE}
        self._quiet |= dict.fromkeys(by_segment, 0)
        for segment in self._quiet:
            streams = tuple(by_segment.get(segment, ()))
            yield TickRecord(segment, self._replica, self._started, ticked, streams)

    def _notice(self, ticked: float) -> None:
        """After a clock was set back, ticks come again with other observations: as after a restart."""
        if ticked < self._newest - _SET_BACK_SECONDS:
            self._started = secrets.token_hex(8)
            self._newest = ticked
        self._newest = max(self._newest, ticked)


def _subject(finding: Finding) -> str:
    """The segment's text where a finding is of one: it then lies where the segment's counts do."""
    labels = dict(finding.labels)
    values = [labels.get(name, "") for name in SEGMENT]
    return Segment(*values).text if all(values[1:]) else finding.subject
