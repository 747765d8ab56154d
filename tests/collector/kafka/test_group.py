"""Members of a group: what they lost they claim no more, and who is kept from the group joins anew, without a name."""

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from threading import Event, Thread
from typing import Final, Self

import pytest
from kafka.structs import MemberState

from collector.kafka import KafkaConfig, build
from collector.kafka.group import Group
from collector.kafka.source import KafkaSource
from watchkeeper.core.errors import Retryable
from watchkeeper.core.kafka import Connection
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Distribution
from watchkeeper.core.testkit.kafka_broker import KafkaBroker
from watchkeeper.core.vocabulary import kafka

TOPICS: Final = {"watchkeeper.ticks": 4, "watchkeeper.state": 4}
PATIENCE_SECONDS: Final = 90.0
JOINING: Final = MemberState.REBALANCING
IN: Final = MemberState.STABLE


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    with KafkaBroker() as running:
        running.make(TOPICS)
        yield running


class Member:
    """
    with Member(broker, "detector-0") as member:
        wait_for([member], [4])
    """

    def __init__(self, broker: KafkaBroker, name: str) -> None:
        self._ledger = Ledger()
        self._told: dict[str, float | Distribution] = {}
        config = KafkaConfig(enabled=True, connection=Connection((broker.address,)), member=name)
        self._source: KafkaSource = build(config, self._ledger)
        self._is_over = Event()
        self._thread = Thread(target=self._read)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._source.close()
        self._source.finish()

    def _read(self) -> None:
        while not self._is_over.is_set():
            with suppress(Retryable):
                self._source.read(time.time())

    def told(self, metric: Metric) -> float:
        self._told |= {sample.metric.name: sample.value for sample in self._ledger.drain(0.0)}
        value = self._told.get(metric.name, 0.0)
        assert isinstance(value, float | int)
        return value


def wait_for(members: list[Member], wanted: list[int], metric: Metric = kafka.PARTITIONS) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while sorted(one.told(metric) for one in members) != wanted:
        assert time.monotonic() < end, [one.told(metric) for one in members]
        time.sleep(0.1)


def test_what_a_member_lost_goes_to_one_that_joins_at_the_same_time(broker: KafkaBroker) -> None:
    """Nobody waits for its first owner to hand it over, who has nothing that it could."""
    with Member(broker, "detector-0") as first:
        wait_for([first], [4])
        broker.kill()
        broker.start()
        broker.make(TOPICS)
        with Member(broker, "detector-1") as second:
            wait_for([first, second], [2, 2])
            wait_for([first, second], [4, 4], kafka.TOPIC_PARTITIONS)


def group(session_seconds: float = 10.0, member: str = "detector-0") -> tuple[Group, Ledger]:
    ledger = Ledger()
    return Group(KafkaConfig(session_seconds=session_seconds, member=member), {}, ledger), ledger


def shut_out(joining: Group, state: str, begin: int, end: int, *, has_partitions: bool = False) -> list[int]:
    """Seconds at which it was, looked at each second."""
    return [at for at in range(begin, end) if joining.is_shut_out(state, float(at), has_partitions=has_partitions)]


def test_who_is_not_let_in_for_three_sessions_joins_anew_without_its_name(caplog: pytest.LogCaptureFixture) -> None:
    joining, ledger = group()
    with caplog.at_level(logging.WARNING):
        assert shut_out(joining, JOINING, 0, 30) == []
        assert joining.member == "detector-0"
        assert shut_out(joining, JOINING, 30, 33) == [30, 31, 32]
        assert joining.member == ""
        assert shut_out(joining, IN, 33, 50) == []

    [counted] = ledger.drain(0.0)
    assert (counted.metric, dict(counted.labels)["reason"], counted.value) == (kafka.ERRORS, "ShutOut", 3)
    assert [record.getMessage() for record in caplog.records] == [
        "group watchkeeper did not keep this member for 30 s; it joins anew without its name detector-0",
        "group watchkeeper has this member again",
    ]


def test_who_is_let_in_and_thrown_out_again_and_again_is_shut_out_too() -> None:
    joining, _ = group()

    found = [one for at in range(0, 60, 8) for one in shut_out(joining, JOINING, at, at + 7)
             or shut_out(joining, IN, at + 7, at + 8)]  # fmt: skip

    assert found[0] == 30


def test_who_was_in_the_group_for_a_session_is_given_three_sessions_more() -> None:
    joining, _ = group()

    assert shut_out(joining, IN, 0, 100) == []
    assert shut_out(joining, JOINING, 100, 140)[0] == 129


def test_who_has_partitions_reads_on_whatever_becomes_of_the_group() -> None:
    joining, ledger = group()

    assert shut_out(joining, JOINING, 0, 600, has_partitions=True) == []
    assert not ledger.drain(0.0)


def test_the_time_in_which_brokers_were_away_is_not_held_against_the_group() -> None:
    joining, _ = group()

    assert shut_out(joining, IN, 0, 100) == []
    joining.begin_patience(500.0)
    assert shut_out(joining, JOINING, 501, 540)[0] == 530
