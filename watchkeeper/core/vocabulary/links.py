"""The data links over which records of calls come: how late, how whole, how often twice, in which dialect."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric

LINK: Final = ("source", "k8s.namespace.name", "service.name")
"""one sender's way to watchkeeper: what its records came by, and whose they are"""
MODEL: Final = "gen_ai.request.model"
PART: Final = "part"
PARTS: Final = ("input_tokens", "output_tokens", "finish_reason", "text")
SCOPE: Final = "scope.name"
SCOPE_VERSION: Final = "scope.version"

DELAY: Final = Metric(
    "watchkeeper.link.delay", Kind.HISTOGRAM, "s",
    "Time from the end of a call to the arrival of a record of it; one for every record, also those of calls that were "
    "counted already.",
    LINK, (1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800),
)  # fmt: skip
AHEAD: Final = Metric(
    "watchkeeper.link.ahead", Kind.COUNTER, "{record}",
    "Records of calls that ended more than 2 s in the future: the sender's clock is ahead.", LINK,
)  # fmt: skip
CALLS: Final = Metric(
    "watchkeeper.link.calls", Kind.COUNTER, "{request}",
    "Calls that ended well, each counted once per link: what watchkeeper.link.parts is a share of.", (*LINK, MODEL),
)  # fmt: skip
HAVING: Final = Metric(
    "watchkeeper.link.parts", Kind.COUNTER, "{request}",
    "Calls that ended well whose records brought this part: input_tokens, output_tokens, finish_reason, text.",
    (*LINK, MODEL, PART),
)  # fmt: skip
REPEATED: Final = Metric(
    "watchkeeper.link.repeated", Kind.COUNTER, "{record}",
    "Records that came once more by the same way; counted once.", LINK,
)  # fmt: skip
SCHEMA: Final = Metric(
    "watchkeeper.link.schema", Kind.GAUGE, "",
    "Always 1; who wrote the records that come now: the instrumentation and its version.",
    (*LINK, SCOPE, SCOPE_VERSION),
)  # fmt: skip

METRICS: Final = (DELAY, AHEAD, CALLS, HAVING, REPEATED, SCHEMA)
