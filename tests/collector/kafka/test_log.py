"""Where a log ends, on a real broker: one that lists the first record of the last batch."""

from collections.abc import Iterator

import pytest
from kafka import TopicPartition

from collector.kafka.log import Log
from watchkeeper.core.kafka import Connection, settings
from watchkeeper.core.testkit.kafka_broker import KafkaBroker

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
