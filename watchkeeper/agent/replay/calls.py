"""
Files of calls to Completions: CSV, JSON lines and Parquet by the names of their fields, OTLP by its own rules.

A field is found by one of its usual names, in whatever case, or where `--field` says. What cannot be read is counted.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from watchkeeper.agent.references.files import TIME_NAMES, parse_time, records, value_at
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.labels import clean
from watchkeeper.core.records import Completion, Outcome, Text


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
_BEGINS_AT: Final = 1_000_000_000.0
"""unix seconds: of a file without times"""
_WHOLE: Final = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens", "max_output_tokens")


class Calls:
    """
    The calls of a file, one at a time, in its order. Once they were read, `unread` counts what could not be.

    :param paths: of fields, by name, in place of the usual ones
    :param service: of calls that tell none
    :param rate: calls a second where the file has no times; they begin at unix second 10^9
    """

    def __init__(self, path: Path, paths: Mapping[str, str], service: str, rate: float) -> None:
        self._path = path
        self._paths = paths
        self._service = service
        self._rate = rate
        self._found: dict[str, tuple[str, float] | None] | None = None
        self.unread: Counter[str] = Counter()
        self.has_times = True

    def read(self) -> Iterator[Completion]:
        """:raises ConfigError: the file cannot be read, or has nothing that is known"""
        for place, record in enumerate(records(self._path)):
            if record is None:
                self.unread["whole lines"] += 1
                continue
            if self._found is None:
                self._found = self._locate(record)
            call = self._call(record, place, self._found)
            if call is not None:
                yield call

    def _locate(self, record: Mapping[str, Any]) -> dict[str, tuple[str, float] | None]:
        """Where each field is, told by the first record."""
        names = {key.lower(): key for key in record}
        found: dict[str, tuple[str, float] | None] = {}
        for field in (Field("time", dict.fromkeys(TIME_NAMES, 1.0)), *NUMBERS, *WORDS, *TEXTS):
            if field.name in self._paths:
                found[field.name] = (self._paths[field.name], 1.0)
                continue
            present = ((names.get(alias, alias), scale) for alias, scale in field.aliases.items())
            found[field.name] = next((one for one in present if value_at(record, one[0]) is not None), None)
        if not any(found[field.name] for field in (*NUMBERS, *TEXTS)):
            raise ConfigError(
                f"{self._path}: no field of a call is found in it ({', '.join(sorted(map(str, record))[:8])}); "
                "say where they are: --field input_tokens=PATH --field answer=PATH"
            )
        self.has_times = found["time"] is not None
        return found

    def _call(
        self, record: Mapping[str, Any], place: int, found: Mapping[str, tuple[str, float] | None]
    ) -> Completion | None:
        def value(name: str) -> Any:
            where = found[name]
            return None if where is None else value_at(record, where[0])

        at: float | None = _BEGINS_AT + place / self._rate
        if self.has_times:
            at = parse_time(value("time"))
            if at is None:
                self.unread["time"] += 1
                return None
        numbers = {field.name: self._number(field.name, value(field.name), found[field.name]) for field in NUMBERS}
        words: dict[str, Any] = {field.name: _word(value(field.name)) for field in WORDS}
        texts: dict[str, Any] = {field.name: _text(value(field.name)) for field in TEXTS}
        reason = words.pop("finish_reason")
        words["service"] = words["service"] or self._service
        return Completion(
            at=at or 0.0,
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
        except (TypeError, ValueError):
            number = -1.0
        if not (isfinite(number) and number >= 0):
            self.unread[name] += 1
            return None
        return int(number) if name in _WHOLE else number


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


Change = Callable[[Completion], Completion]


def changed(factors: Mapping[str, float]) -> Change:
    """What --what-if asks for. :raises ConfigError: a name that is no number of a call"""
    known = [field.name for field in NUMBERS]
    if unknown := factors.keys() - set(known):
        raise ConfigError(f"--what-if {min(unknown)}: expected one of {', '.join(known)}")

    def change(call: Completion) -> Completion:
        scaled: dict[str, Any] = {}
        for name, factor in factors.items():
            number = getattr(call, name)
            if number is not None:
                scaled[name] = round(number * factor) if name in _WHOLE else number * factor
        return msgspec.structs.replace(call, **scaled)

    return change
