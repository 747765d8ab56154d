"""Kafka read: what sidecars counted, for a detector, and logs of calls that others write."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from watchkeeper.core import kafka
from watchkeeper.core.call_fields import FIELDS
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.kafka import Connection
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import health
from watchkeeper.core.vocabulary.kafka import READ

if TYPE_CHECKING:
    from collector.kafka.source import KafkaSource

_PATH: Final = "kafka.connection"
Topic = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9._-]{1,249}$")]


class CallsTopic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A topic of calls, a JSON object each. What usual names do not find, `fields` says."""

    topic: Topic = "calls"
    """its name"""
    fields: dict[str, str] = {}
    """field of a call to its path in a message, such as `input_tokens: usage.prompt_tokens`"""
    service: str = ""
    """of calls that tell none"""


class KafkaConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Topics that are read. See docs/fleet.md."""

    enabled: bool = False
    """read them"""
    connection: Connection = Connection()
    """brokers"""
    group: str = "watchkeeper"
    """consumer group: its members share the partitions"""
    member: str = ""
    """name of this member, which keeps its partitions over a short restart; for pods with names that stay"""
    ticks: bool = True
    """read what sidecars counted; a detector's work"""
    ticks_topic: Topic = "watchkeeper.ticks"
    """topic of the counts"""
    state_topic: Topic = "watchkeeper.state"
    """compacted topic with as many partitions, where detectors keep their evidence"""
    dead_topic: Topic = "watchkeeper.dead"
    """topic that is told which messages could not be read, and why; never what is in them"""
    calls: tuple[CallsTopic, ...] = ()
    """topics of calls that others write"""
    session_seconds: Annotated[float, msgspec.Meta(ge=6, le=300)] = 10.0
    """a member that is not heard of for so long loses its partitions"""


def build(config: KafkaConfig, ledger: Ledger) -> "KafkaSource":
    """:raises ConfigError: an address or a file cannot be used. Brokers that are away are no error"""
    settings = kafka.settings(config.connection, _PATH)
    from collector.kafka.source import KafkaSource

    return KafkaSource(config, settings, ledger)


def problems(config: KafkaConfig) -> tuple[str, ...]:
    return (*kafka.problems(config.connection, _PATH), *_wrong_topics(config))


def _wrong_topics(config: KafkaConfig) -> Iterator[str]:
    if not (config.ticks or config.calls):
        yield "kafka: nothing is read; set kafka.ticks: true or name topics in kafka.calls"
    for place, one in enumerate(config.calls):
        for name in sorted(one.fields.keys() - set(FIELDS)):
            yield f"kafka.calls[{place}].fields.{name}: no field of a call; known are {', '.join(FIELDS)}"
    names = [one.topic for one in config.calls] + [config.ticks_topic, config.state_topic, config.dead_topic]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"kafka: '{name}' is named for two purposes; give each a topic of its own"


def probe(config: KafkaConfig) -> tuple[str, ...]:
    return kafka.probe(config.connection, _PATH, problems(config)) if config.enabled else ()


PLUGIN: Final = Plugin(
    name="kafka",
    summary="What sidecars counted, for detectors, and logs of calls as JSON, read from Kafka.",
    config=KafkaConfig,
    build=build,
    metrics=(
        *READ, health.RECEIVED, health.ACCEPTED, health.REJECTED, health.QUEUE_LENGTH, health.QUEUE_AGE,
        health.INVALID_VALUES,
    ),
    roles=("run", "gateway", "detector"),
    interval_seconds=lambda _: 0.0,
    problems=problems,
    probe=probe,
)  # fmt: skip
