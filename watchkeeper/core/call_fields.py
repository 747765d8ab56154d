"""
Records of calls as others write them, to Completions: by the usual names of their fields, or by where they are said to
be. Used for files and for topics of logs.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from math import isfinite
from typing import Any, Final, NamedTuple, cast

from watchkeeper.core.finish_reasons import canonical
from watchkeeper.core.labels import clean
from watchkeeper.core.records import Completion, Outcome, Text

TIME_NAMES: Final = ("at", "time", "timestamp", "start_time", "created_at", "ts")
"""where the time is looked for, in whatever case"""
_THOUSAND_FROM: Final = 1e11
"""a time that is larger is in thousandths: in seconds it would lie behind the year 5000"""

Record = Mapping[str, Any]


class Field(NamedTuple):
    """A part of a call, and what it is usually called. `scale` turns what stands under a name into the part's unit."""

    name: str
    aliases: Mapping[str, float]


def _field(name: str, *aliases: str, **scaled: float) -> Field:
    return Field(name, dict.fromkeys((name, *aliases), 1.0) | scaled)


NUMBERS: Final = (
    _field("input_tokens", "prompt_tokens", "usage.prompt_tokens", "usage.input_tokens", "contexttokens",
           "gen_ai.usage.input_tokens", "num_prompt_tokens", "input_length"),
    _field("output_tokens", "completion_tokens", "usage.completion_tokens", "usage.output_tokens", "generatedtokens",
           "gen_ai.usage.output_tokens", "num_generated_tokens", "output_length"),
    _field("cached_input_tokens", "usage.prompt_tokens_details.cached_tokens"),
    _field("reasoning_tokens", "usage.completion_tokens_details.reasoning_tokens"),
    _field("max_output_tokens", "max_tokens", "max_completion_tokens"),
    _field("duration_seconds", "duration", "latency", "latency_seconds", "total_time", "elapsed",
           duration_ms=1e-3, latency_ms=1e-3),
    _field("time_to_first_token_seconds", "time_to_first_token", "ttft", "first_token_seconds",
           ttft_ms=1e-3, first_token_ms=1e-3),
)  # fmt: skip
WORDS: Final = (
    _field("namespace", "k8s.namespace.name"),
    _field("service", "service.name", "app", "application"),
    _field("request_model", "model", "gen_ai.request.model", "model_name", "generator"),
    _field("tenant", "tenant_id", "customer"),
    _field("finish_reason", "finish_reasons", "stop_reason", "choices.0.finish_reason"),
    _field("error_type", "error", "error.type", "exception"),
)
TEXTS: Final = (
    _field("prompt", "input", "question", "instruction", "messages", "request", "query"),
    _field("answer", "response", "output", "completion", "generated_text", "generation", "choices.0.message.content"),
    _field("context", "documents", "retrieved"),
    _field("reasoning", "reasoning_content", "thinking"),
)
FIELDS: Final = ("time", *(field.name for field in (*NUMBERS, *WORDS, *TEXTS)))
WHOLE: Final = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens", "max_output_tokens")

_NO_ERROR: Final = frozenset(("", "0", "0.0", "false", "no", "none", "null", "nan", "ok", "success"))
"""what stands for an error where there was none, in whatever case"""
_KIND: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
"""of an error: a word"""
_BLANK: Final = "\n"
"""an answer that is told and has nothing in it; an empty one would be one that was not told"""
_TOOL_CALLS: Final = ("tool_calls", "function_call", "choices")
_MOST_SHAPES: Final = 256

Places = Mapping[str, tuple[str, float] | None]
"""by field: the path to it and its scale; None where the record has none"""


class CallReader:
    """
    `unread` counts what could not be read, by field.

    :param paths: of fields, by name, in place of the usual ones
    :param service: of calls that tell none
    """

    def __init__(self, paths: Mapping[str, str], service: str) -> None:
        self._paths = paths
        self._service = service
        self._shapes: dict[tuple[str, ...], Places] = {}
        self.unread: Counter[str] = Counter()

    def places(self, record: Record) -> Places:
        """As `locate`, remembered for records that tell the same fields: what one leaves empty another may tell."""
        shape = tuple(_filled(record))
        found = self._shapes.get(shape)
        if found is None:
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            found = self._shapes[shape] = self.locate(record)
        return found

    def locate(self, record: Record) -> Places:
        """Where each field of this record is."""
        names = {key.lower(): key for key in record}
        found: dict[str, tuple[str, float] | None] = {}
        for field in (Field("time", dict.fromkeys(TIME_NAMES, 1.0)), *NUMBERS, *WORDS, *TEXTS):
            if field.name in self._paths:
                found[field.name] = (self._paths[field.name], 1.0)
                continue
            present = ((names.get(alias, alias), scale) for alias, scale in field.aliases.items())
            found[field.name] = next((one for one in present if value_at(record, one[0]) is not None), None)
        return found

    def time(self, record: Record, found: Places) -> float | None:
        """Unix seconds; None where it cannot be read, which is counted."""
        where = found["time"]
        at = None if where is None else parse_time(value_at(record, where[0]))
        if at is None:
            self.unread["time"] += 1
        return at

    def call(self, record: Record, found: Places, at: float) -> Completion:
        """:param at: unix seconds at which it ended"""

        def value(name: str) -> Any:
            where = found[name]
            return None if where is None else value_at(record, where[0])

        numbers = {field.name: self._number(field.name, value(field.name), found[field.name]) for field in NUMBERS}
        words: dict[str, Any] = {field.name: _word(value(field.name)) for field in WORDS}
        words["error_type"] = _error(value("error_type"))
        texts: dict[str, Any] = {field.name: _text(value(field.name)) for field in TEXTS}
        if value("answer") == "" and texts["prompt"] and not any(record.get(name) for name in _TOOL_CALLS):
            texts["answer"] = _BLANK
        reason = canonical(words.pop("finish_reason"))
        words["service"] = words["service"] or self._service
        return Completion(
            at=at,
            **numbers,
            **words,
            finish_reasons=(reason,) if reason else (),
            outcome=Outcome.ERROR if words["error_type"] else Outcome.OK,
            text=Text(**texts) if any(texts.values()) else None,
        )

    def _number(self, name: str, value: Any, where: tuple[str, float] | None) -> Any:
        if value is None or value == "" or where is None:
            return None
        try:
            number = float(value) * where[1]
        except (TypeError, ValueError, OverflowError):
            number = -1.0
        if not (isfinite(number) and number >= 0):
            self.unread[name] += 1
            return None
        return int(number) if name in WHOLE else number


def has_call(found: Places) -> bool:
    """Whether anything of a call was located."""
    return any(found[field.name] for field in (*NUMBERS, *TEXTS))


def parse_time(value: object) -> float | None:
    """
    Unix seconds of a time in ISO 8601 (UTC where it says nothing), in unix seconds or thousandths, millionths, ....

    >>> parse_time("2023-11-16 18:15:46.5"), parse_time(1700158546500), parse_time("soon")
    (1700158546.5, 1700158546.5, None)
    """
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    number = finite(value)
    if number is not None:
        while abs(number) >= _THOUSAND_FROM:
            number /= 1000
        return number
    try:
        return parse_time(datetime.fromisoformat(str(value).strip()))
    except ValueError:
        return None


def finite(value: object) -> float | None:
    try:
        number = float(cast(Any, value))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def value_at(record: Record, path: str) -> Any:
    """What stands at a path; None where nothing does. A key may hold dots itself; a number is a place in a list."""
    if path in record:
        return record[path]
    head, _, rest = path.partition(".")
    while rest:
        inner = record.get(head)
        if isinstance(inner, list):
            inner = {str(place): one for place, one in enumerate(inner)}
        if isinstance(inner, Mapping):
            found = value_at(inner, rest)
            if found is not None:
                return found
        more, _, rest = rest.partition(".")
        head = f"{head}.{more}"
    return None


def _filled(record: Record) -> Iterator[str]:
    """Names that are not empty, also those one level down."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from (f"{name}.{inner}" for inner, held in value.items() if held is not None)
        elif value is not None:
            yield name


def _error(value: Any) -> str:
    """Its kind; empty where it says that there was none. A message is no kind: it may quote what was said."""
    if isinstance(value, Mapping) and value:
        return _kind(_word(value.get("type")) or _word(value.get("code")))
    word = _word(value)
    if word.lower() in _NO_ERROR:
        return ""
    return "error" if word.lower() in ("1", "1.0", "true", "yes") else _kind(word)


def _kind(word: str) -> str:
    return word if _KIND.fullmatch(word) else "error"


def _word(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if value else None
    return "" if value is None or isinstance(value, dict | list) else clean(str(value))


def _text(value: Any) -> str:
    """Text as it stands, or the contents of messages one after another."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(_text, value)))
    if isinstance(value, dict):
        return _text(value.get("content") or value.get("text") or "")
    return ""
