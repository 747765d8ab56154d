"""Request bodies of model-call spans for the benchmarks: 14 attributes each, ids never repeated."""

import random

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

SPANS_PER_BODY = 512


def body(chance: random.Random, at_ns: int, models: int, text_bytes: int, spans: int = SPANS_PER_BODY) -> bytes:
    """
    One export request, uncompressed protobuf.

    :param at_ns: end of the last span, unix nanoseconds
    :param models: number of distinct model names drawn from
    :param text_bytes: size of the prompt and again of the answer; 0 leaves both attributes out (then 14 stay)
    """
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value="bench")))
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "opentelemetry.instrumentation.genai.openai"
    for _ in range(spans):
        span = scope_spans.spans.add()
        span.trace_id, span.span_id = chance.randbytes(16), chance.randbytes(8)
        duration_ns = int(chance.lognormvariate(0, 0.5) * 1e9)
        span.start_time_unix_nano, span.end_time_unix_nano = at_ns - duration_ns, at_ns
        model = f"model-{chance.randrange(models)}"
        span.name, span.kind = f"chat {model}", 3
        values: dict[str, AnyValue] = {
            "gen_ai.operation.name": AnyValue(string_value="chat"),
            "gen_ai.provider.name": AnyValue(string_value="openai"),
            "gen_ai.request.model": AnyValue(string_value=model),
            "gen_ai.response.model": AnyValue(string_value=f"{model}-2026-07-18"),
            "server.address": AnyValue(string_value="10.1.2.3"),
            "server.port": AnyValue(int_value=8000),
            "gen_ai.request.stream": AnyValue(bool_value=True),
            "gen_ai.request.max_tokens": AnyValue(int_value=1024),
            "gen_ai.response.id": AnyValue(string_value=f"chatcmpl-{chance.getrandbits(64):x}"),
            "gen_ai.response.finish_reasons": AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="stop")])),
            "gen_ai.usage.input_tokens": AnyValue(int_value=chance.randrange(10, 4000)),
            "gen_ai.usage.output_tokens": AnyValue(int_value=chance.randrange(2, 800)),
            "gen_ai.usage.cache_read.input_tokens": AnyValue(int_value=chance.randrange(0, 10)),
            "gen_ai.response.time_to_first_chunk": AnyValue(double_value=duration_ns / 1e9 * chance.uniform(0.05, 0.3)),
        }
        if text_bytes:
            values["gen_ai.input.messages"] = _messages(chance, "user", text_bytes)
            values["gen_ai.output.messages"] = _messages(chance, "assistant", text_bytes)
        for key, value in values.items():
            span.attributes.append(KeyValue(key=key, value=value))
    return request.SerializeToString()


_WORDS = "the model answers a question about the weather in a city by the sea and its old harbour".split()


def _messages(chance: random.Random, role: str, size: int) -> AnyValue:
    words: list[str] = []
    length = 0
    while length < size:
        words.append(chance.choice(_WORDS))
        length += len(words[-1]) + 1
    text = " ".join(words)[:size]
    return AnyValue(string_value=f'[{{"role":"{role}","parts":[{{"type":"text","content":"{text}"}}]}}]')
