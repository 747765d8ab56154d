"""What a request's body says: read after the exchange, never while it passes."""

import zlib
from typing import Any, Final

import msgspec

from collector.tap import encodings
from collector.tap.dialects import MALFORMED
from collector.tap.exchange import Exchange

_MAX_DEPTH: Final = 8
_CALL_OUTPUT: Final = "function_call_output"
_FROM_TOOLS: Final = (b'"tool"', b'"function_call_output"')
_WORDS: Final = ("content", "text", "input_text", "output")
_MAX_TOKENS: Final = 1_000_000_000
MAX_MODEL_CHARACTERS: Final = 512


class _Options(msgspec.Struct, gc=False):
    """Ollama's."""

    num_predict: Any = None
    temperature: Any = None


class Asked(msgspec.Struct, gc=False):
    """Fields of every API that is measured; those with words are decoded only when text is wanted."""

    model: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    temperature: Any = None
    options: _Options | None = None
    system: msgspec.Raw = msgspec.Raw()
    instructions: msgspec.Raw = msgspec.Raw()
    messages: msgspec.Raw = msgspec.Raw()
    prompt: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()
    response_format: msgspec.Raw = msgspec.Raw()
    format: msgspec.Raw = msgspec.Raw()
    text: msgspec.Raw = msgspec.Raw()

    @property
    def model_name(self) -> str:
        return self.model[:MAX_MODEL_CHARACTERS] if isinstance(self.model, str) else ""

    @property
    def token_limit(self) -> int | None:
        """Most tokens it asks for; None: no limit given."""
        of_ollama = self.options.num_predict if self.options else None
        for value in (self.max_tokens, self.max_completion_tokens, self.max_output_tokens, of_ollama):
            if isinstance(value, int) and 0 < value <= _MAX_TOKENS:
                return value
        return None

    @property
    def heat(self) -> float | None:
        value = self.temperature if self.temperature is not None else (self.options and self.options.temperature)
        return float(value) if isinstance(value, int | float) and 0 <= value <= 100 else None

    def words(self, limit: int) -> str:
        """Text of the prompt, at most `limit` characters."""
        found: list[str] = []
        room = limit
        for raw in (self.system, self.instructions, self.messages, self.prompt, self.input):
            if bytes(raw) and room > 0:
                room = _gather(msgspec.json.decode(raw), found, room, _MAX_DEPTH)
        return "\n".join(found)[:limit]

    def brought(self, limit: int) -> str:
        """The part of the prompt that tools brought, at most `limit` characters."""
        found: list[str] = []
        room = limit
        for raw in (self.messages, self.input):
            if any(word in bytes(raw) for word in _FROM_TOOLS):
                for message in _listed(msgspec.json.decode(raw)):
                    if room > 0 and (message.get("role") == "tool" or message.get("type") == _CALL_OUTPUT):
                        room = _gather(message, found, room, _MAX_DEPTH)
        return "\n".join(found)[:limit]

    def offer(self, limit: int) -> str:
        """The tools offered, as JSON; empty when they are more than `limit` bytes."""
        return bytes(self.tools).decode() if len(bytes(self.tools)) <= limit else ""

    def schema(self) -> str:
        """What the answer was asked to fit: a JSON Schema, `{}` for any JSON, empty for nothing."""
        for raw in (self.response_format, self.format, self.text):
            if bytes(raw) and (schema := _schema(msgspec.json.decode(raw))):
                return schema
        return ""


_decode = msgspec.json.Decoder(Asked).decode


def read(exchange: Exchange, limit_bytes: int) -> Asked | None:
    """None when the body is not there, too large, or not such an object."""
    if exchange.request is None or not exchange.is_whole_request:
        return None
    try:
        return _decode(encodings.whole(bytes(exchange.request), exchange.request_coding, limit_bytes))
    except (encodings.Bomb, zlib.error, *MALFORMED):
        return None


def _gather(value: Any, found: list[str], room: int, depth: int) -> int:
    if isinstance(value, str):
        found.append(value[:room])
        return room - len(value) - 1
    if depth <= 0:
        return room
    if isinstance(value, list):
        for item in value:
            if room <= 0:
                break
            room = _gather(item, found, room, depth - 1)
    elif isinstance(value, dict):
        for name in _WORDS:
            if room > 0 and isinstance(value.get(name), str | list | dict):
                room = _gather(value[name], found, room, depth - 1)
    return room


def _listed(messages: Any) -> list[dict[str, Any]]:
    return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []


def _schema(wanted: Any) -> str:
    """
    Of `response_format` of chats, `format` of Ollama (a word or a schema) and `text` of the responses API.

    >>> _schema({"type": "json_object"}), _schema("json"), _schema({"type": "text"})
    ('{}', '{}', '')
    """
    if isinstance(wanted, dict) and isinstance(inner := wanted.get("format"), dict):
        wanted = inner
    if not isinstance(wanted, dict):
        return "{}" if wanted == "json" else ""
    kind = wanted.get("type")
    if kind == "json_object":
        return "{}"
    if kind == "json_schema":
        holder = wanted.get("json_schema")
        schema = holder.get("schema") if isinstance(holder, dict) else wanted.get("schema")
        return msgspec.json.encode(schema).decode() if isinstance(schema, dict) else "{}"
    return msgspec.json.encode(wanted).decode() if kind == "object" or "$schema" in wanted else ""
