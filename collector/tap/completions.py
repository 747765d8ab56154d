"""An ended exchange to the records that the pipeline takes. Pure."""

import re
from typing import Any, Final

from collector.tap import request
from collector.tap.answer import GAP_BOUNDS
from collector.tap.config import TapTarget
from collector.tap.dialects import MALFORMED
from collector.tap.exchange import CLIENT_GONE, Exchange
from watchkeeper.core.records import Completion, Distribution, Outcome, Text, ToolCall, Vantage

_MAX_TOKENS: Final = 1_000_000_000_000
_MAX_CHARACTERS: Final = 512
_MAX_OFFER_BYTES: Final = 262_144
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_BY_STATUS: Final = {
    408: Outcome.TIMEOUT,
    429: Outcome.REJECTED,
    499: Outcome.CANCELLED,
    503: Outcome.REJECTED,
    504: Outcome.TIMEOUT,
    529: Outcome.REJECTED,
}
_OF_ANSWER: Final = {"encoding", "answer_too_large", "answer_malformed", "event_too_large", "event_malformed"}
"""of what is counted as unread: the end of the stream may have been in it"""
_BY_FAULT: Final = {
    CLIENT_GONE: Outcome.CANCELLED,
    "upstream_connect_timeout": Outcome.TIMEOUT,
    "tap_full": Outcome.REJECTED,
}


def completion(exchange: Exchange, target: TapTarget) -> Completion:
    """Reads the bodies that were kept, and notes in `exchange.unread` what of them could not be."""
    _read_whole(exchange)
    asked = request.read(exchange, target.max_body_bytes)
    if asked is None and exchange.request is not None and exchange.is_whole_request:
        exchange.unread["request_malformed"] += 1
    answer = exchange.answer
    answered_by = _name(answer.model)
    model = asked.model_name if asked is not None else ""
    if asked is not None and not model:
        exchange.unread["no_model"] += 1
    outcome, error_type = verdict(exchange)
    trace_id, span_id = trace(exchange.traceparent)
    output_tokens = _count(answer.output_tokens)
    is_estimated = output_tokens is None and answer.pieces > 0 and exchange.streamed
    first_at = answer.first_at if exchange.streamed else None
    return Completion(
        at=exchange.at,
        vantage=Vantage.TAP,
        operation=exchange.dialect.operation,
        provider=target.provider,
        request_model=model or answered_by,
        response_model=answered_by,
        service=target.name,
        tenant=exchange.tenant,
        server_address=target.upstream_host,
        server_port=str(target.upstream_port),
        duration_seconds=exchange.ended_at - exchange.arrived_at,
        time_to_first_token_seconds=None if first_at is None else first_at - exchange.arrived_at,
        prefill_seconds=answer.prefill_seconds,
        decode_seconds=answer.decode_seconds,
        streamed=exchange.streamed,
        input_tokens=_count(answer.input_tokens),
        output_tokens=answer.pieces if is_estimated else output_tokens,
        cached_input_tokens=_count(answer.cached_tokens),
        reasoning_tokens=_count(answer.reasoning_tokens),
        finish_reasons=tuple(answer.finished.values()),
        outcome=outcome,
        error_type=error_type,
        max_output_tokens=asked.token_limit if asked is not None else None,
        temperature=asked.heat if asked is not None else None,
        tool_names=tuple(answer.tools),
        trace_id=trace_id,
        span_id=span_id,
        response_id=_name(answer.response_id),
        text=_text(exchange, asked, target.max_text_characters),
        tokens_estimated=is_estimated,
        token_logprobs=tuple(answer.logprobs),
    )


def gaps(exchange: Exchange) -> Distribution | None:
    """Times between chunks with content; None when there were not two."""
    answer = exchange.answer
    if not any(answer.gap_counts):
        return None
    return Distribution(GAP_BOUNDS, tuple(map(float, answer.gap_counts)), answer.gap_sum)


def verdict(exchange: Exchange) -> tuple[Outcome, str]:
    """How the call ended, and in one word why it failed. What comes after a whole answer does not spoil it."""
    answer = exchange.answer
    is_whole = answer.is_done or bool(answer.finished)
    if exchange.status >= 300:
        return of_status(exchange.status)
    if answer.error:
        return of_status(int(answer.error)) if answer.error.isdigit() else (Outcome.ERROR, answer.error)
    if exchange.fault and not (exchange.streamed and is_whole):
        return _BY_FAULT.get(exchange.fault, Outcome.ERROR), exchange.fault
    if exchange.streamed and not answer.is_done:
        if is_whole:
            exchange.unread["no_done"] += not exchange.fault
        elif not exchange.unread.keys() & _OF_ANSWER:
            return Outcome.ERROR, "stream_unfinished"
    return Outcome.OK, ""


def of_status(status: int) -> tuple[Outcome, str]:
    """
    >>> of_status(429), of_status(404)
    ((<Outcome.REJECTED: 'rejected'>, '429'), (<Outcome.CLIENT_ERROR: 'client_error'>, '404'))
    """
    is_clients = 400 <= status < 500
    return _BY_STATUS.get(status, Outcome.CLIENT_ERROR if is_clients else Outcome.ERROR), str(status)


def trace(traceparent: str) -> tuple[bytes, bytes]:
    """
    Trace id and the id of the caller's span; empty when there is none. https://www.w3.org/TR/trace-context/
    """
    found = _TRACEPARENT.fullmatch(traceparent.strip())
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return b"", b""
    return bytes.fromhex(found[1]), bytes.fromhex(found[2])


def _read_whole(exchange: Exchange) -> None:
    """The body of an answer that was not streamed."""
    if not exchange.whole or exchange.fault:
        return
    try:
        exchange.dialect.read_whole(exchange.answer, bytes(exchange.whole))
    except MALFORMED:
        exchange.unread["answer_malformed"] += 1


def _text(exchange: Exchange, asked: request.Asked | None, limit: int) -> Text | None:
    if not limit:
        return None
    said = exchange.answer
    answer = "".join(said.words)
    prompt = context = tools = schema = ""
    try:
        if asked is not None:
            prompt, context = asked.words(limit), asked.brought(limit)
            tools, schema = asked.offer(_MAX_OFFER_BYTES), asked.schema()
    except MALFORMED:
        pass  # what was read of it so far is told
    if not (prompt or answer):
        return None
    calls = tuple(ToolCall(name, "".join(pieces)) for name, pieces in said.calls.values())
    return Text(prompt, answer, "".join(said.reasoning), context, calls, tools, schema)


def _count(value: Any) -> int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 0 <= value <= _MAX_TOKENS else None


def _name(value: Any) -> str:
    return value[:_MAX_CHARACTERS] if isinstance(value, str) else ""
