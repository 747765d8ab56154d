"""What the signals say of machines, services and data links."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric

SIGNAL: Final = "signal"
SUBJECT: Final = (
    "hw.id", "hw.name", "hw.vendor", "k8s.namespace.name", "k8s.pod.name", "service.name", "gen_ai.request.model",
    "server.address", "server.port", "link", "reason", "objective", "series",
)  # fmt: skip
"""what a signal judges: as many of these as name it"""

STATE: Final = Metric(
    "watchkeeper.signal.state", Kind.GAUGE, "",
    "What a signal says of its subject: 0 ok, 1 warn, 2 alarm; absent while it has too little to go by.",
    (SIGNAL, *SUBJECT),
)  # fmt: skip
SCORE: Final = Metric(
    "watchkeeper.signal.score", Kind.GAUGE, "",
    "The signal's number over its threshold: 1 and more raises it.", (SIGNAL, *SUBJECT),
)  # fmt: skip
FINDINGS: Final = Metric(
    "watchkeeper.findings", Kind.COUNTER, "{finding}", "Findings raised, by signal and severity.",
    (SIGNAL, "severity"),
)  # fmt: skip
UNWATCHED: Final = Metric(
    "watchkeeper.signal.unwatched", Kind.GAUGE, "{series}",
    "Series that a signal leaves out because it watches as many as its bound allows.", (SIGNAL,),
)  # fmt: skip

METRICS: Final = (STATE, SCORE, FINDINGS, UNWATCHED)
