"""
Prompt and answer as plain text out of every shape that senders give them: JSON in a string, structured values,
numbered attributes. Text stays in what is returned; it is never logged.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from collector.otlp import values
from collector.otlp.attributes import INDEXED, Found, Piece
from watchkeeper.core.finish_reasons import canonical
from watchkeeper.core.records import Text, ToolCall

_MAX_DEPTH: Final = 24
_MAX_TOOLS: Final = 64
_WORDS: Final = ("content", "text", "reasoning", "refusal", "thinking", "response", "result", "output_text")
"""where a message or a part of one keeps what was said"""
_CONTAINERS: Final = (
    "system", "instructions", "messages", "message", "parts", "choices", "input", "inputs", "prompt", "output",
    "outputs", "answer", "delta", "generations", "args", "kwargs", "content",
)  # fmt: skip
"""where the messages are, in a whole request or response"""
_NOT_TEXT: Final = frozenset(("blob", "uri", "file", "image", "image_url", "input_image", "audio", "input_audio"))
_THOUGHT: Final = frozenset(("reasoning", "thinking"))
_MAX_OFFER: Final = 262_144
_TOOL_PARTS: Final = frozenset(("tool_call", "server_tool_call", "function_call", "tool-call", "tool_use", "function"))


class _Part(msgspec.Struct, gc=False):
    type: str = "text"
    content: str | None = None
    name: str | None = None
    arguments: Any = None
    response: Any = None


class _Message(msgspec.Struct, gc=False):
    parts: list[_Part]
    finish_reason: str | None = None
    role: str | None = None


_decode_messages = msgspec.json.Decoder(list[_Message]).decode


class Said:
    """Text gathered from messages, at most `limit` characters of it, with the reasons and tools found on the way."""

    __slots__ = ("_brought", "_thought", "_words", "calls", "limit", "reasons", "room", "tools")

    def __init__(self, limit: int) -> None:
        self.limit = self.room = limit
        self._words: list[str] = []
        self._thought: list[str] = []
        self._brought: list[str] = []
        self.calls: list[ToolCall] = []
        self.reasons: list[str] = []
        self.tools: list[str] = []

    @property
    def text(self) -> str:
        return "\n".join(self._words)[: self.limit]

    @property
    def reasoning(self) -> str:
        """The part of `text` that was thought before it was said."""
        return "\n".join(self._thought)

    @property
    def brought(self) -> str:
        """The part of `text` that tools brought."""
        return "\n".join(self._brought)

    def say(self, words: str) -> None:
        if words and self.room > 0:
            self._words.append(words[: self.room])
            self.room -= len(words) + 1

    def tool(self, name: object) -> None:
        if isinstance(name, str) and name and name not in self.tools and len(self.tools) < _MAX_TOOLS:
            self.tools.append(name)

    def add(self, value: object) -> None:
        """A value as it came: structured, JSON in a string, or just words."""
        if isinstance(value, str):
            parsed = values.parsed_json(value) if value.lstrip()[:1] in ("[", "{", '"') else None
            if parsed is None:
                self.say(value)
                return
            before = self.room, len(self.tools)
            self._walk(parsed, _MAX_DEPTH)
            if before == (self.room, len(self.tools)) and isinstance(parsed, dict):
                self.say(value)  # an object in nobody's shape: its own text is better than nothing
        else:
            self._walk(value, _MAX_DEPTH)

    def add_messages(self, value: object) -> None:
        """A value that should be messages as the conventions have them now: much quicker when it is."""
        if isinstance(value, str) and len(value) <= values.MAX_JSON_CHARACTERS:
            try:
                messages = _decode_messages(value)
            except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
                self.add(value)
                return
            for message in messages:
                before = len(self._words)
                for part in message.parts:
                    self._part(part)
                if message.role == "tool":
                    self._brought += self._words[before:]
                if message.finish_reason:
                    self._reason(message.finish_reason)
        else:
            self.add(value)

    def _part(self, part: _Part) -> None:
        if part.type in _NOT_TEXT:
            return
        if part.content:
            before = len(self._words)
            self.say(part.content)
            if part.type in _THOUGHT:
                self._thought += self._words[before:]
        elif part.type in _TOOL_PARTS:
            self._tool_call({"name": part.name, "arguments": part.arguments})
        elif part.response is not None:
            self._walk(part.response, _MAX_DEPTH)

    def _reason(self, word: object) -> None:
        if isinstance(word, str) and len(self.reasons) < _MAX_TOOLS and (reason := canonical(word)):
            self.reasons.append(reason)

    def _walk(self, value: object, depth: int) -> None:
        if depth < 0:
            return
        if isinstance(value, str):
            self.say(value)
        elif isinstance(value, list):
            for item in value:
                self._walk(item, depth - 1)
        elif isinstance(value, dict):
            self._object(value, depth)

    def _object(self, found: dict[str, object], depth: int) -> None:
        self._reason(found.get("finish_reason") or found.get("finishReason"))
        kind = found.get("type")
        if isinstance(kind, str):
            if kind in _NOT_TEXT:
                return
            if kind in _TOOL_PARTS:
                self._tool_call(found)
                return
        before = len(self._words)
        for word in _WORDS:
            said = found.get(word)
            if isinstance(said, str):
                held = len(self._words)
                self.say(said)
                if kind in _THOUGHT or word in _THOUGHT:
                    self._thought += self._words[held:]
        for name in _CONTAINERS:
            inner = found.get(name)
            if isinstance(inner, list | dict) or (isinstance(inner, str) and name not in _WORDS):
                self._walk(inner, depth - 1)
        self._answered_tool(found, depth)
        if found.get("role") == "tool":
            self._brought += self._words[before:]

    def _answered_tool(self, found: dict[str, object], depth: int) -> None:
        for name in ("response", "result"):
            if isinstance(inner := found.get(name), list | dict):
                self._walk(inner, depth - 1)
        calls = found.get("tool_calls") or found.get("toolCalls")
        if isinstance(calls, list):
            for call in calls:
                if isinstance(call, dict):
                    self._tool_call(call)

    def _tool_call(self, found: dict[str, object]) -> None:
        function = found.get("function")
        call = function if isinstance(function, dict) else found
        name = call.get("name") or call.get("toolName")
        self.tool(name)
        written = ""
        for key in ("arguments", "args", "input", "server_tool_call"):
            arguments = call.get(key)
            if arguments and self.room > 0:
                written = arguments[: self.room] if isinstance(arguments, str) else _as_json(arguments)
                self.say(written)
        if len(self.calls) < _MAX_TOOLS:
            self.calls.append(ToolCall(name if isinstance(name, str) else "", written))

    def tool_calls(self, value: object) -> None:
        """A list of tool calls on its own."""
        parsed = values.parsed_json(value) if isinstance(value, str) else value
        for call in parsed if isinstance(parsed, list) else ():
            if isinstance(call, dict):
                self._tool_call(call)

    def pieces(self, pieces: Iterable[Piece], answer: bool) -> None:
        """Numbered attributes, in the order of their numbers."""
        for piece in sorted((piece for piece in pieces if piece.at.answer is answer), key=lambda piece: piece.at.order):
            if piece.at.part == "tool":
                self.tool(piece.text)
            elif piece.at.part == "finish_reason":
                self._reason(piece.text)
            elif piece.at.part == "arguments":
                self.say(piece.text)
            else:
                self.add(piece.text)


def _as_json(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        return ""


def _conversation(prompt: Said, found: Found) -> None:
    """System instructions, then the messages; some senders repeat the instructions as the first message."""
    if "system_messages" not in found:
        prompt.add_messages(found["input_messages"])
        return
    instructions, messages = Said(prompt.limit), Said(prompt.limit)
    instructions.add(found["system_messages"])
    messages.add_messages(found.get("input_messages"))
    if not messages.text.startswith(instructions.text):
        prompt.say(instructions.text)
    prompt.say(messages.text)


def _offer(value: object) -> str:
    """The tools offered, as JSON; empty when they are none or too many."""
    listed = value if isinstance(value, str) else _as_json(value) if value else ""
    return listed if len(listed) <= _MAX_OFFER else ""


def _schema(found: Found) -> str:
    """What the answer was asked to fit: a JSON Schema, `{}` for any JSON, empty for nothing."""
    parameters = found.get("parameters")
    wanted = parameters.get("response_format") if isinstance(parameters, dict) else None
    if isinstance(wanted, dict):
        holder = wanted.get("json_schema")
        if isinstance(holder, dict) and isinstance(schema := holder.get("schema"), dict):
            return _as_json(schema)
        return "{}" if wanted.get("type") in ("json_object", "json_schema") else ""
    return "{}" if found.get("output_type") == "json" else ""


def of_call(found: Found, limit: int) -> tuple[Text | None, tuple[str, ...], tuple[str, ...]]:
    """What was said in a call, the finish reasons inside its answer, and the tools the answer calls."""
    prompt, answer = Said(limit), Said(limit)
    pieces = found.get(INDEXED)
    if "input_messages" in found or "system_messages" in found:
        _conversation(prompt, found)
    elif isinstance(pieces, list):
        prompt.pieces(pieces, answer=False)
    if not prompt.text and "prompt" in found:
        prompt.add(found["prompt"])
    if "output_messages" in found:
        answer.add_messages(found["output_messages"])
    elif isinstance(pieces, list):
        answer.pieces(pieces, answer=True)
    if not answer.text and "answer" in found:
        answer.add(found["answer"])
    if "answer_tools" in found:
        answer.tool_calls(found["answer_tools"])
    answered = "" if found.get("operation") == "embeddings" else answer.text  # else: numbers
    text = Text(
        prompt.text,
        answered,
        answer.reasoning,
        prompt.brought,
        tuple(answer.calls),
        _offer(found.get("offered_tools")),
        _schema(found),
    )
    return (text if text.prompt or text.answer else None), tuple(answer.reasons), tuple(answer.tools)
