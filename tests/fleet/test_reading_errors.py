"""What brokers may answer a reader, by way of a proxy that answers it: reading goes on where it can, and then anew."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import pytest
from kafka.protocol.consumer import FetchRequest, ListOffsetsRequest, OffsetCommitRequest

from collector import kafka as reading
from collector.kafka import KafkaConfig
from collector.kafka.source import KafkaSource
from watchkeeper.core.errors import Retryable
from watchkeeper.core.fleet import Checkpoint, Event, Left, Place, Told
from watchkeeper.core.kafka import Connection
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.testkit.kafka_broker import KafkaBroker
from watchkeeper.core.testkit.kafka_faults import KafkaFaults, changed
from watchkeeper.core.wire import MarkRecord, TickRecord, encode

PATIENCE_SECONDS: Final = 60.0
NOT_LEADER, UNKNOWN_EPOCH, FENCED_NAME = 6, 75, 82
TICKS, STATE, DEAD = (f"watchkeeper.{kind}" for kind in ("ticks", "state", "dead"))


class Reader:
    """A detector's source, and what it told."""

    def __init__(self, faults: KafkaFaults, broker: KafkaBroker) -> None:
        config = KafkaConfig(True, Connection((faults.address,)), session_seconds=6.0)
        self.ledger = Ledger()
        self.source: KafkaSource = reading.build(config, self.ledger)
        self._broker = broker
        self._sent = 0
        self.told: dict[Place, int] = {}
        """how many, by partition"""
        self.told_at_first: dict[Place, int] = {}
        self.events: list[Event] = []

    def send(self, count: int) -> None:
        made = [
            (b"a/b/%d" % number, encode(TickRecord(f"a/b/{number}", "pod", "1", 10.0 * number, ())))
            for number in range(self._sent, self._sent + count)
        ]
        self._sent += count
        self._broker.send(TICKS, made)

    def read(self) -> str:
        """:return: what went wrong"""
        try:
            events = self.source.read(time.time()).log
        except Retryable as error:
            return str(error)
        self.events += events
        for event in events:
            if isinstance(event, Left):  # what was told of it is told again
                self.told.pop(event.place, None)
            elif isinstance(event, Told):
                self.told[event.place] = self.told.get(event.place, 0) + 1
        return ""

    def read_until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not true():
            assert time.monotonic() < end, self.told
            self.read()

    def close(self) -> None:
        self.source.close()
        self.source.finish()

    @property
    def has_all(self) -> bool:
        return sum(self.told.values()) == self._sent


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[KafkaFaults, KafkaBroker]]:
    with KafkaFaults() as faults, KafkaBroker(advertised=faults.port) as broker:
        faults.stand_before(broker.port)
        broker.make({TICKS: 2, STATE: 2, DEAD: 1})
        yield faults, broker


@pytest.fixture(scope="module")
def reader(running: tuple[KafkaFaults, KafkaBroker]) -> Iterator[Reader]:
    """Has both partitions, and for a while could not have the second."""
    faults, _ = running
    reader = Reader(*running)
    reader.send(50)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("collector.kafka.log._ANSWER_MILLISECONDS", 700, raising=False)
        patch.setattr("collector.kafka.source._RETRY_SECONDS", 0.5, raising=False)
        faults.on(ListOffsetsRequest, changed(codes(NOT_LEADER, STATE, 1)))
        reader.read_until(lambda: bool(reader.told))
        reader.read()
        reader.told_at_first = dict(reader.told)
        faults.off(ListOffsetsRequest)
        reader.read_until(lambda: reader.has_all)
    yield reader
    reader.close()


@pytest.fixture
def faults(running: tuple[KafkaFaults, KafkaBroker]) -> Iterator[KafkaFaults]:
    yield running[0]
    for request in (FetchRequest, ListOffsetsRequest, OffsetCommitRequest):
        running[0].off(request)


def codes(code: int, topic: str = "", number: int | None = None) -> Callable[[Any], None]:
    """For answers by partition: this error, of a topic or of a partition of it where one is given."""

    def change(response: Any) -> None:
        for one in getattr(response, "topics", None) or response.responses:
            for part in one.partitions:
                with suppress(AttributeError):
                    part.records = b""
                if topic in ("", getattr(one, "name", "")) and number in (None, part.partition_index):
                    part.error_code = code

    return change


def test_a_partition_whose_evidence_cannot_be_read_keeps_no_other_from_being_read_and_is_read_later(
    reader: Reader,
) -> None:
    assert list(reader.told_at_first) == [Place(TICKS, 0)]
    assert sorted(reader.told) == [Place(TICKS, 0), Place(TICKS, 1)]


def test_a_partition_that_the_client_waits_for_in_silence_is_asked_for_anew(
    faults: KafkaFaults, reader: Reader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """This broker knows no epochs of leaders, so that the client never hears that its own is right."""
    monkeypatch.setattr("collector.kafka.held.STALL_SECONDS", 0.3)
    monkeypatch.setattr("collector.kafka.source._WATCH_SECONDS", 0.2)
    faults.on(FetchRequest, changed(codes(UNKNOWN_EPOCH)))
    reader.send(20)
    reader.read_until(lambda: "the brokers give none of" in caplog.text)
    faults.off(FetchRequest)
    reader.read_until(lambda: reader.has_all and "is read again" in caplog.text)

    stalled = [one for one in reader.ledger.drain(0.0) if ("reason", "Stalled") in one.labels]
    assert stalled


def damaged(response: Any) -> None:
    for topic in response.responses:
        for part in topic.partitions:
            if part.records:
                part.records = bytes(part.records)[:-1] + bytes([bytes(part.records)[-1] ^ 0xFF])


def test_a_batch_that_is_damaged_on_its_way_is_read_when_it_comes_whole(faults: KafkaFaults, reader: Reader) -> None:
    """The client finds no end of one that it was asked for again."""
    faults.on(FetchRequest, changed(damaged))
    reader.send(10)
    end = time.monotonic() + PATIENCE_SECONDS
    while "CorruptRecord" not in reader.read():
        assert time.monotonic() < end
    faults.off(FetchRequest)
    reader.told.clear()  # nothing was kept: all is told again
    reader.read_until(lambda: reader.has_all)


def test_who_is_left_out_because_another_has_its_name_joins_without_it(
    faults: KafkaFaults, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    reader.source._group.member = "detector-0"
    reader.events.clear()
    faults.on(OffsetCommitRequest, changed(codes(FENCED_NAME)))
    reader.source.keep(Checkpoint(Place(TICKS, 0), (), MarkRecord(1, {}, 0)))
    reader.read_until(lambda: "joins without it" in caplog.text)
    faults.off(OffsetCommitRequest)
    reader.read_until(lambda: sum(isinstance(event, Left) for event in reader.events) == 2)

    assert "kafka.member detector-0 is another's, too: this one joins without it; give each its own" in caplog.text
