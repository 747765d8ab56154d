"""
Several brokers that speak Kafka's protocol, for one test: the mock cluster of librdkafka, out of the package
confluent-kafka. Partitions have leaders that can be moved, groups a coordinator, brokers go down and come back.

It answers a question for its versions later than 2.3 in a form that kafka-python does not read: clients are made with
`CLUSTER_VERSION`.
"""

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest

CLUSTER_VERSION: Final = (2, 3)
"""`api_version` for kafka-python"""
_API_VERSIONS: Final = 18
_PRODUCER: Final = 0


class KafkaCluster:
    """
    with KafkaCluster(3) as cluster:
        cluster.make({"watchkeeper.ticks": 2})
        cluster.lead("watchkeeper.ticks", 0, broker=2)

    :param brokers: how many; they are numbered from 1
    """

    def __init__(self, brokers: int) -> None:
        self._brokers = brokers
        self._library = _library()
        self._client: Any = None
        self._cluster: Any = None

    def __enter__(self) -> Self:
        library = self._library
        self._client = library.rd_kafka_new(_PRODUCER, library.rd_kafka_conf_new(), None, 0)
        self._cluster = library.rd_kafka_mock_cluster_new(self._client, self._brokers)
        if not self._cluster:
            raise RuntimeError("the cluster of brokers does not start")
        _done(library.rd_kafka_mock_set_apiversion(self._cluster, _API_VERSIONS, 0, 2))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)

    @property
    def addresses(self) -> Sequence[str]:
        said: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return said.decode().split(",")

    def make(self, partitions: Mapping[str, int]) -> None:
        """Topics, by name, with so many partitions, each held by all brokers."""
        for topic, count in partitions.items():
            _done(self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), count, self._brokers))

    def lead(self, topic: str, partition: int, broker: int) -> None:
        """Make a broker the leader of a partition."""
        _done(self._library.rd_kafka_mock_partition_set_leader(self._cluster, topic.encode(), partition, broker))

    def coordinate(self, group: str, broker: int) -> None:
        """Make a broker the coordinator of a group."""
        _done(self._library.rd_kafka_mock_coordinator_set(self._cluster, b"group", group.encode(), broker))

    def take_down(self, broker: int) -> None:
        """Its connections end and it takes none. It leads what it led: name other leaders."""
        _done(self._library.rd_kafka_mock_broker_set_down(self._cluster, broker))

    def bring_up(self, broker: int) -> None:
        _done(self._library.rd_kafka_mock_broker_set_up(self._cluster, broker))


def _done(error: int) -> None:
    if error:
        raise RuntimeError(f"the cluster of brokers answers with error {error}")


def _library() -> Any:
    package = pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed; run: make test")
    site = Path(package.__file__).parent
    found = [*site.parent.glob("confluent_kafka.libs/librdkafka*"), *site.glob(".dylibs/librdkafka*")]
    library: Any = ctypes.CDLL(str(found[0]))
    pointer, text, number, small = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int16
    for name, result, *arguments in (
        ("conf_new", pointer),
        ("new", pointer, ctypes.c_int, pointer, text, ctypes.c_size_t),
        ("destroy", None, pointer),
        ("mock_cluster_new", pointer, pointer, ctypes.c_int),
        ("mock_cluster_destroy", None, pointer),
        ("mock_cluster_bootstraps", text, pointer),
        ("mock_set_apiversion", ctypes.c_int, pointer, small, small, small),
        ("mock_topic_create", ctypes.c_int, pointer, text, ctypes.c_int, ctypes.c_int),
        ("mock_partition_set_leader", ctypes.c_int, pointer, text, number, number),
        ("mock_coordinator_set", ctypes.c_int, pointer, text, text, number),
        ("mock_broker_set_down", ctypes.c_int, pointer, number),
        ("mock_broker_set_up", ctypes.c_int, pointer, number),
    ):
        function = getattr(library, f"rd_kafka_{name}")
        function.restype, function.argtypes = result, arguments
    return library
