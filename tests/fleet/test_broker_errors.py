"""What brokers may answer, by way of a proxy that answers it: what can leave does, in order, and no more is lost."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final

import pytest
from kafka.protocol.producer import InitProducerIdRequest, ProduceRequest

from collector.kafka.keeper import Keeper
from collector.kafka.states import newest
from exporters import kafka as sending
from exporters.kafka import KafkaConfig
from watchkeeper.core import kafka as connecting
from watchkeeper.core.errors import Retryable
from watchkeeper.core.fleet import Checkpoint, Place
from watchkeeper.core.kafka import Connection
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Counted
from watchkeeper.core.records import Batch, Finding, Severity
from watchkeeper.core.testkit.kafka_broker import KafkaBroker
from watchkeeper.core.testkit.kafka_faults import Call, ClosedError, KafkaFaults, failing, refused
from watchkeeper.core.wire import FindingRecord, MarkRecord, StateRecord, TickRecord, decode

PATIENCE_SECONDS: Final = 30.0
CORRUPT, TOO_LARGE, TOPIC_FORBIDDEN, CLUSTER_FORBIDDEN, INVALID = 2, 10, 29, 31, 87
_NUMBERS = count()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporters.kafka.delivery._RETRIES", 1)
    monkeypatch.setattr("exporters.kafka.sender._BACKOFF_SECONDS", (0.1, 0.5))
    monkeypatch.setattr("collector.kafka.keeper._RETRIES", 1)
    monkeypatch.setattr("exporters.kafka.exporter._CLOSE_SECONDS", 60.0)  # how long a stop takes is no matter here


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[KafkaFaults, KafkaBroker]]:
    with KafkaFaults() as faults, KafkaBroker(advertised=faults.port) as broker:
        faults.stand_before(broker.port)
        yield faults, broker


@pytest.fixture
def faults(running: Any) -> Iterator[KafkaFaults]:
    yield running[0]
    running[0].off(ProduceRequest)
    running[0].off(InitProducerIdRequest)


@pytest.fixture
def broker(running: Any) -> KafkaBroker:
    broker: KafkaBroker = running[1]
    return broker


class Sending:
    """An exporter with topics of its own."""

    def __init__(self, faults: KafkaFaults, broker: KafkaBroker, **more: Any) -> None:
        number = next(_NUMBERS)
        self.ticks, self.findings = f"ticks.{number}", f"findings.{number}"
        broker.make({self.ticks: 2, self.findings: 2})
        self._broker = broker
        self._ledger = Ledger()
        self._told: dict[tuple[str, str], float] = {}
        topics: dict[str, Any] = {"ticks_topic": self.ticks, "findings_topic": self.findings}
        config = KafkaConfig(True, Connection((faults.address,)), replica="pod", **topics, **more)
        self.exporter = sending.build(config, self._ledger)

    def write(self, ticks: range, *findings: str) -> str:
        """:return: the last that was said"""
        said = ""
        told = tuple(Finding(at=1.0, since=1.0, severity=Severity.INFO, subject=one, summary=one) for one in findings)
        for tick in ticks:
            at = 10.0 * tick
            counted = (Counted(at, "a/b/c", "x", "f" * 64, (1, 2)),)
            try:
                self.exporter.write(Batch(time.time(), counted=counted, findings=told, ticked=at))
            except Retryable as error:
                said = str(error)
            told = ()
        return said

    def problem(self) -> str:
        try:
            self.exporter.write(Batch(time.time()))
        except Retryable as error:
            return str(error)
        return ""

    def sent_ticks(self) -> list[float]:
        found = [decode(one.value) for one in self._broker.read(self.ticks)]
        return [one.at / 10 for one in found if isinstance(one, TickRecord)]

    def sent_findings(self) -> list[str]:
        found = [decode(one.value) for one in self._broker.read(self.findings)]
        return [one.finding.summary for one in found if isinstance(one, FindingRecord)]

    def told(self, name: str, label: str) -> float:
        for one in self._ledger.drain(0.0):
            key = (one.metric.name.removeprefix("watchkeeper.kafka."), dict(one.labels).get("reason", ""))
            self._told[key] = self._told.get(key, 0.0) + float(one.value)  # type: ignore[arg-type]
        return self._told.get((name, label), 0.0)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Our own."""
    return [one.getMessage() for one in caplog.records if one.name.startswith("watchkeeper.")]


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_topic_that_is_forbidden_holds_up_no_other_and_is_sent_nothing_twice_once_it_is_allowed(
    faults: KafkaFaults, broker: KafkaBroker
) -> None:
    one = Sending(faults, broker)
    faults.on(ProduceRequest, refused({one.findings: TOPIC_FORBIDDEN}))
    for number in range(100):
        one.write(range(number, number + 1), f"x{number}")
    until(lambda: len(one.sent_ticks()) >= 100 and bool(one.problem()))
    assert f"topic {one.findings}: the topic is forbidden to us; docs/fleet.md says" in one.problem()
    assert one.told("errors", "TopicAuthorizationFailed") >= 1

    faults.off(ProduceRequest)
    until(lambda: len(one.sent_findings()) >= 100 and not one.problem())
    one.exporter.close()

    assert one.sent_ticks() == [float(number) for number in range(100)]
    assert sorted(one.sent_findings()) == sorted(f"x{number}" for number in range(100))


def test_a_message_that_is_refused_as_invalid_takes_along_none_of_its_batch_and_is_told_once(
    faults: KafkaFaults, broker: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    one = Sending(faults, broker)
    faults.on(ProduceRequest, refused({one.ticks: INVALID}, only=b"\xcb@D\x00\x00\x00\x00\x00\x00"))  # at 40.0
    one.write(range(10))
    one.write(range(10))
    until(lambda: one.told("dropped", "refused") == 2 and len(one.sent_ticks()) == 18)
    one.exporter.close()

    assert one.sent_ticks() == [float(number) for number in (0, 1, 2, 3, 5, 6, 7, 8, 9)] * 2
    [said] = lines(caplog)
    assert f"topic {one.ticks} refuses a message of" in said
    assert "(InvalidRecord): look at what the topic demands of messages" in said


def test_a_message_that_is_always_found_corrupt_is_given_up_in_the_end(
    faults: KafkaFaults, broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporters.kafka.sender._DOUBT_SECONDS", 0.3)
    one = Sending(faults, broker)
    faults.on(ProduceRequest, refused({one.ticks: CORRUPT}, only=b"\xcb@D\x00\x00\x00\x00\x00\x00"))
    one.write(range(10))
    until(lambda: one.told("dropped", "refused") == 1 and len(one.sent_ticks()) == 9)
    one.exporter.close()

    assert one.sent_ticks() == [float(number) for number in (0, 1, 2, 3, 5, 6, 7, 8, 9)]


def test_who_may_not_ask_for_a_producer_id_sends_all_the_same(faults: KafkaFaults, broker: KafkaBroker) -> None:
    faults.on(InitProducerIdRequest, failing(lambda response: response(error_code=CLUSTER_FORBIDDEN)))
    one = Sending(faults, broker)
    one.write(range(10))
    until(lambda: one.told("sent", "") == 10)
    one.exporter.close()

    assert one.sent_ticks() == [float(number) for number in range(10)]


def never(call: Call) -> Any:
    """The broker has it and does not say so."""
    call.forward(call.request)
    time.sleep(PATIENCE_SECONDS)
    raise ClosedError


def test_a_stop_while_brokers_acknowledge_nothing_ends_in_time_and_counts_what_is_lost(
    faults: KafkaFaults, broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporters.kafka.sender._LAST_SECONDS", 0.5)
    monkeypatch.setattr("exporters.kafka.exporter._CLOSE_SECONDS", 10.0)  # less than is waited for a delivery
    one = Sending(faults, broker)
    faults.on(ProduceRequest, never)
    one.write(range(20))
    time.sleep(0.2)

    one.exporter.close()

    assert one.told("dropped", "shutdown") == 20


def test_an_acknowledgement_that_is_lost_costs_no_message_and_no_order(
    faults: KafkaFaults, broker: KafkaBroker
) -> None:
    left = iter(range(2))

    def fault(call: Call) -> Any:
        response = call.forward(call.request)
        if next(left, None) is not None:
            raise ClosedError
        return response

    one = Sending(faults, broker)
    faults.on(ProduceRequest, fault)
    one.write(range(20))
    until(lambda: one.told("sent", "") == 20)
    one.exporter.close()

    assert sorted(set(one.sent_ticks())) == [float(number) for number in range(20)]
    assert one.sent_ticks()[-20:] == [float(number) for number in range(20)]


class Keeping:
    """A keeper with topics of its own."""

    def __init__(self, faults: KafkaFaults, broker: KafkaBroker) -> None:
        number = next(_NUMBERS)
        self.state, self.dead = f"state.{number}", f"dead.{number}"
        broker.make({self.state: 2, self.dead: 1})
        self._broker = broker
        self.ledger = Ledger()
        settings = connecting.settings(Connection((faults.address,)), "kafka.connection")
        self.keeper = Keeper(settings, self.state, self.dead, self.ledger)
        self.committed: dict[Place, int] = {}
        self._told: Counter[str] = Counter()

    def put(self, partition: int, offset: int, *segments: str) -> None:
        states = tuple(StateRecord(segment, offset, b"held", 0) for segment in segments)
        mark = MarkRecord(offset, dict.fromkeys(segments, offset), 0)
        self.keeper.put(Checkpoint(Place("ticks", partition), states, mark))

    def write(self) -> None:
        self.keeper.write(lambda _: True, self.committed.__setitem__, now=True)

    def kept(self, partition: int) -> Any:
        return newest(one.value for one in self._broker.read(self.state, partition))

    def told(self, reason: str) -> float:
        """How often it was counted as an error."""
        for one in self.ledger.drain(0.0):
            if "errors" in one.metric.name:
                self._told[dict(one.labels).get("reason", "")] += float(one.value)  # type: ignore[arg-type]
        return self._told[reason]


def test_a_dead_letter_that_is_forbidden_keeps_no_evidence_from_being_kept(
    faults: KafkaFaults, broker: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    one = Keeping(faults, broker)
    faults.on(ProduceRequest, refused({one.dead: TOPIC_FORBIDDEN}))
    one.put(0, 5, "a/b/c")
    for offset in range(3):
        one.keeper.bury(Place("ticks", 0), offset, b"a secret", "not_encoded")
    one.write()
    until(lambda: one.told("TopicAuthorizationFailed") == 3)
    one.keeper.close()

    assert one.committed == {Place("ticks", 0): 5}
    assert (one.kept(0).offset, len(one.kept(0).states)) == (5, 1)
    assert lines(caplog) == [
        f"topic {one.dead} cannot be told what cannot be read (TopicAuthorizationFailed: the topic is forbidden to us;"
        " docs/fleet.md says who needs which)"
    ]


def test_a_dead_letter_that_is_not_acknowledged_keeps_no_evidence_from_being_kept(
    faults: KafkaFaults, broker: KafkaBroker
) -> None:
    one = Keeping(faults, broker)
    faults.on(ProduceRequest, refused({one.dead: 19}))
    one.keeper.bury(Place("ticks", 0), 1, b"a secret", "not_encoded")
    one.put(0, 5, "a/b/c")
    one.write()
    one.keeper.close()

    assert one.committed == {Place("ticks", 0): 5}


def test_a_state_that_is_too_large_is_made_anew_by_reading_and_costs_no_other(
    faults: KafkaFaults, broker: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    one = Keeping(faults, broker)
    one.put(0, 5, "large", "small")
    one.write()
    faults.on(ProduceRequest, refused({one.state: TOO_LARGE}, only=b"large\xa6offset\x09"))
    one.put(0, 9, "large", "small")
    one.put(1, 7, "other")
    one.write()
    one.keeper.close()

    assert one.committed == {Place("ticks", 0): 9, Place("ticks", 1): 7}
    kept = one.kept(0)
    assert {state.segment: state.offset for state in kept.states} == {"large": 5, "small": 9}
    assert kept.offset == 5
    assert f"topic {one.state} refuses states for their size; raise its max.message.bytes to 8388608" in caplog.text


def test_a_partition_that_cannot_be_written_keeps_no_other_from_being_kept_and_is_written_later(
    faults: KafkaFaults, broker: KafkaBroker
) -> None:
    one = Keeping(faults, broker)
    faults.on(ProduceRequest, refused({one.state: 56}, only=b"first"))
    one.put(0, 5, "first")
    one.put(1, 7, "second")
    one.write()
    assert one.committed == {Place("ticks", 1): 7}

    faults.off(ProduceRequest)
    one.write()
    one.keeper.close()
    assert one.committed == {Place("ticks", 0): 5, Place("ticks", 1): 7}


def test_states_that_are_not_acknowledged_are_written_later(
    faults: KafkaFaults, broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.kafka.keeper._PATIENCE_SECONDS", 0.5)
    one = Keeping(faults, broker)
    faults.on(ProduceRequest, never)
    one.put(0, 5, "a/b/c")
    one.write()
    assert one.committed == {}

    monkeypatch.setattr("collector.kafka.keeper._PATIENCE_SECONDS", PATIENCE_SECONDS)
    faults.off(ProduceRequest)
    one.write()
    one.keeper.close()
    assert one.committed == {Place("ticks", 0): 5}
    assert len(one.kept(0).states) == 1
