"""
What senders write into an attribute, to what it means. Every parser takes the decoded value and returns the canonical
one, None for "not given", or INVALID for a value that cannot be right (counted, then treated as not given).
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

import msgspec

from watchkeeper.core.finish_reasons import NOT_GIVEN, canonical

Parse = Callable[[object], object]


class Invalid(Enum):
    INVALID = "invalid"


INVALID: Final = Invalid.INVALID

MAX_TOKENS: Final = 1_000_000_000
MAX_SECONDS: Final = 86_400.0
MAX_JSON_CHARACTERS: Final = 1 << 20
"""longer JSON in a string is not parsed: as Python objects it takes up to 20 times its size"""
_MAX_REASONS: Final = 64

_LONGEST_NOT_GIVEN: Final = max(map(len, NOT_GIVEN))
_QUOTED: Final = re.compile(r'"(.*)"', re.DOTALL)
_RUST: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|µs|μs|us|ms|s)")
_RUST_SECONDS: Final = {"ns": 1e-9, "µs": 1e-6, "μs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0}
_MAX_WORDS: Final = 512
_CODE: Final = re.compile(r"(?:error|status)(?:[ _]code)?[ :=]+([45]\d\d)\b|\A([45]\d\d)\b", re.IGNORECASE)
_TIMED_OUT: Final = re.compile(r"timed out", re.IGNORECASE)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_decode_json = msgspec.json.Decoder().decode


def text(value: object) -> object:
    """A name. Numbers and booleans as text; JSON's own quotes around it are taken off."""
    if isinstance(value, str):
        stripped = value.strip()
        if stripped[:1] == '"' and (quoted := _QUOTED.fullmatch(stripped)):
            stripped = quoted[1].strip()
        return None if len(stripped) <= _LONGEST_NOT_GIVEN and stripped.lower() in NOT_GIVEN else stripped
    if value is None or isinstance(value, bool | int | float):
        return None if value is None else str(value)
    return INVALID


def whole_text(value: object) -> object:
    """Prompt or answer, as it came: a string, or structured."""
    return value if value else None


def as_sent(value: object) -> object:
    """For a value whose meaning its dialect tells later."""
    return value


def tokens(value: object) -> object:
    """A count from 0 to a billion."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value <= MAX_TOKENS else INVALID
    if isinstance(value, bool):
        return INVALID
    amount = number(value)
    if isinstance(amount, float):
        return int(amount) if 0 <= amount <= MAX_TOKENS and amount.is_integer() else INVALID
    return amount


def positive_tokens(value: object) -> object:
    """A limit: 0 and below mean that none was set."""
    count = tokens(value)
    return (count or None) if count is not INVALID else (None if value in (-1, "-1") else INVALID)


def number(value: object) -> object:
    """A finite float."""
    if isinstance(value, str):
        stripped = value.strip()
        if stripped.lower() in NOT_GIVEN:
            return None
        try:
            value = float(stripped)
        except ValueError:
            return INVALID
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return INVALID
    try:
        amount = float(value)
    except OverflowError:  # JSON knows integers of any length
        return INVALID
    return amount if math.isfinite(amount) else INVALID


def seconds(value: object) -> object:
    """From 0 to a day."""
    if value.__class__ is float:
        return value if 0.0 <= value <= MAX_SECONDS else INVALID
    amount = number(value)
    if isinstance(amount, float) and not 0 <= amount <= MAX_SECONDS:
        return INVALID
    return amount


def milliseconds(value: object) -> object:
    """Milliseconds to seconds."""
    amount = number(value)
    return seconds(amount / 1000) if isinstance(amount, float) else amount


def rust_duration(value: object) -> object:
    """
    Rust's debug form of a Duration to seconds.

    >>> rust_duration("45ms"), rust_duration("1.5s")
    (0.045, 1.5)
    """
    if not isinstance(value, str):
        return INVALID
    found = _RUST.fullmatch(value.strip())
    return seconds(float(found[1]) * _RUST_SECONDS[found[2]]) if found else INVALID


def flag(value: object) -> object:
    if isinstance(value, bool) or value is None:
        return value
    word = str(value).strip().lower()
    if word in ("true", "1"):
        return True
    return False if word in ("false", "0") else (None if word in NOT_GIVEN else INVALID)


def port(value: object) -> object:
    """As text, 1 to 65535."""
    amount = number(value)
    if isinstance(amount, float):
        return str(int(amount)) if amount.is_integer() and 0 < amount < 65536 else INVALID
    return amount


def moment(value: object) -> object:
    """ISO 8601, perhaps inside JSON quotes, to unix nanoseconds."""
    name = text(value)
    if not isinstance(name, str):
        return name
    try:
        at = datetime.fromisoformat(name)
        return (at - _EPOCH) // timedelta(microseconds=1) * 1000
    except (ValueError, TypeError, OverflowError):  # not a time, or one without its zone
        return INVALID


def json_object(value: object) -> object:
    """A dict sent as JSON text, or structured."""
    found = parsed_json(value) if isinstance(value, str) else value
    return found if isinstance(found, dict) else None


def parsed_json(value: str) -> object:
    """What the JSON text says; None when it is not JSON, too long, or nested too deep."""
    if len(value) > MAX_JSON_CHARACTERS:
        return None
    try:
        return _decode_json(value)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None


def finish_reasons(value: object) -> object:
    """An array of strings, one string, or one string that holds a JSON array, to canonical reasons."""
    if isinstance(value, str):
        found = parsed_json(value) if value.lstrip()[:1] == "[" else None
        value = found if isinstance(found, list) else [value]
    if value is None:
        return None
    if not isinstance(value, list):
        return INVALID
    words = (canonical(item) for item in value[:_MAX_REASONS] if isinstance(item, str))
    return tuple(word for word in words if word) or None


AZURE: Final = "azure"
GOOGLE: Final = "google"
PROVIDERS: Final = {
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "az.ai.inference": "azure.ai.inference",
    "az.ai.openai": "azure.ai.openai",
    "xai": "x_ai",
    "mistralai": "mistral_ai",
    "openai.responses": "openai",
    "openai.chat": "openai",
    "openai.completion": "openai",
    "openai.embedding": "openai",
    "anthropic.messages": "anthropic",
    "aws": "aws.bedrock",
    AZURE: AZURE,
    GOOGLE: GOOGLE,
}
"""Older and other names to the conventions' own."""


def provider(value: object) -> object:
    """The canonical provider, in small letters as all are; AZURE and GOOGLE need `paired_provider`."""
    name = text(value)
    if not isinstance(name, str):
        return name
    lower = name.lower()
    return PROVIDERS.get(lower, lower)


def paired_provider(name: str, system: str) -> str:
    """Out of OpenInference's two halves of the name."""
    if name == AZURE:
        return "azure.ai.openai" if system == "openai" else "azure.ai.inference"
    return "gcp.vertex_ai" if system == PROVIDERS["vertexai"] else "gcp.gen_ai"


def error_type(value: object) -> object:
    """
    A class name without its module, or a code, as sent.

    >>> error_type("openai.RateLimitError"), error_type("429")
    ('RateLimitError', '429')
    """
    name = text(value)
    return name.rsplit(".", 1)[-1].strip("'<> ")[:128] or None if isinstance(name, str) else name


def code_in_words(value: object) -> object:
    """
    The HTTP status that a client's words about a failure name, or `timeout`; nothing else of them.

    >>> code_in_words("Error code: 429 - slow down"), code_in_words("Request timed out.")
    ('429', 'timeout')
    """
    if not isinstance(value, str):
        return None
    start = value[:_MAX_WORDS]
    if found := _CODE.search(start):
        return found[1] or found[2]
    return "timeout" if _TIMED_OUT.search(start) else None


def address(url: str) -> tuple[str, str]:
    """
    Host and port of a URL, "" for what it does not say or cannot be right.

    >>> address("http://127.0.0.1:18080/v1/")
    ('127.0.0.1', '18080')
    """
    try:
        parts = urlsplit(url)
        number = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return parts.hostname or "", str(number or "")
    except ValueError:
        return "", ""
