"""
Unsafe content, judged by a classifier that runs elsewhere.

Speaks OpenAI's moderation API (`/v1/moderations`) and the chat of a Llama-Guard-like model (`/v1/chat/completions`,
answering `safe`, or `unsafe` and categories). Catches and misses what that model does. This alone sends text anywhere:
to the address that the operator configured, and nowhere else; off by default. Answers wait in a bounded queue for one
thread of its own, and what does not fit, fails or is not understood is dropped and counted. Verdicts count with the
call they are of, some time later.
"""

import http.client
import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from watchkeeper.core.errors import ConfigError
from watchkeeper.core.hosts import is_host
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Completion, Flag, Score
from watchkeeper.core.vocabulary import outputs

_LOG = logging.getLogger("watchkeeper.check.classifier")
_MAX_ANSWER_BYTES: Final = 1_048_576
_CATEGORIES: Final = 16
_JUDGED: Final = 10_000
_OPENAI: Final = frozenset(
    (
        "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
        "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors", "violence", "violence/graphic",
    )
)  # fmt: skip
_GUARD: Final = frozenset(f"S{number}" for number in range(1, 15))

Judgement = tuple[Completion, tuple[Score, ...]]


class ClassifierConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A classifier elsewhere. Text leaves watchkeeper for its address."""

    enabled: bool = False
    """True sends answers, and prompts where the classifier reads a dialogue, to `url`"""
    url: str = ""
    """whole address of the endpoint, such as http://guard:8000/v1/chat/completions"""
    dialect: Literal["moderation", "chat"] = "moderation"
    """OpenAI's moderation API, or the chat of a Llama-Guard-like model"""
    model: str = ""
    """name that the endpoint expects; empty sends none"""
    key: str = ""
    """bearer token; better given by `key_file` or environment variable"""
    key_file: str = ""
    """file with the bearer token and nothing else, read for each question; over `key`"""
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1
    """of all answers judged, spread evenly"""
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=120)] = 10.0
    """an answer that takes longer between two bytes is dropped"""
    max_queue: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200
    """answers that wait at most; further ones are dropped"""
    max_characters: Annotated[int, msgspec.Meta(ge=100, le=65_536)] = 8_000
    """of prompt and answer each, so many are sent"""


class RefusedError(Exception):
    """The classifier answered with another status than 200."""


class MalformedError(Exception):
    """What it answered is no verdict."""


class Classifier:
    def __init__(self, config: ClassifierConfig, ledger: Ledger) -> None:
        self._config = config
        self._ledger = ledger
        self._due = 1.0 - config.share
        self._waiting: deque[tuple[Completion, bytes]] = deque()
        self._judged: deque[Judgement] = deque(maxlen=_JUDGED)
        self._changed = threading.Condition()
        self._stopping = False
        self._is_failing = False
        for reason in ("full", "failed", "timed_out", "refused", "malformed"):
            ledger.add(outputs.DROPPED, 0, (("check", "classifier"), ("reason", reason)))
        self._thread = threading.Thread(target=self._run, name="check-classifier", daemon=True)
        self._thread.start()

    def score(self, call: Prepared) -> tuple[Score, ...]:
        if not call.answer:
            return ()
        self._due += self._config.share
        if self._due < 1:
            return ()
        self._due -= 1
        body = request_body(self._config, call.prompt, call.answer)
        bare = msgspec.structs.replace(call.completion, text=None)
        with self._changed:
            if len(self._waiting) >= self._config.max_queue:
                self._drop("full")
            else:
                self._waiting.append((bare, body))
                self._changed.notify()
        return ()

    def due(self) -> Sequence[Judgement]:
        with self._changed:
            judged = tuple(self._judged)
            self._judged.clear()
        return judged

    def close(self) -> None:
        with self._changed:
            self._stopping = True
            self._waiting.clear()
            self._changed.notify()
        self._thread.join(self._config.timeout_seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if self._stopping:
                    return
                completion, body = self._waiting.popleft()
            reason = self._judge(completion, body)
            if reason:
                self._drop(reason)
                with self._changed:  # a classifier that is down is not asked as fast as it refuses
                    self._changed.wait_for(lambda: self._stopping, timeout=1.0)
            self._tell(reason)

    def _judge(self, completion: Completion, body: bytes) -> str:
        """Why there is no verdict; empty when there is one."""
        try:
            hits = verdict(self._config.dialect, post(self._config, body))
        except TimeoutError:
            return "timed_out"
        except RefusedError:
            return "refused"
        except MalformedError:
            return "malformed"
        except (OSError, http.client.HTTPException):
            return "failed"
        with self._changed:
            self._judged.append((completion, (Flag("classifier", hits),)))
        return ""

    def _tell(self, reason: str) -> None:
        if bool(reason) == self._is_failing:
            return
        self._is_failing = bool(reason)
        if reason:
            _LOG.error("classifier gives no verdict (%s): see whether checks.classifier.url is reachable", reason)
        else:
            _LOG.warning("classifier is back")

    def _drop(self, reason: str) -> None:
        self._ledger.add(outputs.DROPPED, 1, (("check", "classifier"), ("reason", reason)))


def request_body(config: ClassifierConfig, prompt: str, answer: str) -> bytes:
    asked, said = prompt[-config.max_characters :], answer[: config.max_characters]
    body: dict[str, Any] = {"model": config.model} if config.model else {}
    if config.dialect == "moderation":
        body["input"] = said
    else:
        user = [{"role": "user", "content": asked}] if asked else []
        body |= {"messages": [*user, {"role": "assistant", "content": said}], "max_tokens": 32, "temperature": 0}
    return msgspec.json.encode(body)


def post(config: ClassifierConfig, body: bytes) -> bytes:
    """
    :raises RefusedError: another status than 200
    :raises OSError: the endpoint, or the file with the key, is not there; TimeoutError when it is too slow
    """
    key = Path(config.key_file).read_text(encoding="utf-8").strip() if config.key_file else config.key
    address = urlsplit(config.url)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=config.timeout_seconds)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    try:
        connection.request("POST", f"{address.path or '/'}{'?' if address.query else ''}{address.query}", body, headers)
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise RefusedError
        answer = response.read(_MAX_ANSWER_BYTES + 1)
    finally:
        connection.close()
    if len(answer) > _MAX_ANSWER_BYTES:
        raise MalformedError
    return answer


def verdict(dialect: str, answer: bytes) -> tuple[tuple[str, int], ...]:
    """
    Categories out of the API's own list, the rest as `other`; none when safe.

    :raises MalformedError: no verdict is in it
    """
    try:
        found = msgspec.json.decode(answer)
        words = _moderated(found["results"][0]) if dialect == "moderation" else _guarded(_first_choice(found))
    except (msgspec.DecodeError, UnicodeError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise MalformedError from error
    known = _OPENAI if dialect == "moderation" else _GUARD
    kinds = dict.fromkeys(word if word in known else "other" for word in words[:_CATEGORIES])
    return tuple((kind, 1) for kind in kinds)


def _moderated(result: dict[str, Any]) -> list[str]:
    if not isinstance(result["flagged"], bool):
        raise MalformedError
    if not result["flagged"]:
        return []
    return [name for name, is_on in result.get("categories", {}).items() if is_on is True] or ["other"]


def _first_choice(found: dict[str, Any]) -> str:
    said: str = found["choices"][0]["message"]["content"]
    return said.strip()


def _guarded(said: str) -> list[str]:
    """`safe`, or `unsafe`, a line feed and categories with commas between."""
    word, _, categories = said.partition("\n")
    if word.strip().lower() == "safe":
        return []
    if word.strip().lower() != "unsafe":
        raise MalformedError
    return [one.strip().upper() for one in categories.split(",") if one.strip()] or ["other"]


def _problems(config: ClassifierConfig) -> tuple[str, ...]:
    try:
        address = urlsplit(config.url)
        is_whole = address.scheme in ("http", "https") and is_host(address.hostname or "") and address.port != 0
        is_whole = is_whole and "@" not in address.netloc  # `key_file` is where credentials belong
    except ValueError:
        is_whole = False
    found: tuple[str, ...] = (
        () if is_whole else ("url: give the whole address, such as http://guard:8000/v1/moderations",)
    )
    if config.key_file and not os.access(config.key_file, os.R_OK):
        found += (f"key_file: '{config.key_file}' cannot be read; give a file with the token",)
    return tuple(f"checks.classifier.{problem}" for problem in found)


def _build(config: ClassifierConfig, ledger: Ledger) -> Classifier:
    """:raises ConfigError: the address is none"""
    if problems := _problems(config):
        raise ConfigError(*problems)
    return Classifier(config, ledger)


PLUGIN: Final = Plugin(
    name="classifier",
    summary="Unsafe content, judged by a classifier that runs elsewhere.",
    config=ClassifierConfig,
    build=_build,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=(*outputs.VERDICTS, outputs.DROPPED),
    problems=_problems,
)
