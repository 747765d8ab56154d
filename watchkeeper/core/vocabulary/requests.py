"""One model call, seen by its caller or by the engine."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.vocabulary import buckets

WHO: Final = ("k8s.namespace.name", "k8s.pod.name", "service.name", "tenant")
"""whose call: resource attributes promoted to labels, since one watchkeeper serves many services"""
WHAT: Final = (
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.model",
    "server.address",
    "server.port",
)
CALL: Final = (*WHO, *WHAT)
VANTAGE: Final = "watchkeeper.vantage"
ROLE: Final = "watchkeeper.engine.role"
"""prefill, decode, unified, dynamic: engines that share each request count it once per role"""
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - a label's name
ERROR_TYPE: Final = "error.type"
STREAM: Final = "gen_ai.request.stream"
"""whether the answer was streamed: on what differs by it, and only where it is told"""

CLIENT_DURATION: Final = Metric(
    "gen_ai.client.operation.duration", Kind.HISTOGRAM, "s",
    "Duration of a GenAI operation as its caller saw it.", (*CALL, ERROR_TYPE), buckets.DURATION,
)  # fmt: skip
CLIENT_FIRST_CHUNK: Final = Metric(
    "gen_ai.client.operation.time_to_first_chunk", Kind.HISTOGRAM, "s",
    "Time from the request to the first chunk as the caller of a streamed call saw it.", CALL, buckets.DURATION,
)  # fmt: skip
CLIENT_PER_CHUNK: Final = Metric(
    "gen_ai.client.operation.time_per_output_chunk", Kind.HISTOGRAM, "s",
    "Time between two chunks after the first, as the caller of a streamed call saw it.", CALL, buckets.DURATION,
)  # fmt: skip
CLIENT_TOKEN_USAGE: Final = Metric(
    "gen_ai.client.token.usage", Kind.HISTOGRAM, "{token}",
    "Input and output tokens of one call. For percentiles; for totals use watchkeeper.tokens.",
    (*CALL, VANTAGE, ROLE, TOKEN_TYPE), buckets.TOKENS,
)  # fmt: skip
SERVER_DURATION: Final = Metric(
    "gen_ai.server.request.duration", Kind.HISTOGRAM, "s",
    "Duration of a request at the model server, or the nearest measurement there is (see watchkeeper.vantage).",
    (*CALL, VANTAGE, ROLE, ERROR_TYPE), buckets.DURATION,
)  # fmt: skip
SERVER_FIRST_TOKEN: Final = Metric(
    "gen_ai.server.time_to_first_token", Kind.HISTOGRAM, "s",
    "Time to the first token of a successful request: queue and prefill. Some engines see it late where they do not "
    "stream; where one tells those apart they carry gen_ai.request.stream=false.",
    (*CALL, VANTAGE, ROLE, STREAM), buckets.FIRST_TOKEN,
)  # fmt: skip
SERVER_PER_TOKEN: Final = Metric(
    "gen_ai.server.time_per_output_token", Kind.HISTOGRAM, "s",
    "(duration - time to first token) / (output tokens - 1) of a successful request.",
    (*CALL, VANTAGE, ROLE), buckets.PER_TOKEN,
)  # fmt: skip
REQUESTS: Final = Metric(
    "watchkeeper.requests", Kind.COUNTER, "{request}",
    "Finished model calls, each counted once however many observers reported it.", (*CALL, "outcome"),
)  # fmt: skip
TOKENS: Final = Metric(
    "watchkeeper.tokens", Kind.COUNTER, "{token}",
    "Tokens by type. cache_read and cache_write are parts of input, reasoning is part of output: never add them.",
    (*CALL, TOKEN_TYPE),
)  # fmt: skip
TOKENS_ESTIMATED: Final = Metric(
    "watchkeeper.tokens.estimated", Kind.COUNTER, "{token}",
    "The part of watchkeeper.tokens that was counted from the chunks of a stream, because nobody reported usage.",
    (*CALL, TOKEN_TYPE),
)  # fmt: skip
IN_FLIGHT: Final = Metric(
    "watchkeeper.requests.in_flight", Kind.GAUGE, "{request}",
    "Model calls under way, as the pass-through in front of the engine sees them.",
    ("service.name", "gen_ai.provider.name", "gen_ai.request.model", "server.address", "server.port"),
)  # fmt: skip
FINISH_REASONS: Final = Metric(
    "watchkeeper.requests.finish_reasons", Kind.COUNTER, "{choice}",
    "Finish reasons of answers: stop, length, content_filter, tool_call, error, abort, repetition, compaction, other.",
    (*CALL, "gen_ai.response.finish_reason"),
)  # fmt: skip

METRICS: Final = (
    CLIENT_DURATION, CLIENT_FIRST_CHUNK, CLIENT_PER_CHUNK, CLIENT_TOKEN_USAGE,
    SERVER_DURATION, SERVER_FIRST_TOKEN, SERVER_PER_TOKEN, REQUESTS, TOKENS, TOKENS_ESTIMATED,
    IN_FLIGHT, FINISH_REASONS,
)  # fmt: skip
