"""
Detectors as processes on a real broker, and what may happen to them. After each: the evidence of one judge that was
never stopped. The broker is the one of the test kit, see `KafkaBroker` for what Apache Kafka does otherwise.
"""

import os
import random
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from watchkeeper.core import wire
from watchkeeper.core.testkit.kafka_broker import KafkaBroker


@pytest.fixture
def alone(kit: Any, made: Any, tmp_path: Path) -> Any:
    """Evidence of these records in one process."""
    return lambda sent: kit.Alone(tmp_path / "references").judge(sent)


def send(kit: Any, broker: KafkaBroker, sent: Any) -> None:
    broker.send(kit.TICKS, kit.messages(sent), [at for _, at in sent])


def test_killed_between_judging_and_keeping_nothing_is_lost_or_counted_twice(
    kit: Any, broker: KafkaBroker, made: Any, detectors: Any, alone: Any
) -> None:
    sent = kit.traffic(made, 60)
    half = len(sent) // 2
    first = detectors.start()
    send(kit, broker, sent[: half // 2])
    detectors.read(half // 2)
    kit.wait(lambda: len(kit.kept(broker)) == 6)
    first.stop()
    second = detectors.start(kept_every=3600.0)
    send(kit, broker, sent[half // 2 : half])
    kit.wait(lambda: kit.judged(second) >= half - half // 2, said=detectors.logs)

    detectors.kill(second)
    detectors.start()
    send(kit, broker, sent[half:])
    kit.wait(lambda: kit.judged(detectors.running[-1]) >= len(sent) - half // 2, said=detectors.logs)
    detectors.running[-1].stop()

    kit.same(kit.kept(broker), alone(sent))


def test_one_becomes_two_becomes_one_in_the_middle_of_ticks(
    kit: Any, broker: KafkaBroker, made: Any, detectors: Any, alone: Any
) -> None:
    sent = kit.traffic(made, 60)
    third = len(sent) // 3 - 7  # no tick ends there
    first = detectors.start()
    send(kit, broker, sent[:third])
    detectors.read(third)
    second = detectors.start()
    kit.wait(lambda: second.value("watchkeeper_kafka_partitions") == 2, said=detectors.logs)
    send(kit, broker, sent[third : 2 * third])
    detectors.read(2 * third)
    assert kit.judged(second) > 0

    first.stop()
    kit.wait(lambda: second.value("watchkeeper_kafka_partitions") == 4, said=detectors.logs)
    send(kit, broker, sent[2 * third :])
    kit.wait(lambda: (second.value("watchkeeper_kafka_lag") or 0) == 0)
    expected = alone(sent)
    kit.wait(lambda: all_judged(kit, broker, len(sent)), said=detectors.logs)
    second.stop()

    kit.same(kit.kept(broker), expected)
    assert "begins anew" not in detectors.logs()


def test_one_that_was_frozen_until_others_had_its_partitions_and_then_goes_on_costs_no_evidence(
    kit: Any, broker: KafkaBroker, made: Any, detectors: Any, alone: Any
) -> None:
    """For a while two believe that a partition is theirs, and the one that is wrong writes last."""
    sent = kit.traffic(made, 45)
    third = len(sent) // 3 - 7
    frozen, other = detectors.start(kept_every=1.5), detectors.start()
    for one in (frozen, other):
        kit.wait(lambda one=one: one.value("watchkeeper_kafka_partitions") == 2, said=detectors.logs)
    send(kit, broker, sent[:third])
    kit.wait(lambda: kit.judged(frozen) > 0, said=detectors.logs)
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        send(kit, broker, sent[third : 2 * third])
        kit.wait(lambda: all_judged(kit, broker, 2 * third), said=other.log)
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    send(kit, broker, sent[2 * third :])
    kit.wait(lambda: all_judged(kit, broker, len(sent)), said=detectors.logs)
    kit.wait(lambda: (frozen.value("watchkeeper_kafka_partitions") or 0) > 0, said=detectors.logs)
    for one in (frozen, other):
        one.stop()

    assert other.log().count("judging from") >= 4
    kit.same(kit.kept(broker), alone(sent))


def all_judged(kit: Any, broker: KafkaBroker, count: int) -> bool:
    """Whether the marks of all partitions together are at so many records."""
    marks: dict[int, int] = {}
    for record in broker.read(kit.STATE):
        found = wire.decode(record.value)
        if isinstance(found, wire.MarkRecord):
            marks[record.partition] = max(found.offset, marks.get(record.partition, 0))
    return sum(marks.values()) >= count


def test_messages_that_cannot_be_read_are_told_to_the_dead_letter_topic_without_what_is_in_them(
    kit: Any, broker: KafkaBroker, made: Any, detectors: Any, alone: Any
) -> None:
    sent = kit.traffic(made, 20)
    good = kit.messages(sent)
    newer = msgspec.msgpack.encode({"kind": "ticks", "version": 99, "what": "a secret word"})
    poison = [b"", b"a secret word", b"{" * 5000, newer, wire.encode(wire.MarkRecord(1, {})), good[0][1][:40]]
    chance = random.Random(1)
    mixed = list(good)
    for value in poison:
        mixed.insert(chance.randrange(len(mixed)), (good[0][0], value))
    times = iter([at for _, at in sent])
    latest = sent[0][1]
    at = [latest := next(times) if value not in poison else latest for _, value in mixed]
    broker.send(kit.TICKS, mixed, at)
    detector = detectors.start()
    detectors.read(len(sent))
    kit.wait(lambda: len(broker.read(kit.DEAD)) == len(poison), said=detectors.logs)
    detector.stop()

    dead = broker.read(kit.DEAD)
    reasons = sorted(dict(record.headers)["reason"].decode() for record in dead)
    assert reasons == ["newer_version", "not_encoded", "not_encoded", "not_encoded", "not_encoded", "other_kind"]
    assert all(b"secret" not in (record.value or b"") + repr(record.headers).encode() for record in dead)
    assert "secret" not in detector.log()
    kit.same(kit.kept(broker), alone(sent))


def test_a_broker_that_is_killed_and_comes_back_empty_costs_no_evidence(
    kit: Any, broker: KafkaBroker, made: Any, detectors: Any, alone: Any
) -> None:
    """Apache Kafka comes back with what it held: this is the harder case."""
    sent = kit.traffic(made, 40)
    half = len(sent) // 2
    send(kit, broker, sent[:half])
    detector = detectors.start()
    detectors.read(half)

    broker.kill()
    kit.wait(lambda: detector.value("watchkeeper_source_up", source="kafka") == 0, said=detectors.logs)
    broker.start()
    broker.make({kit.TICKS: 4, kit.STATE: 4, kit.DEAD: 1})
    kit.wait(lambda: detector.value("watchkeeper_source_up", source="kafka") == 1, said=detectors.logs)
    send(kit, broker, sent[half:])
    detectors.read(len(sent), 90.0)
    detector.stop()

    kit.same(kit.kept(broker), alone(sent))
    assert detector.log().count("kafka failed") == 1, detector.log()


def test_a_member_that_has_no_partition_tells_of_brokers_that_are_away_too_and_of_their_coming_back(
    kit: Any, broker: KafkaBroker, detectors: Any
) -> None:
    """It waits to take over, and asks for nothing else meanwhile."""
    topics = {"one.ticks": 1, "one.state": 1}
    broker.make(topics)
    members = [detectors.start(ticks_topic="one.ticks", state_topic="one.state") for _ in range(2)]

    def each(name: str, **labels: str) -> list[float]:
        return [one.value(name, **labels) or 0.0 for one in members]

    def reached(wanted: float) -> bool:
        up = each("watchkeeper_source_up", source="kafka")
        return up == each("watchkeeper_kafka_connected", client="source") == [wanted, wanted]

    kit.wait(lambda: sorted(each("watchkeeper_kafka_partitions")) == [0, 1] and reached(1), said=detectors.logs)

    broker.kill()
    kit.wait(lambda: reached(0), 30.0, detectors.logs)
    broker.start()
    broker.make(topics)
    kit.wait(lambda: reached(1), said=detectors.logs)


def test_clocks_that_differ_by_90_seconds_give_the_same_evidence_in_whatever_order_pods_are_read(
    kit: Any, broker: KafkaBroker, made: Any, detectors: Any, alone: Any
) -> None:
    sent = kit.traffic(made, 40, skew=90.0)
    of_two_ticks = 2 * 3 * len(made)
    by_pod = [one for _, one in sorted(enumerate(sent), key=lambda at: (at[0] // of_two_ticks, at[1][0].replica))]
    send(kit, broker, sent)
    detector = detectors.start()
    detectors.read(len(sent))
    assert detector.value("watchkeeper_fleet_records_total", outcome="late") is None
    detector.stop()

    assert by_pod != sent
    kit.same(kit.kept(broker), alone(by_pod))


def test_states_of_another_version_are_made_anew_from_the_log(
    kit: Any, broker: KafkaBroker, made: Any, detectors: Any, alone: Any
) -> None:
    sent = kit.traffic(made, 20)
    send(kit, broker, sent)
    detectors.start()
    detectors.read(len(sent))
    detectors.running[0].stop()
    held = [(record.partition, wire.decode(record.value)) for record in broker.read(kit.STATE)]
    newest = {one.segment: (at, one) for at, one in held if isinstance(one, wire.StateRecord)}
    broker.kill()
    broker.start()
    broker.make({kit.TICKS: 4, kit.STATE: 4, kit.DEAD: 1})
    send(kit, broker, sent)
    older = [msgspec.structs.replace(one, body_version=0, body=b"of old") for _, one in newest.values()]
    broker.send(kit.STATE, [(one.segment.encode(), wire.encode(one)) for one in older])

    detector = detectors.start()
    detectors.read(len(sent))
    detector.stop()

    kit.same(kit.kept(broker), alone(sent))


def test_a_burst_of_ten_times_the_traffic_takes_little_memory(
    kit: Any, broker: KafkaBroker, made: Any, detectors: Any, alone: Any
) -> None:
    sent = kit.traffic(made, 30, replicas=30)
    detector = detectors.start()
    kit.wait(lambda: detector.value("watchkeeper_kafka_partitions") == 4)
    calm = kit.traffic(made, 30, replicas=3)
    before = detector.wait_for("process_memory_usage_bytes")
    assert len(sent) == 10 * len(calm)

    send(kit, broker, sent)
    detectors.read(len(sent))
    after = detector.wait_for("process_memory_usage_bytes")
    detector.stop()

    assert after - before < 60 << 20
    kit.same(kit.kept(broker), alone(sent))
