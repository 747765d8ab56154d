"""
What evaluators and users say of an answer, in the words of every dialect.

A new dialect is one line of DIALECTS (and, where it speaks by a span's own attributes, a row of `fields`). Explanations
and comments are text: no line names them, so nobody decodes them.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

from collector.otlp import values
from watchkeeper.core.finish_reasons import NOT_GIVEN

MAX_SCORE: Final = 1e6
MAX_LABEL_CHARACTERS: Final = 64
MAX_NAME_CHARACTERS: Final = 128
MAX_PER_ITEM: Final = 64
"""judgements that one span or log record may bring"""
UNNAMED: Final = "unnamed"
PREFIX: Final = "gen_ai.evaluation."
"""begins the name of every evaluation event of the conventions, those of today and of before"""

NAME: Final = "gen_ai.evaluation.name"
RESPONSE_ID: Final = "gen_ai.response.id"
FEEDBACK_NAME: Final = "logfire.feedback.name"
FEEDBACK_VALUE: Final = "logfire.feedback.value"
"""our name for the attribute that Logfire calls as the evaluation is called"""

_SCORES: Final = ("gen_ai.evaluation.score.value", "gen_ai.evaluation.score")
_LABELS: Final = ("gen_ai.evaluation.score.label",)
_PASSED: Final = "gen_ai.evaluation.passed"


class Dialect(NamedTuple):
    """Attributes, in order of preference. `event` names the span event or log record; "" = a span's own attributes."""

    event: str
    name: str
    scores: tuple[str, ...]
    labels: tuple[str, ...] = ()
    passed: str = ""
    """a yes or no, the label where there is no other"""
    json: str = ""
    """the attribute that holds all of the others as JSON"""
    listed: str = ""
    """the part of a log record's body that holds many of them"""


RESULT: Final = Dialect("gen_ai.evaluation.result", NAME, _SCORES, _LABELS, _PASSED)
"""OpenTelemetry's conventions, Azure, LangChain, OpenSearch, Strands: a log record, a span event or a span"""
FEEDBACK: Final = Dialect("", FEEDBACK_NAME, (FEEDBACK_VALUE,), (FEEDBACK_VALUE,))
"""Logfire: a span below the one that is judged; a number or yes and no is a score, a word a label"""
DIALECTS: Final = (
    RESULT,
    Dialect("gen_ai.evaluation.results", NAME, _SCORES, _LABELS, _PASSED, listed="gen_ai.evaluations"),  # Splunk
    Dialect("langwatch.evaluation.custom", "name", ("score",), ("label",), "passed", json="json_encoded_event"),
    Dialect("langwatch.event", "event.type", ("event.metrics.vote",)),  # LangWatch's thumbs
    FEEDBACK,
)
BY_EVENT: Final = {dialect.event: dialect for dialect in DIALECTS if dialect.event}
WANTED: Final = frozenset(
    name
    for dialect in DIALECTS
    for name in (dialect.name, *dialect.scores, *dialect.labels, dialect.passed, dialect.json, RESPONSE_ID)
    if name
)
"""attributes of an event that are decoded"""


class Said(NamedTuple):
    """One judgement: a score, a label, or both."""

    name: str
    score: float | None
    label: str


def dialect_of(event: str) -> Dialect | None:
    """
    How an event of this name is read; None: it is no judgement.

    Before the conventions had one event for all, the evaluation's name ended its name: `gen_ai.evaluation.relevance`.
    """
    known = BY_EVENT.get(event)
    if known is None and event.startswith(PREFIX):
        return RESULT
    return known


def judgements(
    dialect: Dialect, event: str, found: Mapping[str, object], body: object, invalid: Counter[str]
) -> list[Said]:
    """
    What one event, span or log record says, at most MAX_PER_ITEM.

    :param found: attributes by name, as sent
    :param body: of a log record, decoded, where the dialect puts something there; else None
    :param invalid: counts what cannot be used: evaluation_name, evaluation_score, evaluation_label
    """
    if dialect.json:
        inside = values.json_object(found.get(dialect.json))
        if not isinstance(inside, dict):
            invalid["evaluation_score"] += 1
            return []
        said = [_read(dialect, "", inside, invalid)]
    elif dialect.listed and isinstance(body, dict) and isinstance(listed := body.get(dialect.listed), list):
        many = [item for item in listed[:MAX_PER_ITEM] if isinstance(item, dict)]
        said = [_read(dialect, "", item, invalid) for item in many]
    else:
        default = "" if event in BY_EVENT else event.removeprefix(PREFIX)
        said = [_read(dialect, default, found, invalid)]
    return [one for one in said if one is not None]


def _read(dialect: Dialect, default_name: str, found: Mapping[str, object], invalid: Counter[str]) -> Said | None:
    name = _name(found.get(dialect.name)) or default_name or UNNAMED
    if name is values.INVALID:
        invalid["evaluation_name"] += 1
        return None
    worded = dialect is FEEDBACK and isinstance(found.get(FEEDBACK_VALUE), str)
    score = None if worded else _first(dialect.scores, found, _score, "evaluation_score", invalid)
    label = None
    if worded or dialect is not FEEDBACK:
        label = _first(dialect.labels, found, _label, "evaluation_label", invalid)
    if label is None and dialect.passed and (passed := values.flag(found.get(dialect.passed))) in (True, False):
        label = "pass" if passed else "fail"
    if score is None and label is None:
        return None
    return Said(str(name), score if isinstance(score, float) else None, label if isinstance(label, str) else "")


def _first(
    names: tuple[str, ...], found: Mapping[str, object], parse: values.Parse, field: str, invalid: Counter[str]
) -> object:
    """The first that is given; None when it cannot be used."""
    for name in names:
        parsed = parse(found.get(name))
        if parsed is values.INVALID:
            invalid[field] += 1
            return None
        if parsed is not None:
            return parsed
    return None


def _score(value: object) -> object:
    """
    A finite number of at most a million. Yes is 1 and no is 0.

    >>> _score(True), _score("0.5"), _score("false")
    (1.0, 0.5, 0.0)
    """
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        value = value.strip().lower() == "true"
    if isinstance(value, bool):
        return 1.0 if value else 0.0
    amount = values.number(value)
    return values.INVALID if isinstance(amount, float) and abs(amount) > MAX_SCORE else amount


def _label(value: object) -> object:
    """A word or two on one line: what is longer may be an explanation."""
    if isinstance(value, bool | int):
        return str(value).lower()
    return _word(value, MAX_LABEL_CHARACTERS)


def _name(value: object) -> object:
    return _word(value, MAX_NAME_CHARACTERS)


def _word(value: object, max_characters: int) -> object:
    if value is None:
        return None
    if not isinstance(value, str):
        return values.INVALID
    word = value.strip()
    if word.lower() in NOT_GIVEN:
        return None
    return word if len(word) <= max_characters and word.isprintable() else values.INVALID
