"""Counts of ticks and findings to Kafka, by way of a bounded spool: detectors judge what many sidecars saw."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from watchkeeper.core import kafka
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.kafka import Connection
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import health
from watchkeeper.core.vocabulary.kafka import EXPORTED
from watchkeeper.core.wire import Format

if TYPE_CHECKING:
    from exporters.kafka.exporter import KafkaExporter

_PATH: Final = "exporters.kafka.connection"
Topic = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9._-]{1,249}$")]


class KafkaConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What leaves by Kafka. See docs/fleet.md for the topics."""

    enabled: bool = False
    """send counts and findings"""
    connection: Connection = Connection()
    """brokers"""
    ticks: bool = True
    """send what each tick counted of every signal with a reference: what detectors judge"""
    findings: bool = True
    """send findings"""
    ticks_topic: Topic = "watchkeeper.ticks"
    """topic of the counts; messages of one segment meet in one partition"""
    findings_topic: Topic = "watchkeeper.findings"
    """topic of the findings"""
    format: Format = "msgpack"
    """json can be read by anybody and takes about twice the room; readers take both"""
    compression: Literal["lz4", "gzip", "none"] = "lz4"
    """compression of batches of messages"""
    replica: str = ""
    """name of this sender, its own among all; empty: the host's name, which in a pod is the pod's"""
    state_folder: str = ""
    """messages that wait for the brokers are kept in `spool` here; empty: the agent's, or memory where it has none"""
    spool_mebibytes: Annotated[int, msgspec.Meta(ge=1)] = 64
    """room for messages that wait; the oldest makes way, and is counted"""


def build(config: KafkaConfig, ledger: Ledger) -> "KafkaExporter":
    """:raises ConfigError: an address or a file cannot be used. Brokers that are away are no error"""
    settings = kafka.settings(config.connection, _PATH)
    from exporters.kafka.exporter import KafkaExporter

    return KafkaExporter(config, settings, Path(config.state_folder) / "spool" if config.state_folder else None, ledger)


def problems(config: KafkaConfig) -> tuple[str, ...]:
    return tuple(kafka.problems(config.connection, _PATH))


def probe(config: KafkaConfig) -> tuple[str, ...]:
    return kafka.probe(config.connection, _PATH, problems(config)) if config.enabled else ()


PLUGIN: Final = Plugin(
    name="kafka",
    summary="Counts of ticks and findings to Kafka, spooled while the brokers are away.",
    config=KafkaConfig,
    build=build,
    metrics=(*EXPORTED, health.QUEUE_LENGTH, health.QUEUE_SIZE, health.QUEUE_CAPACITY, health.QUEUE_AGE),
    roles=("run", "sidecar", "gateway", "detector"),
    problems=problems,
    probe=probe,
)
