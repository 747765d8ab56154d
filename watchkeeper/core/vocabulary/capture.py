"""Sampled capture of text: how much of it was written, and what was taken out of it first."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric

OUTCOME: Final = "outcome"
KIND: Final = "kind"

CALLS: Final = Metric(
    "watchkeeper.capture.calls", Kind.COUNTER, "{call}",
    "Calls drawn for capture, by what became of them: written, dropped (the file could not be written), withheld "
    "(written without a text that could not be redacted), failed.",
    (OUTCOME,),
)  # fmt: skip
REDACTED: Final = Metric(
    "watchkeeper.capture.redacted", Kind.COUNTER, "{hit}",
    "What was replaced in captured texts by a word for it, by kind.", (KIND,),
)  # fmt: skip

METRICS: Final = (CALLS, REDACTED)
