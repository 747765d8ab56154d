"""The pass-through in front of an engine, about itself. What it measures is in `requests` and `engines`."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric

NAME: Final = "service.name"

PASSED: Final = Metric(
    "watchkeeper.tap.passed", Kind.COUNTER, "{request}",
    "Requests that are no model call: passed on unmeasured.", (NAME,),
)  # fmt: skip
UNOBSERVED: Final = Metric(
    "watchkeeper.tap.unobserved", Kind.COUNTER, "{connection}",
    "Connections that passed on without being measured any further, by reason: upgraded, not_http, pipelined, fault, "
    "too_many.", (NAME, "reason"),
)  # fmt: skip
UNREAD: Final = Metric(
    "watchkeeper.tap.unread", Kind.COUNTER, "{message}",
    "What passed on but could not be read for measuring, or broke its protocol, by reason: request_too_large, "
    "request_malformed, no_model, answer_too_large, answer_malformed, encoding, event_too_large, event_malformed, "
    "no_done.", (NAME, "reason"),
)  # fmt: skip
UPSTREAM_FAILURES: Final = Metric(
    "watchkeeper.tap.upstream_failures", Kind.COUNTER, "{failure}",
    "Connections on which the upstream failed, by reason: unreachable, connect_timeout, bad_certificate, reset, "
    "closed.", (NAME, "reason"),
)  # fmt: skip
REFUSED: Final = Metric(
    "watchkeeper.tap.refused", Kind.COUNTER, "{connection}",
    "Client connections answered 503 because file descriptors or `max_connections` were used up.", (NAME,),
)  # fmt: skip
CONNECTIONS: Final = Metric(
    "watchkeeper.tap.connections", Kind.GAUGE, "{connection}", "Client connections open now.", (NAME,),
)  # fmt: skip
RELAYED: Final = Metric(
    "watchkeeper.tap.relayed", Kind.COUNTER, "By",
    "Bytes passed on, by direction: request, response.", (NAME, "direction"),
)  # fmt: skip

METRICS: Final = (PASSED, UNOBSERVED, UNREAD, UPSTREAM_FAILURES, REFUSED, CONNECTIONS, RELAYED)
