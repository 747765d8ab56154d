"""What a reader makes of brokers that go and come, one reading after another."""

import time
from collections.abc import Sequence

import pytest

from collector import kafka
from collector.kafka import KafkaConfig
from watchkeeper.core.errors import Retryable
from watchkeeper.core.fleet import Event, Restarted, Told
from watchkeeper.core.kafka import Connection
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.testkit.kafka_broker import KafkaBroker
from watchkeeper.core.wire import TickRecord, encode

TOPICS = {"watchkeeper.ticks": 1, "watchkeeper.state": 1, "watchkeeper.dead": 1}


def send(broker: KafkaBroker, count: int) -> None:
    records = [TickRecord("a/b/c", "pod", "start", 10.0 * number) for number in range(count)]
    broker.send("watchkeeper.ticks", [(b"a/b/c", encode(record, "msgpack")) for record in records])


def test_after_brokers_were_away_nothing_is_read_before_it_is_known_where_the_log_ends() -> None:
    with KafkaBroker() as broker:
        broker.make(TOPICS)
        send(broker, 10)
        source = kafka.build(KafkaConfig(True, Connection((broker.address,)), session_seconds=6.0), Ledger())
        events: list[Event] = []

        def told(now: float) -> Sequence[Event]:
            """By the next reading that goes well."""
            end = time.monotonic() + 60
            while True:
                try:
                    return source.read(now).log
                except Retryable:
                    if time.monotonic() > end:
                        raise

        def read(now: float, ticks: int) -> None:
            end = time.monotonic() + 60
            while sum(isinstance(event, Told) for event in events) < ticks:
                assert time.monotonic() < end, events
                events.extend(told(now))

        read(100.0, 10)
        broker.kill()
        with pytest.raises(Retryable):
            source.read(103.0)
        broker.start()
        broker.make(TOPICS)
        events.clear()
        events.extend(told(103.5))
        assert [type(event) for event in events] == [Restarted]
        send(broker, 30)
        read(104.0, 1)
        source.close()
        source.finish()

    assert [event.record.at for event in events if isinstance(event, Told)][:1] == [0.0]
