"""Where a log ends, on a real broker: one that lists the first record of the last batch."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError
from kafka.protocol.consumer import FetchRequest

from collector.kafka.log import Log
from watchkeeper.core.kafka import Connection, settings
from watchkeeper.core.testkit.kafka_broker import KafkaBroker
from watchkeeper.core.testkit.kafka_cluster import CLUSTER_VERSION, KafkaCluster
from watchkeeper.core.testkit.kafka_faults import Call, KafkaFaults

TOPIC = TopicPartition("some", 0)


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    with KafkaBroker() as running:
        running.make({TOPIC.topic: 1})
        running.send(TOPIC.topic, [(b"", b"%d" % number) for number in range(50)])
        yield running


def test_all_that_is_there_is_read_and_a_place_behind_it_is_known_for_one(broker: KafkaBroker) -> None:
    log = Log(settings(Connection((broker.address,)), ""))
    listed = log.ends([TOPIC])[TOPIC]

    assert listed <= 50
    assert log.values(TOPIC) == [b"%d" % number for number in range(50)]
    assert [log.reaches(TOPIC, offset, listed) for offset in (0, 49, 50, 51, 5000)] == [True, True, True, False, False]
    assert log.begins([TOPIC])[TOPIC] == 0
    log.close()


def test_a_broker_that_is_slow_to_give_the_last_batch_has_not_said_that_it_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A log that is taken to have begun anew is counted twice."""
    wait_seconds = 1.5

    def slow(call: Call) -> Any:
        time.sleep(wait_seconds)
        return call.forward(call.request)

    with KafkaFaults() as faults, KafkaBroker(advertised=faults.port) as broker:
        faults.stand_before(broker.port)
        broker.make({TOPIC.topic: 1})
        broker.send(TOPIC.topic, [(b"", b"%d" % number) for number in range(50)])
        log = Log(settings(Connection((faults.address,)), ""))
        faults.on(FetchRequest, slow)
        assert [log.reaches(TOPIC, offset, 1) for offset in (50, 51)] == [True, False]

        monkeypatch.setattr("collector.kafka.log._ANSWER_MILLISECONDS", 500)
        wait_seconds = 30.0
        with pytest.raises(KafkaTimeoutError):
            log.reaches(TOPIC, 50, 1)
        log.close()


def test_whose_leader_has_changed_is_asked_of_the_new_one() -> None:
    with KafkaCluster(2) as cluster:
        cluster.make({TOPIC.topic: 1})
        cluster.lead(TOPIC.topic, 0, broker=1)
        log = Log(settings(Connection(tuple(cluster.addresses)), "") | {"api_version": CLUSTER_VERSION})
        assert (log.begins([TOPIC]), log.ends([TOPIC])) == ({TOPIC: 0}, {TOPIC: 0})

        cluster.lead(TOPIC.topic, 0, broker=2)
        assert log.ends([TOPIC]) == {TOPIC: 0}
        cluster.lead(TOPIC.topic, 0, broker=1)
        assert log.begins([TOPIC]) == {TOPIC: 0}
        assert log.values(TOPIC) == []
        log.close()
