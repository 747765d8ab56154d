"""
The answers of each API, read into an Answer: events of a stream one by one, or a whole body.

Only the fields that are needed are decoded; a field of another type than expected is passed over where it can be.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from collector.tap.answer import Answer

MALFORMED: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
_MAX_NUMBER: Final = 1e15
_MAX_SECONDS: Final = 86_400.0
"""no engine works longer on one call"""


class _Function(msgspec.Struct, gc=False):
    name: Any = None
    arguments: Any = None


class _ToolCall(msgspec.Struct, gc=False):
    index: Any = None
    function: _Function | None = None


class _Said(msgspec.Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None
    refusal: Any = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None
    audio: Any = None


class _Choice(msgspec.Struct, gc=False):
    index: Any = 0
    logprobs: Any = None
    delta: _Said | None = None
    message: _Said | None = None
    text: Any = None
    finish_reason: Any = None


class _Details(msgspec.Struct, gc=False):
    cached_tokens: Any = None
    reasoning_tokens: Any = None


class _Usage(msgspec.Struct, gc=False):
    """Chat and completions say prompt and completion, the responses API input and output."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    input_tokens: Any = None
    output_tokens: Any = None
    prompt_cache_hit_tokens: Any = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Timings(msgspec.Struct, gc=False):
    """llama.cpp's own account, of one choice: at its end, or so far with every token."""

    prompt_n: Any = None
    cache_n: Any = None
    predicted_n: Any = None
    prompt_ms: Any = None
    predicted_ms: Any = None


class _Chunk(msgspec.Struct, gc=False):
    """A chunk, or the whole answer, of chat, completions and embeddings."""

    id: Any = None
    model: Any = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    timings: _Timings | None = None
    error: Any = None
    object: Any = None
    code: Any = None


class _Part(msgspec.Struct, gc=False):
    text: Any = None
    refusal: Any = None


class _Item(msgspec.Struct, gc=False):
    type: Any = None
    name: Any = None
    arguments: Any = None
    content: list[_Part] | None = None


class _Incomplete(msgspec.Struct, gc=False):
    reason: Any = None


class _Response(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    status: Any = None
    output: list[_Item] | None = None
    usage: _Usage | None = None
    incomplete_details: _Incomplete | None = None
    error: Any = None


class _ResponseEvent(msgspec.Struct, gc=False):
    type: Any = None
    delta: Any = None
    code: Any = None
    response: _Response | None = None
    error: Any = None


class _OllamaAnswer(msgspec.Struct, gc=False):
    model: Any = None
    message: _Said | None = None
    response: Any = None
    thinking: Any = None
    done: Any = False
    done_reason: Any = None
    prompt_eval_count: Any = 0
    eval_count: Any = 0
    prompt_eval_duration: Any = None
    eval_duration: Any = None
    error: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_response = msgspec.json.Decoder(_Response).decode
_decode_event = msgspec.json.Decoder(_ResponseEvent).decode
_decode_ollama = msgspec.json.Decoder(_OllamaAnswer).decode


def chunk_event(answer: Answer, data: bytes, at: float) -> None:
    """One event of a streamed chat or completion. :raises MALFORMED: not JSON, or not such an object"""
    if data == b"[DONE]":
        answer.is_done = True
        return
    chunk = _decode_chunk(data)
    content = False
    for choice in chunk.choices or ():
        if choice.logprobs is not None:
            _weigh(answer, choice)
        if choice.finish_reason is not None:
            answer.finish(choice.index, choice.finish_reason)
        if (choice.delta is not None and _hear(answer, choice.delta, choice.index)) or _text(answer, choice):
            answer.pieces += 1
            content = True
    if content:
        answer.arrived(at)
    _account(answer, chunk)


def whole_chunk(answer: Answer, body: bytes) -> None:
    """The whole answer of a chat, completion or embedding. :raises MALFORMED: not JSON, or not such an object"""
    chunk = _decode_chunk(body)
    for choice in chunk.choices or ():
        if choice.logprobs is not None:
            _weigh(answer, choice)
        answer.finish(choice.index, choice.finish_reason)
        if choice.message is not None:
            _hear(answer, choice.message, choice.index)
        _text(answer, choice)
    _account(answer, chunk)
    answer.is_done = True


def response_event(answer: Answer, data: bytes, at: float) -> None:
    """One event of a streamed answer of the responses API. :raises MALFORMED: not JSON, or not such an object"""
    if data == b"[DONE]":
        answer.is_done = True
        return
    event = _decode_event(data)
    kind = event.type if isinstance(event.type, str) else ""
    if kind.endswith(".delta"):
        if event.delta:
            answer.pieces += 1
            answer.arrived(at)
            answer.say(event.delta)
    elif kind == "error" or event.error:
        answer.fail(event.error or {"code": event.code})
    elif event.response is not None:
        is_last = kind in ("response.completed", "response.incomplete", "response.failed")
        _respond(answer, event.response, with_text=False, is_last=is_last)


def whole_response(answer: Answer, body: bytes) -> None:
    """The whole answer of the responses API. :raises MALFORMED: not JSON, or not such an object"""
    _respond(answer, _decode_response(body), with_text=True, is_last=True)


def ollama_event(answer: Answer, data: bytes, at: float) -> None:
    """One line of Ollama's own API. :raises MALFORMED: not JSON, or not such an object"""
    line = _decode_ollama(data)
    answer.model = line.model or answer.model
    if line.error:
        answer.fail(line.error)
    if (line.message is not None and _hear(answer, line.message, 0)) or line.response or line.thinking:
        answer.pieces += 1
        answer.arrived(at)
        answer.think(line.thinking)
        answer.say(line.response)
    if line.done:
        answer.is_done = True
        answer.finish(0, line.done_reason)
        answer.input_tokens, answer.output_tokens = line.prompt_eval_count, line.eval_count  # left out when 0
        answer.prefill_seconds = _seconds(line.prompt_eval_duration, 1e9)
        answer.decode_seconds = _seconds(line.eval_duration, 1e9)


def whole_ollama(answer: Answer, body: bytes) -> None:
    """The one line of Ollama's own API that is the whole answer. :raises MALFORMED: as `ollama_event`"""
    ollama_event(answer, body, 0.0)


def _hear(answer: Answer, said: _Said, choice: object) -> bool:
    """Keep the words of the first choice; whether there was anything that is an answer, not only a role."""
    content = said.content or said.refusal
    thought = said.reasoning_content or said.reasoning or said.thinking
    calls = said.tool_calls or said.function_call
    if choice == 0:
        if thought:
            answer.think(thought)
        if content:
            answer.say(content)
    if calls:
        _call(answer, said, choice)
    return bool(content or thought or calls or said.audio)


def _call(answer: Answer, said: _Said, choice: object) -> None:
    if choice != 0:
        for call in said.tool_calls or ():
            answer.tool(call.function and call.function.name)
        return
    for at, call in enumerate(said.tool_calls or ()):
        if call.function is not None:
            key = call.index if isinstance(call.index, int) else at
            answer.call(key, call.function.name, _arguments(call.function.arguments))
    if said.function_call is not None:
        answer.call("function", said.function_call.name, _arguments(said.function_call.arguments))


def _arguments(arguments: Any) -> Any:
    """As text; Ollama sends an object."""
    return msgspec.json.encode(arguments).decode() if isinstance(arguments, dict) else arguments


def _weigh(answer: Answer, choice: _Choice) -> None:
    """Log probabilities of the first choice's tokens; a shape that is not known is passed over."""
    if choice.index != 0 or not isinstance(choice.logprobs, dict):
        return
    listed = choice.logprobs.get("content")
    if isinstance(listed, list):
        numbers: Any = [token.get("logprob") for token in listed if isinstance(token, dict)]
    else:
        numbers = choice.logprobs.get("token_logprobs")
    if isinstance(numbers, list):
        answer.weigh([one for one in numbers if isinstance(one, int | float) and not isinstance(one, bool)])


def _text(answer: Answer, choice: _Choice) -> bool:
    if not choice.text:
        return False
    if choice.index == 0:
        answer.say(choice.text)
    return True


def _account(answer: Answer, chunk: _Chunk) -> None:
    if not answer.model:  # some send an empty one first
        answer.model, answer.response_id = chunk.model, chunk.id
    if chunk.usage is not None:
        _use(answer, chunk.usage)
    if chunk.timings is not None:
        _time(answer, chunk.timings, chunk.choices[0].index if chunk.choices else 0)
    if chunk.error:
        answer.fail(chunk.error)
    elif chunk.object == "error":  # older vLLM has no object `error` around it
        answer.fail({"code": chunk.code})


def _time(answer: Answer, timings: _Timings, choice: object) -> None:
    answer.prefill_seconds = _seconds(timings.prompt_ms, 1e3)
    answer.decode_seconds = _seconds(timings.predicted_ms, 1e3)
    used, cached, made = (_number(count) for count in (timings.prompt_n, timings.cache_n, timings.predicted_n))
    if answer.is_accounted or made is None:
        return
    answer.time(choice, made)
    answer.output_tokens = sum(answer.timed_tokens.values())
    if used is not None:
        answer.input_tokens, answer.cached_tokens = used + (cached or 0), cached


def _number(value: Any) -> float | None:
    """None for what is no number of anything."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= _MAX_NUMBER else None


def _seconds(value: Any, in_a_second: float) -> float | None:
    """A time that was taken; None when it is said to be 0, as of what did not happen, or cannot be."""
    number = _number(value)
    return number / in_a_second if number and number <= _MAX_SECONDS * in_a_second else None


def _use(answer: Answer, usage: _Usage) -> None:
    used = usage.prompt_tokens if usage.prompt_tokens is not None else usage.input_tokens
    made = usage.completion_tokens if usage.completion_tokens is not None else usage.output_tokens
    answer.input_tokens, answer.output_tokens = used, made
    answer.is_accounted = True
    details = usage.prompt_tokens_details or usage.input_tokens_details
    answer.cached_tokens = details.cached_tokens if details is not None else usage.prompt_cache_hit_tokens
    details = usage.completion_tokens_details or usage.output_tokens_details
    if details is not None:
        answer.reasoning_tokens = details.reasoning_tokens


def _respond(answer: Answer, response: _Response, *, with_text: bool, is_last: bool) -> None:
    answer.model, answer.response_id = response.model or answer.model, response.id or answer.response_id
    if response.usage is not None:
        _use(answer, response.usage)
    if not is_last:
        return
    answer.is_done = True
    calls = [item for item in response.output or () if item.type == "function_call"]
    for call in calls:
        answer.tool(call.name)
    if with_text:
        for item in response.output or ():
            for part in item.content or ():
                answer.say(part.text or part.refusal)
            if item.type == "function_call":
                answer.call(len(answer.calls), item.name, item.arguments)
    if response.status == "failed" or response.error:
        answer.fail(response.error)
        answer.finish(0, "error")
    elif response.status == "incomplete":
        answer.finish(0, response.incomplete_details.reason if response.incomplete_details else "incomplete")
    elif response.status == "completed":
        answer.finish(0, "tool_calls" if calls else "stop")


ReadEvent = Callable[[Answer, bytes, float], None]
ReadWhole = Callable[[Answer, bytes], None]


class Dialect(msgspec.Struct, frozen=True):
    """How one API answers."""

    operation: str
    read_event: ReadEvent
    read_whole: ReadWhole
    by_line: bool = False
    """its streams are lines of JSON, not server-sent events"""


CHAT: Final = Dialect("chat", chunk_event, whole_chunk)
COMPLETION: Final = Dialect("text_completion", chunk_event, whole_chunk)
EMBEDDINGS: Final = Dialect("embeddings", chunk_event, whole_chunk)
RESPONSES: Final = Dialect("chat", response_event, whole_response)
OLLAMA_CHAT: Final = Dialect("chat", ollama_event, whole_ollama, by_line=True)
OLLAMA_GENERATE: Final = Dialect("text_completion", ollama_event, whole_ollama, by_line=True)
