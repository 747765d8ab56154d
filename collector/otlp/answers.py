"""What OTLP senders are told: success, partial success, and every refusal in the protocol's own words. Pure."""

import json
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from collector.otlp.intake import Encoding, Overloaded, Refused, Signal, Taken, TooMany
from watchkeeper.core.errors import WatchkeeperError

MAX_MESSAGE_CHARACTERS: Final = 1000
"""keeps every answer far below the 4 MiB that senders must be able to read"""


class Refusal(msgspec.Struct, frozen=True):
    """
    One way of saying no.

    `reason` is a label value, `rpc_code` a google.rpc.Code, `message` goes to the sender, `advice` into the
    operator's log. `retry`: the sender keeps the data and comes back, after the delay it is told.
    """

    reason: str
    http_status: int
    rpc_code: int
    message: str
    advice: str
    retry: bool = False

    def saying(self, message: str) -> "Refusal":
        """The same with words that fit this one case."""
        return msgspec.structs.replace(self, message=message)


class Declined(WatchkeeperError):  # noqa: N818 - an answer, not a fault of ours
    """Raised where a receiver finds that it must refuse."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


TOO_LARGE: Final = Refusal(
    "too_large", 413, code_pb2.RESOURCE_EXHAUSTED, "the request is too large",
    "raise otlp.max_body_bytes or lower the sender's batch size",
)  # fmt: skip
TOO_MANY_ITEMS: Final = Refusal(
    "too_many_items", 413, code_pb2.RESOURCE_EXHAUSTED, "the request holds too many items",
    "raise otlp.max_items_per_request or lower the sender's batch size",
)  # fmt: skip
UNDECODABLE: Final = Refusal(
    "undecodable", 400, code_pb2.INVALID_ARGUMENT, "the body is not what its headers say",
    "something that is not OTLP sends here, or its protocol setting does not match the port",
)  # fmt: skip
TOO_DEEP: Final = Refusal(
    "too_deep", 400, code_pb2.INVALID_ARGUMENT, "values are nested too deeply",
    "a sender's attributes hold lists within lists beyond reason; find out what it records",
)  # fmt: skip
MALFORMED: Final = Refusal(
    "malformed", 400, code_pb2.INVALID_ARGUMENT, "this is not valid HTTP",
    "something that is not an OTLP/HTTP sender talks to otlp.http_port (TLS or gRPC on the wrong port?)",
)  # fmt: skip
UNSUPPORTED_TYPE: Final = Refusal(
    "unsupported_type", 415, code_pb2.INVALID_ARGUMENT,
    "Content-Type must be application/x-protobuf or application/json",
    "set the sender's protocol to http/protobuf or http/json",
)  # fmt: skip
UNSUPPORTED_ENCODING: Final = Refusal(
    "unsupported_encoding", 415, code_pb2.UNIMPLEMENTED, "Content-Encoding must be gzip, deflate or absent",
    "set the sender's compression to gzip, deflate or none",
)  # fmt: skip
TIMEOUT: Final = Refusal(
    "timeout", 408, code_pb2.DEADLINE_EXCEEDED, "the request did not arrive in time",
    "the network or the sender is slow; raise otlp.request_timeout_seconds if that is normal here",
)  # fmt: skip
INCOMPLETE: Final = Refusal(
    "incomplete", 400, code_pb2.INVALID_ARGUMENT, "no whole message arrived",
    "the sender gave up half-way, or sent a gRPC message larger than otlp.max_body_bytes",
)  # fmt: skip
OVERLOADED: Final = Refusal(
    "overloaded", 503, code_pb2.UNAVAILABLE, "too much is being received at once; retry later",
    "senders retry; raise otlp.max_in_flight_bytes, otlp.max_connections or otlp.max_concurrent_rpcs if it lasts",
    retry=True,
)  # fmt: skip
QUEUE_FULL: Final = Refusal(
    "queue_full", 503, code_pb2.UNAVAILABLE, "the queue is full; retry later",
    "senders retry; give watchkeeper more processor time or raise otlp.queue_capacity_bytes if it lasts",
    retry=True,
)  # fmt: skip
SHUTTING_DOWN: Final = Refusal(
    "shutting_down", 503, code_pb2.UNAVAILABLE, "shutting down; retry later",
    "senders retry; nothing to do", retry=True,
)  # fmt: skip
BAD_PATH: Final = Refusal(
    "bad_path", 404, code_pb2.NOT_FOUND, "no such path: POST to /v1/traces, /v1/metrics or /v1/logs",
    "set the sender's endpoint to the bare address; SDKs append /v1/traces themselves",
)  # fmt: skip
BAD_METHOD: Final = Refusal(
    "bad_method", 405, code_pb2.UNIMPLEMENTED, "only POST is taken here", "something that is no sender asks this port",
)  # fmt: skip
UNAUTHENTICATED: Final = Refusal(
    "unauthenticated", 401, code_pb2.UNAUTHENTICATED, "a known token is needed",
    "set OTEL_EXPORTER_OTLP_HEADERS of the sender to authorization=Bearer%20 and a token of otlp.token_file",
)  # fmt: skip
INTERNAL: Final = Refusal(
    "internal", 500, code_pb2.INTERNAL, "internal error", "a fault of watchkeeper's; please report it",
)  # fmt: skip

OF_A_SIGNAL: Final = (
    TOO_LARGE, TOO_MANY_ITEMS, TOO_DEEP, UNDECODABLE, UNSUPPORTED_TYPE, UNSUPPORTED_ENCODING, TIMEOUT, INCOMPLETE,
    OVERLOADED, QUEUE_FULL, SHUTTING_DOWN, BAD_METHOD, UNAUTHENTICATED, INTERNAL,
)  # fmt: skip
"""what can happen once it is known which signal a request is for"""
OF_NO_SIGNAL: Final = (BAD_PATH, MALFORMED, TIMEOUT, OVERLOADED, UNAUTHENTICATED, INTERNAL)
"""what can happen before that"""

_BY_REASON: Final = {refusal.reason: refusal for refusal in OF_A_SIGNAL}
_BY_KIND: Final = ((Overloaded, OVERLOADED), (TooMany, TOO_MANY_ITEMS))


def refusal_of(error: Refused) -> Refusal:
    """How to say what the intake refused: by its reason, else by the kind of refusal it is."""
    kind = next((refusal for cause, refusal in _BY_KIND if isinstance(error, cause)), UNDECODABLE)
    known = _BY_REASON.get(error.reason) or msgspec.structs.replace(kind, reason=error.reason)
    words = str(error)
    return known if words in ("", error.reason) else known.saying(words)


def accepted(signal: Signal, encoding: Encoding, taken: Taken) -> bytes:
    """Export…ServiceResponse; `partial_success` only when something was rejected or there is a warning."""
    if not taken.rejected and not taken.message:
        return b"{}" if encoding is Encoding.JSON else b""
    message = taken.message[:MAX_MESSAGE_CHARACTERS]
    if encoding is Encoding.JSON:
        counts = {_REJECTED_KEY[signal]: str(taken.rejected)} if taken.rejected else {}
        return json.dumps({"partialSuccess": {**counts, "errorMessage": message}}).encode()
    return _PARTIAL[signal](taken.rejected, message)


def refused(encoding: Encoding, refusal: Refusal, retry_seconds: float) -> bytes:
    """google.rpc.Status, for the body of every 4xx and 5xx."""
    if encoding is Encoding.PROTOBUF:
        return _status(refusal, retry_seconds).SerializeToString()
    body: dict[str, object] = {"code": refusal.rpc_code, "message": refusal.message[:MAX_MESSAGE_CHARACTERS]}
    if refusal.retry:
        kind = "type.googleapis.com/google.rpc.RetryInfo"
        body["details"] = [{"@type": kind, "retryDelay": f"{retry_seconds:.3f}s"}]
    return json.dumps(body).encode()


def trailers(refusal: Refusal, retry_seconds: float) -> tuple[tuple[str, bytes], ...]:
    """gRPC trailing metadata: the retry advice under the key that Python reads and the one that Go and Java read."""
    if not refusal.retry:
        return ()
    return (
        ("google.rpc.retryinfo-bin", _retry_info(retry_seconds).SerializeToString()),
        ("grpc-status-details-bin", _status(refusal, retry_seconds).SerializeToString()),
    )


def _status(refusal: Refusal, retry_seconds: float) -> Status:
    status = Status(code=refusal.rpc_code, message=refusal.message[:MAX_MESSAGE_CHARACTERS])
    if refusal.retry:
        detail = AnyMessage()
        detail.Pack(_retry_info(retry_seconds))
        status.details.append(detail)
    return status


def _retry_info(seconds: float) -> RetryInfo:
    delay = Duration()
    delay.FromMilliseconds(round(seconds * 1000))
    return RetryInfo(retry_delay=delay)


def _partial_traces(rejected: int, message: str) -> bytes:
    partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return ExportTraceServiceResponse(partial_success=partial).SerializeToString()


def _partial_metrics(rejected: int, message: str) -> bytes:
    partial = ExportMetricsPartialSuccess(rejected_data_points=rejected, error_message=message)
    return ExportMetricsServiceResponse(partial_success=partial).SerializeToString()


def _partial_logs(rejected: int, message: str) -> bytes:
    partial = ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=message)
    return ExportLogsServiceResponse(partial_success=partial).SerializeToString()


_PARTIAL: Final[Mapping[Signal, Callable[[int, str], bytes]]] = {
    Signal.TRACES: _partial_traces,
    Signal.METRICS: _partial_metrics,
    Signal.LOGS: _partial_logs,
}
_REJECTED_KEY: Final = {
    Signal.TRACES: "rejectedSpans",
    Signal.METRICS: "rejectedDataPoints",
    Signal.LOGS: "rejectedLogRecords",
}
