"""The store about itself: what it wrote, what waits, how large it is and how far it goes back."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric

KIND: Final = "kind"
OUTCOME: Final = "outcome"

RECORDS: Final = Metric(
    "watchkeeper.store.records", Kind.COUNTER, "{record}",
    "Records for the store by kind and what became of them: written, dropped (no room to wait), refused (by the "
    "database, for ever), removed (older than their retention).",
    (KIND, OUTCOME),
)  # fmt: skip
WAITING: Final = Metric(
    "watchkeeper.store.waiting", Kind.GAUGE, "{record}", "Findings and changes that wait to be written.",
)  # fmt: skip
SIZE: Final = Metric("watchkeeper.store.size", Kind.GAUGE, "By", "Size of the whole database.")
OLDEST: Final = Metric(
    "watchkeeper.store.oldest.timestamp", Kind.GAUGE, "s", "Unix time of the oldest record of a kind.", (KIND,),
)  # fmt: skip

METRICS: Final = (RECORDS, WAITING, SIZE, OLDEST)
