"""
Sampled capture of text, for people who must read some answers. Off unless the operator asks for it.

A random share of the calls that come with text is written to a file of the operator's, redacted first: the raw text is
gone when `take` returns, as it is without capture. docs/privacy.md says what this finds and misses.
"""

import logging
import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.lines import LineFile, LineWriter
from watchkeeper.core.records import Completion, Flag, Score
from watchkeeper.core.vocabulary import capture

if TYPE_CHECKING:
    from detectors.checks.secrets import SecretsConfig
    from detectors.redaction import Redactor

_LOG: Final = logging.getLogger("watchkeeper.capture")
VERSION: Final = 1
_FILES: Final = 4
_MOST_WAITING_BYTES: Final = 8 << 20
_CLOSE_SECONDS: Final = 2.0
_ENCODER: Final = msgspec.json.Encoder()


class CaptureConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prompts and answers in a file, redacted. See docs/privacy.md before it is switched on."""

    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    """share of the calls with text whose prompt and answer are written down, redacted, at random; 0 is off"""
    path: str = ""
    """file that lines of JSON are appended to, readable by the owner alone; needed when share is above 0"""
    most_mebibytes: Annotated[int, msgspec.Meta(ge=1)] = 64
    """room for the file and the three older ones beside it; the oldest makes way"""
    max_characters: Annotated[int, msgspec.Meta(ge=1, le=50_000)] = 8_000
    """what is kept of a prompt, and of an answer"""
    only_flagged: bool = False
    """only calls that some check marked"""
    patterns: tuple[str, ...] = ()
    """regular expressions (Python's) of what must not be written either, such as customer numbers"""


class Capture:
    """Belongs to the pipeline's thread; the file to a thread of its own. What it cannot write it drops and counts."""

    def __init__(
        self, config: CaptureConfig, redactor: "Redactor", file: LineFile, ledger: Ledger, chance: random.Random
    ) -> None:
        self._config = config
        self._redactor = redactor
        self._ledger = ledger
        self._chance = chance
        self._lines = LineWriter(file, _MOST_WAITING_BYTES, self._count)
        self._said = ""
        self._has_failed = False

    def take(self, call: Completion, scores: Sequence[Score]) -> None:
        """Write the call down if it is drawn. Never raises. :param scores: what the checks said of it"""
        if call.text is None or not (call.text.prompt or call.text.answer):
            return
        flags = tuple(score.name for score in scores if isinstance(score, Flag) and score.hits)
        if (self._config.only_flagged and not flags) or self._chance.random() >= self._config.share:
            return
        try:
            line = self._line(call, flags)
        except Exception as error:  # noqa: BLE001 - costs this text alone; its message may hold it
            self._count("failed", 1)
            if not self._has_failed:
                self._has_failed = True
                _LOG.error("capture failed (%s); that call is not written", type(error).__name__)
        else:
            self._lines.put(line)

    def tick(self) -> None:
        """Say once when the file cannot be written, and once when it can again."""
        problem = self._lines.problem
        if problem != self._said:
            self._said = problem
            if problem:
                _LOG.error("%s; captured text waits in memory, the oldest goes first", problem)
            else:
                _LOG.warning("captured text is written again")

    def close(self) -> None:
        """Write what waits, for two seconds at most."""
        if not self._lines.close(_CLOSE_SECONDS):
            _LOG.warning("some captured text was not written before the end")

    def _line(self, call: Completion, flags: tuple[str, ...]) -> bytes:
        given = call.text
        line: dict[str, Any] = {
            "version": VERSION,
            "time": datetime.fromtimestamp(call.at, UTC).isoformat(timespec="milliseconds"),
            "namespace": call.namespace,
            "service": call.service,
            "request_model": call.request_model,
            "response_model": call.response_model,
            "outcome": call.outcome.value if call.outcome else "",
            "input_tokens": call.input_tokens,
            "output_tokens": call.output_tokens,
            "trace_id": call.trace_id.hex(),
            "span_id": call.span_id.hex(),
            "flags": flags,
        }
        redacted: dict[str, int] = {}
        cut, is_withheld = [], False
        for name, text in (("prompt", given.prompt), ("answer", given.answer)) if given else ():
            done = self._redactor.redact(text, self._config.max_characters)
            line[name] = done.text
            is_withheld = is_withheld or done.is_withheld
            if done.is_cut:
                cut.append(name)
            for kind, count in done.found.items():
                redacted[kind] = redacted.get(kind, 0) + count
        encoded = _ENCODER.encode({**line, "cut": cut, "redacted": redacted}) + b"\n"
        for kind, count in redacted.items():
            self._ledger.add(capture.REDACTED, count, ((capture.KIND, kind),))
        if is_withheld:
            self._count("withheld", 1)
        return encoded

    def _count(self, outcome: str, amount: int) -> None:
        if amount:
            self._ledger.add(capture.CALLS, amount, ((capture.OUTCOME, outcome),))


def problems(config: CaptureConfig) -> tuple[str, ...]:
    """A line for each mistake that can be known before the start."""
    found = []
    if config.share and not config.path:
        found.append("capture.path: is needed when capture.share is above 0; give a file on a volume that is protected")
    for index, pattern in enumerate(config.patterns):
        try:
            re.compile(pattern)
        except re.error as error:
            found.append(f"capture.patterns[{index}]: no regular expression ({error.msg} at character {error.pos})")
    return tuple(found)


def configured_capture(config: CaptureConfig, secrets: "SecretsConfig | None", ledger: Ledger) -> Capture | None:
    """
    None when it is off.

    :param secrets: whose canaries are taken out too
    :raises ConfigError: the file cannot be written, or that of canaries not read
    """
    if not config.share:
        return None
    file = LineFile(Path(config.path), config.most_mebibytes << 20, _FILES, 0o600, owned=True)
    try:
        file.probe()
    except OSError as error:
        raise ConfigError(
            f"capture.path: '{config.path}' cannot be written: {error.strerror}; give a path on a writable volume"
        ) from None
    kept = "those that a check marks of " if config.only_flagged else ""
    _LOG.warning(
        "capture is on: of %s%g %% of the calls with text, prompt and answer are written, redacted, to %s",
        kept, config.share * 100, config.path,
    )  # fmt: skip
    from detectors.checks.secrets import canaries  # here: a foreign package of that name is told of first
    from detectors.redaction import Redactor

    redactor = Redactor(canaries(secrets) if secrets else (), [re.compile(pattern) for pattern in config.patterns])
    return Capture(config, redactor, file, ledger, random.Random())  # noqa: S311 - which are drawn is no secret
