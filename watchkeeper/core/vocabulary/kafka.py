"""Kafka, as the exporter fills it and the source reads it."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric

SENT: Final = Metric(
    "watchkeeper.kafka.sent", Kind.COUNTER, "{message}", "Messages that the brokers acknowledged.", ("topic",),
)  # fmt: skip
SENT_SIZE: Final = Metric(
    "watchkeeper.kafka.sent.size", Kind.COUNTER, "By", "Their bytes before compression.", ("topic",),
)  # fmt: skip
DROPPED: Final = Metric(
    "watchkeeper.kafka.dropped", Kind.COUNTER, "{message}",
    "Messages lost before they were sent, by reason: full (the oldest made room), refused (by the brokers), damaged, "
    "shutdown (they waited in memory).",
    ("reason",),
)  # fmt: skip
CONNECTED: Final = Metric(
    "watchkeeper.kafka.connected", Kind.GAUGE, "", "1 when the brokers answered last, else 0.", ("client",),
)  # fmt: skip
ERRORS: Final = Metric(
    "watchkeeper.kafka.errors", Kind.COUNTER, "{error}", "What went wrong with the brokers, by kind.",
    ("client", "reason"),
)  # fmt: skip
LAG: Final = Metric(
    "watchkeeper.kafka.lag", Kind.GAUGE, "{message}", "Messages of a partition that were not read yet.",
    ("topic", "partition"),
)  # fmt: skip
PARTITIONS: Final = Metric(
    "watchkeeper.kafka.partitions", Kind.GAUGE, "{partition}", "Partitions that are read here.", ("group", "topic"),
)  # fmt: skip
TOPIC_PARTITIONS: Final = Metric(
    "watchkeeper.kafka.topic.partitions", Kind.GAUGE, "{partition}",
    "Partitions that the topic has: the members of the group read so many together, or some are read by nobody.",
    ("group", "topic"),
)  # fmt: skip
REBALANCES: Final = Metric(
    "watchkeeper.kafka.rebalances", Kind.COUNTER, "{partition}",
    "Partitions that came and went, by event: assigned, revoked, lost.", ("event",),
)  # fmt: skip
DEAD: Final = Metric(
    "watchkeeper.kafka.dead_letters", Kind.COUNTER, "{message}",
    "Messages that could not be read, by reason; where they lie is told to the dead-letter topic.", ("topic", "reason"),
)  # fmt: skip
MISSED: Final = Metric(
    "watchkeeper.kafka.missed", Kind.COUNTER, "{message}",
    "Messages that the brokers deleted before they were read.", ("topic",),
)  # fmt: skip

EXPORTED: Final = (SENT, SENT_SIZE, DROPPED, CONNECTED, ERRORS)
READ: Final = (CONNECTED, ERRORS, LAG, PARTITIONS, TOPIC_PARTITIONS, REBALANCES, DEAD, MISSED)
METRICS: Final = (
    SENT, SENT_SIZE, DROPPED, CONNECTED, ERRORS, LAG, PARTITIONS, TOPIC_PARTITIONS, REBALANCES, DEAD, MISSED,
)  # fmt: skip
