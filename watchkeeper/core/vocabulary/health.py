"""
watchkeeper about itself.

The ledger, per source: received = accepted + rejected, accepted = exported + ignored + dropped + held (queue.length).
"""

from typing import Final

from watchkeeper.core.metric import Kind, Metric

RECEIVED: Final = Metric(
    "watchkeeper.pipeline.received", Kind.COUNTER, "{item}",
    "Items that reached a source: spans, log records, data points, pages.", ("source", "signal"),
)  # fmt: skip
ACCEPTED: Final = Metric(
    "watchkeeper.pipeline.accepted", Kind.COUNTER, "{item}", "Items taken in and acknowledged.", ("source", "signal"),
)  # fmt: skip
REJECTED: Final = Metric(
    "watchkeeper.pipeline.rejected", Kind.COUNTER, "{item}",
    "Items refused with the protocol's own answer, by reason.", ("source", "signal", "reason"),
)  # fmt: skip
REFUSED_REQUESTS: Final = Metric(
    "watchkeeper.pipeline.refused.requests", Kind.COUNTER, "{request}",
    "Whole requests refused before their items could be counted, by reason.", ("source", "signal", "reason"),
)  # fmt: skip
TAKEN_REQUESTS: Final = Metric(
    "watchkeeper.pipeline.taken.requests", Kind.COUNTER, "{request}",
    "Requests taken in, whole or but for some of their items.", ("source", "signal"),
)  # fmt: skip
IGNORED: Final = Metric(
    "watchkeeper.pipeline.ignored", Kind.COUNTER, "{item}",
    "Accepted items that carry nothing to measure, by reason: not_genai, duplicate, same_call.",
    ("source", "signal", "reason"),
)  # fmt: skip
DROPPED: Final = Metric(
    "watchkeeper.pipeline.dropped", Kind.COUNTER, "{item}",
    "Accepted items lost, by reason. Anything above 0 deserves a look.", ("source", "reason"),
)  # fmt: skip
EXPORTED: Final = Metric(
    "watchkeeper.pipeline.exported", Kind.COUNTER, "{item}", "Accepted items that reached the metrics.", ("source",),
)  # fmt: skip
INVALID_VALUES: Final = Metric(
    "watchkeeper.pipeline.invalid_values", Kind.COUNTER, "{value}",
    "Numbers left out because they cannot be right (NaN, negative duration, wrong type), by field, as often as they "
    "are received: twice of a record that comes twice.",
    ("source", "field"),
)  # fmt: skip
CALLS_FORGOTTEN: Final = Metric(
    "watchkeeper.calls.forgotten", Kind.COUNTER, "{span}",
    "Spans forgotten before their 120 s because the memory of recent calls is full: calls that arrive twice may be "
    "counted twice.", ("source",),
)  # fmt: skip
LAST_RECORD: Final = Metric(
    "watchkeeper.pipeline.last_record.timestamp", Kind.GAUGE, "s",
    "Unix time at which the source last brought something.", ("source",),
)  # fmt: skip
QUEUE_LENGTH: Final = Metric(
    "watchkeeper.queue.length", Kind.GAUGE, "{item}", "Accepted items held in a queue.", ("queue",),
)  # fmt: skip
QUEUE_SIZE: Final = Metric("watchkeeper.queue.size", Kind.GAUGE, "By", "Bytes held in a queue.", ("queue",))
QUEUE_CAPACITY: Final = Metric(
    "watchkeeper.queue.capacity", Kind.GAUGE, "By",
    "Bytes a queue may hold before its senders are refused.", ("queue",),
)  # fmt: skip
QUEUE_AGE: Final = Metric(
    "watchkeeper.queue.age", Kind.GAUGE, "s",
    "How long the oldest item of a queue has been held: how far its reader is behind. 0 when it is empty.", ("queue",),
)  # fmt: skip
SIGNAL_FAILURES: Final = Metric(
    "watchkeeper.signal.failures", Kind.COUNTER, "{failure}", "A signal that failed, by reason; it is asked again.",
    ("signal", "reason"),
)  # fmt: skip
SOURCE_UP: Final = Metric(
    "watchkeeper.source.up", Kind.GAUGE, "", "1 when the source's last read succeeded, else 0.", ("source",),
)  # fmt: skip
SOURCE_FAILURES: Final = Metric(
    "watchkeeper.source.failures", Kind.COUNTER, "{failure}", "Failed reads, by kind of error.", ("source", "reason"),
)  # fmt: skip
SOURCE_READ_TIME: Final = Metric(
    "watchkeeper.source.read_time", Kind.COUNTER, "s", "Wall time spent reading a source.", ("source",),
)  # fmt: skip
EXPORTER_UP: Final = Metric(
    "watchkeeper.exporter.up", Kind.GAUGE, "", "1 when the exporter's last write succeeded, else 0.", ("exporter",),
)  # fmt: skip
EXPORTER_FAILURES: Final = Metric(
    "watchkeeper.exporter.failures", Kind.COUNTER, "{failure}",
    "Failed writes, by kind of error.", ("exporter", "reason"),
)  # fmt: skip
GAPS: Final = Metric(
    "watchkeeper.gaps", Kind.COUNTER, "{gap}", "Numbers that should have been there, by reason.", ("source", "reason"),
)  # fmt: skip
SERIES: Final = Metric("watchkeeper.series", Kind.GAUGE, "{series}", "Series held now.")
SERIES_FOLDED: Final = Metric(
    "watchkeeper.series.folded", Kind.COUNTER, "{series}",
    "Series that became `other`, or for gauges were left out, because the series limit is reached; each once, however "
    "often it comes.",
)  # fmt: skip
PIPELINE_FAILURES: Final = Metric(
    "watchkeeper.pipeline.failures", Kind.COUNTER, "{failure}",
    "Readings or ticks that the pipeline failed on, by kind of error.", ("reason",),
)  # fmt: skip
LABEL_VALUES: Final = Metric(
    "watchkeeper.labels.values", Kind.GAUGE, "{value}", "Distinct values admitted for a label.", ("label",),
)  # fmt: skip
LABEL_OVERFLOW: Final = Metric(
    "watchkeeper.labels.overflow", Kind.COUNTER, "{series}",
    "Series of which the label's value became `other` because the label's bound is reached; each once, however often "
    "it comes.", ("label",),
)  # fmt: skip
STEPS_DROPPED: Final = Metric(
    "watchkeeper.steps.dropped", Kind.COUNTER, "{step}",
    "Steps of watchkeeper's own work that left no trace though they should have, because too many waited.",
)  # fmt: skip
BUILD_INFO: Final = Metric(
    "watchkeeper.build.info", Kind.GAUGE, "", "Always 1; the version is the label.", ("version", "role"),
)  # fmt: skip
CPU_TIME: Final = Metric("process.cpu.time", Kind.COUNTER, "s", "Processor time of watchkeeper itself.")
MEMORY: Final = Metric("process.memory.usage", Kind.GAUGE, "By", "Resident memory of watchkeeper itself.")
START_TIME: Final = Metric("process.start.time", Kind.GAUGE, "s", "Unix time at which watchkeeper started.")

METRICS: Final = (
    RECEIVED, ACCEPTED, REJECTED, REFUSED_REQUESTS, TAKEN_REQUESTS, IGNORED, DROPPED, EXPORTED, INVALID_VALUES,
    CALLS_FORGOTTEN, LAST_RECORD, QUEUE_LENGTH, QUEUE_SIZE, QUEUE_CAPACITY, QUEUE_AGE, SOURCE_UP, SOURCE_FAILURES,
    SOURCE_READ_TIME, EXPORTER_UP, EXPORTER_FAILURES, GAPS, SERIES, SERIES_FOLDED, PIPELINE_FAILURES, LABEL_VALUES,
    LABEL_OVERFLOW, SIGNAL_FAILURES, STEPS_DROPPED, BUILD_INFO, CPU_TIME, MEMORY, START_TIME,
)  # fmt: skip
