"""On three brokers whose leaders and coordinators change: what a rolling restart of Kafka does."""

import time
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Any

import pytest

from collector import kafka as reading
from collector.kafka import KafkaConfig as ReadConfig
from exporters import kafka as sending
from exporters.kafka import KafkaConfig
from watchkeeper.core import kafka
from watchkeeper.core.errors import Retryable
from watchkeeper.core.fleet import Left, Place, Reached, Told
from watchkeeper.core.kafka import Connection
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Counted
from watchkeeper.core.records import Batch
from watchkeeper.core.testkit.kafka_cluster import CLUSTER_VERSION, KafkaCluster

TICKS, STATE, DEAD = (f"watchkeeper.{kind}" for kind in ("ticks", "state", "dead"))
SEGMENTS = tuple(f"shop/chat/{name}" for name in ("one", "two", "three", "four"))
"""they lie in both partitions"""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[KafkaCluster]:
    settings = kafka.settings
    monkeypatch.setattr(kafka, "settings", lambda *given: settings(*given) | {"api_version": CLUSTER_VERSION})
    with KafkaCluster(3) as running:
        running.make({TICKS: 2, STATE: 2, DEAD: 1})
        yield running


class Reading:
    """A source that reads in a thread until it is left, and what counts of what it told."""

    def __init__(self, cluster: KafkaCluster) -> None:
        connection = Connection(tuple(cluster.addresses))
        self._source: Any = reading.build(ReadConfig(True, connection, session_seconds=6.0), Ledger())
        self._stop = Event()
        self.told: dict[Place, list[tuple[str, float]]] = {}
        self.reached: set[Place] = set()
        self._thread = Thread(target=self._read)

    def __enter__(self) -> "Reading":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._source.close()
        self._source.finish()

    def _read(self) -> None:
        while not self._stop.is_set():
            try:
                events = self._source.read(time.time()).log
            except Retryable:
                time.sleep(0.05)
                continue
            for event in events:
                if isinstance(event, Left):
                    self.told.pop(event.place, None)
                elif isinstance(event, Told):
                    self.told.setdefault(event.place, []).append((event.record.segment, event.record.at))
                elif isinstance(event, Reached):
                    self.reached.add(event.place)

    def until(self, ticks: int) -> dict[str, list[float]]:
        """Beginnings of the ticks of each segment as soon as so many are held: a partition may leave again."""
        end = time.monotonic() + 120
        while True:
            held = {segment: self.of(segment) for segment in SEGMENTS}
            if all(len(set(told)) >= ticks for told in held.values()):
                return held
            assert time.monotonic() < end, self.told
            time.sleep(0.05)

    def of(self, segment: str) -> list[float]:
        """Beginnings of the ticks of a segment, in the order in which they came."""
        return [at for told in list(self.told.values()) for name, at in list(told) if name == segment]


def tell(one: Any, tick: int) -> None:
    at = 10.0 * tick
    counted = tuple(Counted(at, segment, "x", "f" * 64, (1, 2)) for segment in SEGMENTS)
    try:
        one.write(Batch(time.time(), counted=counted, ticked=at))
    except Retryable:
        return


def moved(cluster: KafkaCluster, tick: int) -> None:
    if tick % 20 == 0:
        for topic in (TICKS, STATE):
            for partition in (0, 1):
                cluster.lead(topic, partition, (tick // 20 + partition) % 3 + 1)


def coordinated_elsewhere(cluster: KafkaCluster, tick: int) -> None:
    if tick % 40 == 0:
        cluster.coordinate("watchkeeper", tick // 40 % 3 + 1)


def restarted_in_turn(cluster: KafkaCluster, tick: int) -> None:
    away = tick // 60 % 3 + 1
    if tick % 60 == 10:
        for topic in (TICKS, STATE):
            for partition in (0, 1):
                cluster.lead(topic, partition, away % 3 + 1)
        cluster.coordinate("watchkeeper", away % 3 + 1)
        cluster.take_down(away)
    elif tick % 60 == 50:
        cluster.bring_up(away)


def once(told: list[float]) -> list[float]:
    """What counts of them: a tick that comes twice is known again by who judges, up to 64 back."""
    newest = float("-inf")
    for at in told:
        newest = max(newest, at)
        assert newest - at < 640.0
    return list(dict.fromkeys(told))


@pytest.mark.parametrize("happens", [moved, coordinated_elsewhere, restarted_in_turn])
def test_brokers_that_change_places_cost_no_count_and_no_order_and_what_comes_twice_is_known_again(
    cluster: KafkaCluster, happens: Callable[[KafkaCluster, int], None]
) -> None:
    connection = Connection(tuple(cluster.addresses))
    sender = sending.build(KafkaConfig(True, connection, replica="pod", compression="none"), Ledger())
    with Reading(cluster) as reader:
        tell(sender, 0)
        reader.until(1)
        for tick in range(1, 180):
            tell(sender, tick)
            happens(cluster, tick)
            time.sleep(0.01)
        held = reader.until(180)
        sender.close()

    assert len(reader.reached) == 2
    for told in held.values():
        assert once(told) == [10.0 * tick for tick in range(180)]
