"""What drift detection says of its streams: verdict, evidence, means beside their bands, counts that replicas add."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric

SIGNAL: Final = "signal"
STREAM: Final = ("k8s.namespace.name", "service.name", "gen_ai.request.model", SIGNAL)
"""what is watched on its own: one signal of the answers that one service gets of one model"""
SCORE_NAME: Final = "score"
REFERENCE: Final = "reference"
"""two digits out of the reference's id: enough that counts of the one before are not added to those of the next"""
BIN: Final = "bin"
"""of a number 0 to 9, ten parts of about equal size; of a flag 0 and 1; of words the word, or `other`"""

STATE: Final = Metric(
    "watchkeeper.drift.state", Kind.GAUGE, "",
    "Whether a signal left the band around its approved reference: 0 no, 1 nearly, 2 yes; absent without reference.",
    STREAM,
)  # fmt: skip
SCORE: Final = Metric(
    "watchkeeper.drift.score", Kind.GAUGE, "",
    "Logarithm of the evidence against the reference over the alarm's threshold: 1 raises it.", STREAM,
)  # fmt: skip
VALUE: Final = Metric(
    "watchkeeper.drift.value", Kind.GAUGE, "",
    "Mean of a score over about the last hour: a share, or 0.5 where a number lies as in its reference.",
    (*STREAM, SCORE_NAME),
)  # fmt: skip
BAND_LOW: Final = Metric(
    "watchkeeper.drift.band_low", Kind.GAUGE, "", "Lower edge of the band in which a score's mean is left alone.",
    (*STREAM, SCORE_NAME),
)  # fmt: skip
BAND_HIGH: Final = Metric(
    "watchkeeper.drift.band_high", Kind.GAUGE, "", "Upper edge of the band in which a score's mean is left alone.",
    (*STREAM, SCORE_NAME),
)  # fmt: skip
ALARMS: Final = Metric(
    "watchkeeper.drift.alarms", Kind.COUNTER, "{alarm}", "Times a signal was found to have left its band.", STREAM,
)  # fmt: skip
OBSERVATIONS: Final = Metric(
    "watchkeeper.drift.observations", Kind.COUNTER, "{observation}",
    "What was observed of a signal, by bin of its reference: replicas add up, so distances come out of PromQL.",
    (*STREAM, REFERENCE, BIN),
)  # fmt: skip
REFERENCE_SHARE: Final = Metric(
    "watchkeeper.drift.reference_share", Kind.GAUGE, "1", "Share of the reference that lies in a bin.",
    (*STREAM, REFERENCE, BIN),
)  # fmt: skip
REFERENCE_TIME: Final = Metric(
    "watchkeeper.drift.reference_time", Kind.GAUGE, "s",
    "When the reference in use was made from observations, in unix seconds.", (*STREAM, REFERENCE),
)  # fmt: skip
REFERENCE_SIZE: Final = Metric(
    "watchkeeper.drift.reference_size", Kind.GAUGE, "{observation}", "Observations in the reference in use.",
    (*STREAM, REFERENCE),
)  # fmt: skip
STREAMS: Final = Metric(
    "watchkeeper.drift.streams", Kind.GAUGE, "{stream}",
    "Streams by state: warming (no approved reference), ok, warn, alarm.", ("state",),
)  # fmt: skip
EXPECTED: Final = Metric(
    "watchkeeper.drift.false_alarms_expected", Kind.COUNTER, "{alarm}",
    "False alarms that the promise allowed so far: one in the ticks of the promised days, over ticks with traffic.",
)  # fmt: skip
REFUSED: Final = Metric(
    "watchkeeper.drift.refused", Kind.COUNTER, "{reference}",
    "References and saved evidence that could not be used, by reason; the streams go on without.", ("reason",),
)  # fmt: skip
RECORDED: Final = Metric(
    "watchkeeper.drift.recorded", Kind.COUNTER, "{observation}",
    "Observations (numbers and words, never text) for proposing references from: kept on disk, or lost.", ("outcome",),
)  # fmt: skip
UNWATCHED: Final = Metric(
    "watchkeeper.drift.unwatched", Kind.COUNTER, "{record}",
    "Records of calls that are not watched: of services and models past drift.max_segments, without a reference.",
)  # fmt: skip

METRICS: Final = (
    STATE, SCORE, VALUE, BAND_LOW, BAND_HIGH, ALARMS, OBSERVATIONS, REFERENCE_SHARE, REFERENCE_TIME, REFERENCE_SIZE,
    STREAMS, EXPECTED, REFUSED, RECORDED, UNWATCHED,
)  # fmt: skip
