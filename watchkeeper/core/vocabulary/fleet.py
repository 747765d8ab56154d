"""Judging many sidecars' counts: what became of their records, and of the state that detectors keep."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric

RECORDS: Final = Metric(
    "watchkeeper.fleet.records", Kind.COUNTER, "{record}",
    "Tick records of sidecars, by what became of them: taken, late (counted in the next tick), duplicate, expired, "
    "foreign (another reference or tick length), unwatched (no reference), known (before what was restored).",
    ("outcome",),
)  # fmt: skip
STATES: Final = Metric(
    "watchkeeper.fleet.states", Kind.COUNTER, "{state}",
    "States of segments by what became of them: restored, refused (of another version: read again from the log), "
    "written.", ("outcome",),
)  # fmt: skip
SEGMENTS: Final = Metric("watchkeeper.fleet.segments", Kind.GAUGE, "{segment}", "Segments that are judged here.")
BEHIND: Final = Metric(
    "watchkeeper.fleet.unkept", Kind.GAUGE, "{record}",
    "Records judged since the last state that was handed over to be kept: read once more after a stop.",
)  # fmt: skip

METRICS: Final = (RECORDS, STATES, SEGMENTS, BEHIND)
