"""Senders and pages with a mark wherever text can stand."""

import base64
import gzip
import http.client
import http.server
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from collector.otlp import fields
from watchkeeper.core.testkit import RunningWatchkeeper

Put = Callable[[str], str]
NAMES = {
    "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_system", "llm_provider", "llm_system", "ai_model_provider",
    "gen_ai_request_model", "llm_request_model_name", "ai_model_id", "gen_ai_response_model", "llm_response_model_name",
    "llm_model_name", "ai_response_model", "langfuse_observation_model_name", "embedding_model_name",
    "mlflow_llm_model", "mlflow_llm_provider", "server_address", "error_type", "gen_ai_agent_name", "agent_name",
    "gen_ai_tool_name", "tool_name", "ai_toolcall_name", "model", "gen_ai_workflow_name", "traceloop_entity_name",
    "gen_ai_evaluation_name", "gen_ai_evaluation_score_label", "logfire_feedback_name", "logfire_feedback_value",
    "gen_ai_openai_api_base", "engine_model", "tap_model", "kafka_model",
}  # fmt: skip
"""what may leave: the conventions call it a name"""
BASE: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"}
UNKNOWN = (
    "user.id", "enduser.id", "url.full", "url.query", "http.request.header.authorization", "db.query.text",
    "exception.message", "exception.stacktrace", "gen_ai.tool.call.arguments", "gen_ai.tool.call.result",
    "gen_ai.evaluation.explanation", "gen_ai.conversation.id", "process.command_line",
    "retrieval.documents.0.document.content", "reranker.query",
)  # fmt: skip
SIGNALS = {
    "traces": (ExportTraceServiceRequest, "trace.v1.TraceService"),
    "logs": (ExportLogsServiceRequest, "logs.v1.LogsService"),
    "metrics": (ExportMetricsServiceRequest, "metrics.v1.MetricsService"),
}


def any_value(value: Any) -> AnyValue:
    if isinstance(value, dict):
        inner = [KeyValue(key=key, value=any_value(one)) for key, one in value.items()]
        return AnyValue(kvlist_value={"values": inner})  # type: ignore[arg-type]
    kind = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}[type(value)]
    return AnyValue(**{kind: value})


def attributes(values: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def messages(put: Put, side: str) -> str:
    """A conversation with a mark in every part that the conventions know, and the canary."""
    parts = [
        {"type": "text", "content": put("canary")},
        {"type": "text", "content": put(f"{side}.text")},
        {"type": "reasoning", "content": put(f"{side}.reasoning")},
        {
            "type": "tool_call",
            "id": put(f"{side}.call.id"),
            "name": "look",
            "arguments": {"q": put(f"{side}.arguments")},
        },
        {"type": "tool_call_response", "id": "c", "response": put(f"{side}.result")},
        {"type": "uri", "uri": put(f"{side}.uri")},
    ]
    said = {"role": "user", "parts": parts, "finish_reason": put(f"{side}.finish"), "content": put(f"{side}.content")}
    return json.dumps([said, {"role": "tool", "parts": parts}, {"role": "system", "content": put(f"{side}.system")}])


def values_of_calls(put: Put) -> Iterator[dict[str, Any]]:
    """The attributes of spans: every one that is read, in turn, and all kinds that are not."""
    text = [name for row in fields.TABLE for name in row.names]
    text += [
        f"gen_ai.{side}.0.{part}" for side in ("prompt", "completion") for part in ("content", "role", "finish_reason")
    ]
    text += [f"gen_ai.completion.0.tool_calls.0.{part}" for part in ("name", "arguments")]
    text += [f"llm.{side}_messages.0.message.content" for side in ("input", "output")]
    text += ["llm.prompts.0.prompt.text", "llm.choices.0.completion.text", "embedding.embeddings.0.embedding.text"]
    for name in text:
        yield BASE | {name: put(name)}
        if re.sub("[^a-z0-9]", "_", name.lower()) not in NAMES:
            yield BASE | {"gen_ai.usage.input_tokens": 10, name: messages(put, f"json.{name}")}
    marked = {name: put(name) for name in UNKNOWN}
    yield {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": put("gen_ai.tool.name")} | marked
    yield {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": put("gen_ai.agent.name")} | marked
    talk = {"gen_ai.input.messages": messages(put, "in"), "gen_ai.output.messages": messages(put, "out")}
    offered = {"gen_ai.tool.definitions": json.dumps([{"name": "look", "description": put("tool.description")}])}
    schema = {"llm.invocation_parameters": json.dumps({"response_format": {"json_schema": {"schema": put("schema")}}})}
    yield (
        BASE | marked | talk | offered | schema | {"gen_ai.usage.input_tokens": 4_000, "gen_ai.usage.output_tokens": 9}
    )


class Sending:
    """The same calls again get other ids, so that none passes for one that was seen."""

    def __init__(self, put: Put) -> None:
        self.put = put
        self.number = 0

    def traces(self) -> ExportTraceServiceRequest:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add(schema_url=self.put("schema_url"))
        resource.resource.attributes.extend(attributes({"service.name": "shop", "host.name": self.put("host.name")}))
        scope = resource.scope_spans.add()
        now = time.time_ns()
        for values in values_of_calls(self.put):
            self.number += 1
            span = scope.spans.add(
                trace_id=self.number.to_bytes(16, "big"), span_id=self.number.to_bytes(8, "big"), name="chat m",
                kind=3, start_time_unix_nano=now - 2_000_000_000, end_time_unix_nano=now,
                trace_state=self.put("trace_state"),
            )  # fmt: skip
            span.attributes.extend(attributes(values))
            span.status.code = 2  # type: ignore[assignment]
            span.status.message = self.put("status.message")
            for event, said in self.events():
                span.events.add(name=event, time_unix_nano=now).attributes.extend(attributes(said))
            span.links.add(trace_id=b"l" * 16, span_id=b"l" * 8).attributes.extend(attributes({"x": self.put("link")}))
        return request

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        put = self.put
        yield "exception", {f"exception.{part}": put(f"event.{part}") for part in ("message", "stacktrace")}
        yield "gen_ai.content.prompt", {"gen_ai.prompt": put("event.prompt")}
        yield "gen_ai.content.completion", {"gen_ai.completion": put("event.completion")}
        for name in ("system", "user", "assistant", "tool"):
            yield f"gen_ai.{name}.message", {"content": put(f"event.{name}"), "id": put("event.id")}
        yield "gen_ai.choice", {"message": json.dumps({"content": put("event.choice")}), "finish_reason": "stop"}
        names = {name: put(name) for name in ("gen_ai.evaluation.name", "gen_ai.evaluation.score.label")}
        judged = names | {"gen_ai.evaluation.score.value": 0.5}
        yield "gen_ai.evaluation.result", judged | {"gen_ai.evaluation.explanation": put("event.explanation")}
        yield put("event.name"), {"x": put("event.other")}

    def logs(self) -> ExportLogsServiceRequest:
        request = ExportLogsServiceRequest()
        resource = request.resource_logs.add()
        resource.resource.attributes.extend(attributes({"service.name": "shop"}))
        scope = resource.scope_logs.add()
        details = (
            "gen_ai.client.inference.operation.details",
            BASE | {"gen_ai.input.messages": messages(self.put, "log")},
        )
        for event, said in (*self.events(), details):
            for body in (
                self.put("body"),
                {"content": self.put("body.content"), "message": {"content": self.put("body.m")}},
            ):
                self.number += 1
                record = scope.log_records.add(
                    time_unix_nano=time.time_ns(), severity_number=17, severity_text=self.put("severity"),
                    event_name=event,
                    trace_id=self.number.to_bytes(16, "big"), span_id=self.number.to_bytes(8, "big"),
                )  # fmt: skip
                record.body.CopyFrom(any_value(body))
                record.attributes.extend(attributes(said | {"exception.message": self.put("log.exception")}))
        return request

    def metrics(self) -> ExportMetricsServiceRequest:
        request = ExportMetricsServiceRequest()
        resource = request.resource_metrics.add()
        resource.resource.attributes.extend(attributes({"service.name": "shop"}))
        scope = resource.scope_metrics.add()
        for name in ("gen_ai.client.operation.duration", "vllm:num_requests_running", self.put("metric.name")):
            metric = scope.metrics.add(
                name=name, description=self.put("metric.description"), unit=self.put("metric.unit")
            )
            point = metric.gauge.data_points.add(as_double=1.0, time_unix_nano=time.time_ns())
            point.attributes.extend(
                attributes({"gen_ai.prompt": self.put("point.prompt"), "user.id": self.put("point.user")})
            )
            exemplar = point.exemplars.add(as_double=1.0)
            exemplar.filtered_attributes.extend(attributes({"gen_ai.prompt": self.put("exemplar")}))
        return request


def as_json(request: Message) -> bytes:
    """OTLP's own JSON: ids are hexadecimal, enumerations numbers."""

    def converted(value: Any) -> Any:
        if isinstance(value, list):
            return [converted(one) for one in value]
        if isinstance(value, dict):
            ids = {key: base64.b64decode(value[key]).hex() for key in ("traceId", "spanId") if key in value}
            return {key: converted(one) for key, one in value.items()} | ids
        return value

    return json.dumps(converted(MessageToDict(request, use_integers_for_enums=True))).encode()


def post(port: int, path: str, body: bytes, **headers: str) -> int:
    """Status of the answer, 0 for none; what it says is the sender's own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with suppress(OSError, http.client.HTTPException):
        connection.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    return 0


def raw(port: int, data: bytes) -> None:
    """Bytes as they are, and whatever comes back until the peer closes or a second is over."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass


def send_otlp(running: RunningWatchkeeper, put: Put) -> None:
    sending = Sending(put)
    port, own = running.http_port, {"X_User": put("header"), "Authorization": f"Bearer {put('authorization')}"}
    protobuf, as_text = {"Content_Type": "application/x-protobuf", **own}, {"Content_Type": "application/json", **own}
    channel = grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}")
    metadata = (("x-user", put("metadata")),)
    for signal, (_, service) in SIGNALS.items():
        make: Callable[[], Any] = getattr(sending, signal)
        path, method = f"/v1/{signal}", f"/opentelemetry.proto.collector.{service}/Export"
        assert post(port, path, make().SerializeToString(), **protobuf) == 200
        assert post(port, path, gzip.compress(as_json(make())), Content_Encoding="gzip", **as_text) == 200
        call = channel.unary_unary(method)
        call(make().SerializeToString(), timeout=60, metadata=metadata)
        whole = make().SerializeToString()
        text = put("broken").encode()
        for broken in (whole[: len(whole) // 2], whole[:-1] + b"\xff", text, text * 100_000, b"\x0a\xff\xff" + text):
            post(port, path, broken, **protobuf)
            with suppress(grpc.RpcError):
                call(broken, timeout=60, metadata=metadata)
        document = as_json(make())
        nested = b'{"resourceSpans":' + b"[" * 200 + json.dumps(put("nested")).encode()
        for broken in (document[: len(document) // 2], document + text, b'{"' + text, text, nested, b"\xff" + document):
            post(port, path, broken, **as_text)
            post(port, path, broken, Content_Encoding="gzip", **as_text)
        post(port, path, whole, Content_Type=put("content.type"))
        post(port, f"{path}?q={put('query').replace(' ', '+')}", whole, **protobuf)
    post(port, f"/{put('path').replace(' ', '+')}", b"", **protobuf)
    raw(port, f"{put('not.http')}\r\n\r\n".encode())
    raw(port, f"POST /v1/traces HTTP/1.1\r\nContent-Length: 9{put('length')}\r\n\r\n".encode())
    raw(running.grpc_port, put("not.grpc").encode() * 100)
    with suppress(grpc.RpcError):
        channel.unary_unary(f"/{put('method').replace(' ', '')}/Export")(b"", timeout=60)
    channel.close()


def chat(put: Put, **more: Any) -> dict[str, Any]:
    said = [
        {"role": "system", "content": put("tap.system")},
        {"role": "user", "content": [{"type": "text", "text": put("tap.user")}], "name": put("tap.user.name")},
        {"role": "tool", "content": put("tap.result"), "tool_call_id": put("tap.call.id")},
    ]
    tool = {"name": "look", "description": put("tap.tool"), "parameters": {"description": put("tap.tool.schema")}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"title": put("tap.schema")}}}
    return {
        "model": put("tap.model"), "messages": said, "user": put("tap.user.id"), "response_format": form,
        "stop": put("tap.stop"), "prompt": put("tap.prompt"), "input": put("tap.input"), "system": put("tap.system2"),
        "inputs": put("tap.inputs"),
        "tools": [{"type": "function", "function": tool}], "metadata": {"x": put("tap.metadata")}, "max_tokens": 9,
    } | more  # fmt: skip


def answer(put: Put) -> dict[str, Any]:
    asked = {
        "id": "c",
        "type": "function",
        "function": {"name": "look", "arguments": json.dumps({"q": put("tap.arguments")})},
    }
    said = {
        "role": "assistant",
        "content": put("tap.content"),
        "reasoning_content": put("tap.reasoning"),
        "tool_calls": [asked],
    }
    logprobs = {"content": [{"token": put("tap.token"), "logprob": -0.1}]}
    choice = {"index": 0, "message": said, "delta": said, "text": put("tap.text"), "finish_reason": put("tap.finish")}
    return {
        "id": put("tap.id"), "object": "chat.completion", "model": put("tap.model"),
        "choices": [choice | {"logprobs": logprobs}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3}, "message": said, "response": put("tap.response"),
        "output": [{"type": "message", "content": [{"type": "output_text", "text": put("tap.output")}]}],
        "content": [{"type": "text", "text": put("tap.content2")}], "system_fingerprint": put("tap.fingerprint"),
    }  # fmt: skip


def tap_answers(put: Put) -> dict[str, tuple[int, str, bytes]]:
    """By the end of the path: what the upstream answers."""
    whole = json.dumps(answer(put)).encode()
    event = b"data: " + whole + b"\n\n"
    fault = {"message": put("tap.error.message"), "param": put("tap.error.param")}
    named = {"type": put("tap.error.type"), "code": put("tap.error.code")}
    return {
        "/whole": (200, "application/json", whole),
        "/stream": (200, "text/event-stream", event * 3 + b"data: [DONE]\n\n"),
        "/torn": (200, "text/event-stream", event + event[: len(event) // 2]),
        "/lines": (200, "application/x-ndjson", whole + b"\n" + whole + b"\n"),
        "/refused": (400, "application/json", json.dumps({"error": fault | named}).encode()),
        "/failed": (500, "text/html", f"<pre>{put('tap.traceback')}</pre>".encode()),
        "/broken": (200, "application/json", whole[: len(whole) // 2]),
        "/event": (200, "text/event-stream", b"data: {" + put("tap.event").encode() + b"\n\nevent: error\n" + event),
    }


def send_tap(ports: dict[str, int], put: Put) -> None:
    own = {
        "Content_Type": "application/json",
        "Authorization": f"Bearer {put('tap.authorization')}",
        "X_User": put("tap.header"),
    }
    query = f"?key={put('tap.query').replace(' ', '+')}"
    paths = (
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/messages",
        "/v1/responses",
        "/v1/embeddings",
        "/api/chat",
        "/api/generate",
    )
    for name, port in ports.items():
        for path in paths:
            body = json.dumps(chat(put, stream=name in ("/stream", "/torn", "/event", "/lines"))).encode()
            post(port, path + query, body, **own)
            post(port, path, body[: len(body) // 2], **own)
            post(port, path, put("tap.body").encode(), **own)
        raw(port, f"{put('tap.not.http')}\r\n\r\n".encode())


def engine_page(put: Put) -> str:
    labels = f'{{model_name="{put("engine.model")}",user="{put("engine.label")}",engine="0"}}'
    lines = (
        f"# HELP vllm:num_requests_running {put('engine.help')}",
        "# TYPE vllm:num_requests_running gauge",
        f"# {put('engine.comment')}",
        f"vllm:num_requests_running{labels} 1",
        f"vllm:num_requests_waiting{labels} 0",
        "# TYPE vllm:prompt_tokens_total counter",
        f'vllm:prompt_tokens_total{labels} 9 # {{q="{put("engine.exemplar")}"}} 1',
        f'other{{q="{put("engine.other")}"}} 1',
        f"vllm:kv_cache_usage_perc{labels} {put('engine.value')}",
        put("engine.line"),
    )
    return "\n".join(lines) + "\n"


def exporter_page(put: Put) -> str:
    card = 'gpu="0",UUID="GPU-1",device="nvidia0",modelName="NVIDIA H100",Hostname="n"'
    lines = (
        f"# HELP DCGM_FI_DEV_GPU_TEMP {put('exporter.help')}",
        "# TYPE DCGM_FI_DEV_GPU_TEMP gauge",
        f'DCGM_FI_DEV_GPU_TEMP{{{card},extra="{put("exporter.label")}"}} 41',
        f'DCGM_FI_DEV_XID_ERRORS{{{card},err_msg="{put("exporter.xid")}"}} 79',
        f"DCGM_FI_DEV_GPU_UTIL{{{card}}} {put('exporter.value')}",
        put("exporter.line"),
    )
    return "\n".join(lines) + "\n"


@pytest.fixture
def marked() -> Any:
    """All of the above: tests import no module of tests."""

    class Marked:
        names = NAMES
        send_otlp = staticmethod(send_otlp)
        send_tap = staticmethod(send_tap)
        tap_answers = staticmethod(tap_answers)
        engine_page = staticmethod(engine_page)
        exporter_page = staticmethod(exporter_page)
        raw = staticmethod(raw)

    return Marked
