"""What crosses a stage: frozen, typed, never a dict."""

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.observed import Counted, Drawn
from watchkeeper.core.steps import Step

if TYPE_CHECKING:
    from watchkeeper.core.fleet import Event, Reached

Labels = tuple[tuple[str, str], ...]
"""Pairs of (OpenTelemetry attribute name, value), names from `Metric.labels`, in that order; absent = left out."""


class Distribution(msgspec.Struct, frozen=True):
    """
    Many histogram observations at once, as a scraped or pushed histogram brings them.

    `counts` are per bucket, not cumulative, one more than `bounds`. `bounds` may differ from the metric's own.
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    sum: float


class Sample(msgspec.Struct, frozen=True):
    """
    One number: a gauge reading, a counter *increment* (>= 0), one histogram observation, or many (Distribution).

    `at` is unix seconds, handed in by the caller.
    """

    metric: Metric
    value: float | Distribution
    at: float
    labels: Labels = ()


class Reason(StrEnum):
    """Why a number is missing. Bounded, because it becomes a label value."""

    UNSUPPORTED = "unsupported"
    NOT_PERMITTED = "not_permitted"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    MALFORMED = "malformed"
    LOST = "lost"
    OFF = "off"


class Gap(msgspec.Struct, frozen=True):
    """A number that should have been there. The gauge series it names go stale instead of freezing."""

    metric: Metric
    reason: Reason
    labels: Labels = ()
    is_one_series: bool = False
    """
    `labels` are all that the series has: those that have more beside them stay. A counter that is named so is at its
    end and goes some minutes later, instead of a day.
    """


class Vantage(StrEnum):
    """Where a latency was measured from."""

    CLIENT = "client"
    """the caller's span or log record"""
    ENGINE = "engine"
    """the engine's own span"""
    PAGE = "page"
    """the engine's metrics page"""
    TAP = "tap"
    """the pass-through in front of the engine"""
    TOTALS = "totals"
    """sums and counts that an engine pushes without usable buckets: means, never quantiles"""


class Outcome(StrEnum):
    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    REJECTED = "rejected"
    """refused for lack of capacity: 429, 503, overload"""
    CANCELLED = "cancelled"
    CLIENT_ERROR = "client_error"


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """A tool that the answer asks for. `arguments` is JSON as the model wrote it: text like any other."""

    name: str = ""
    arguments: str = ""

    def __repr__(self) -> str:
        return f"ToolCall({len(self.arguments)} characters)"


class Text(msgspec.Struct, frozen=True, gc=False):
    """
    Prompt and answer of one call. Never logged, stored, labelled or sent; gone when the checks have read it.

    What follows `answer` is told apart where the sender tells it apart.
    """

    prompt: str = ""
    """all that the model was given, results of tools too"""
    answer: str = ""
    """all that the model wrote, its reasoning and the arguments of its tool calls too"""
    reasoning: str = ""
    """the part of `answer` that was thought before it was said"""
    context: str = ""
    """the part of `prompt` that tools and retrieval brought"""
    calls: tuple[ToolCall, ...] = ()
    tools: str = ""
    """the tools that were offered: JSON as the request has it"""
    schema: str = ""
    """what the answer was asked to fit: a JSON Schema, or `{}` for any JSON"""

    def __repr__(self) -> str:
        return f"Text({len(self.prompt)} + {len(self.answer)} characters)"


class Completion(msgspec.Struct, frozen=True, gc=False):
    """
    One finished model call as one observer saw it. Durations in seconds, tokens as counts, None = not known.

    A call may be seen by its caller and by the engine: the record that comes first has `counts=True` and carries
    requests, tokens and outcome; a later one of the same call has `counts=False` and adds only what was missing
    (its own vantage's timings, finish reasons, or the text).
    """

    at: float
    """unix seconds at which the call ended"""
    vantage: Vantage = Vantage.CLIENT
    counts: bool = True
    operation: str = "chat"
    provider: str = ""
    request_model: str = ""
    response_model: str = ""
    service: str = ""
    service_version: str = ""
    namespace: str = ""
    pod: str = ""
    tenant: str = ""
    server_address: str = ""
    server_port: str = ""
    duration_seconds: float | None = None
    time_to_first_token_seconds: float | None = None
    queue_seconds: float | None = None
    prefill_seconds: float | None = None
    decode_seconds: float | None = None
    pace_seconds: float | None = None
    """per output token after the first; only where duration and first token come in different records of the call"""
    streamed: bool = False
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    finish_reasons: tuple[str, ...] = ()
    outcome: Outcome | None = Outcome.OK
    """None when this observer cannot tell (an engine's span with no status)"""
    error_type: str = ""
    max_output_tokens: int | None = None
    temperature: float | None = None
    tool_names: tuple[str, ...] = ()
    agent: str = ""
    trace_id: bytes = b""
    span_id: bytes = b""
    response_id: str = ""
    text: Text | None = None
    tokens_estimated: bool = False
    """`output_tokens` were counted from the chunks of a stream, because nobody reported them"""
    token_logprobs: tuple[float, ...] = ()
    """natural logarithms, <= 0, of the probabilities of the answer's first tokens, where the engine was asked"""


class Flag(msgspec.Struct, frozen=True, gc=False):
    """
    Whether an answer is marked: by `hits`, pairs of a kind and how often it was found. `name` and the kinds are words
    out of a check's own short lists, never out of the text.
    """

    name: str
    hits: tuple[tuple[str, int], ...] = ()

    @property
    def value(self) -> float:
        return 1.0 if self.hits else 0.0


class Number(msgspec.Struct, frozen=True, gc=False):
    """One finite number about an answer; `metric` is a histogram of the vocabulary."""

    metric: Metric
    value: float

    @property
    def name(self) -> str:
        return self.metric.name


class Category(msgspec.Struct, frozen=True, gc=False):
    """Which of a few things an answer is; `metric` is a counter whose last label takes the value."""

    metric: Metric
    value: str

    @property
    def name(self) -> str:
        return self.metric.name


Score = Flag | Number | Category
"""what a check says of one answer: a share, a distribution or a mix to watch, by `name`"""


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Cause(msgspec.Struct, frozen=True):
    """
    A probable cause of a finding, most probable first in `Finding.causes`. `score` in [0, 1] orders them and is no
    probability; 1 is a fact.
    """

    summary: str
    score: float
    moved: tuple[str, ...] = ()
    """what moved with it, a line each, such as `prompt tokens 310 -> 465 (z +12)`"""
    action: str = ""
    """the first thing to do about it"""
    runbook: str = ""
    """path or address of the page that says more"""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A change of state worth a person's time."""

    at: float
    since: float
    severity: Severity
    subject: str
    """`name` and `labels` in one line, for people"""
    summary: str
    evidence: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    action: str = ""
    """the first thing to do, in one sentence"""
    runbook: str = ""
    """path or address of the page that says more"""
    resolved: bool = False
    name: str = ""
    """what raised it: a signal's name, or the stream that drifted"""
    labels: Labels = ()
    """what it is about, as its series are labelled"""


class ChangeKind(StrEnum):
    CONFIGURATION = "configuration"
    REFERENCE = "reference"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something that people set, and that answers later depend on."""

    at: float
    kind: ChangeKind
    key: str
    """the same whenever the same change is told again; at most 64 characters"""
    subject: str
    who: str = ""
    summary: str = ""
    document: str = ""
    """a configuration as it is in force: JSON, secrets left out"""


class Seen(msgspec.Struct, frozen=True):
    """A version of a service that answered calls, last `at` unix seconds."""

    at: float
    namespace: str
    service: str
    version: str


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """
    What somebody outside says of one answer: an evaluator's score, a user's thumb. Never the explanation: that is text.

    `name` is the evaluation's ("relevance", "feedback"); a `score`, a `label`, or both. The call is named by
    `trace_id` and `span_id`, or `response_id`; who and which model are as the sender says, or as the call said.
    """

    at: float
    name: str
    score: float | None = None
    label: str = ""
    namespace: str = ""
    service: str = ""
    request_model: str = ""
    tenant: str = ""
    trace_id: bytes = b""
    span_id: bytes = b""
    response_id: str = ""


class Reading(msgspec.Struct, frozen=True):
    """
    What one `Source.read` brings. `items` = accepted input items (spans, log records, data points, pages) it stands
    for, so that the ledger accepted = exported + ignored + dropped + held can be kept in one unit.
    """

    samples: tuple[Sample, ...] = ()
    gaps: tuple[Gap, ...] = ()
    completions: tuple[Completion, ...] = ()
    items: int = 0
    judgements: tuple[Judgement, ...] = ()
    log: "tuple[Event, ...]" = ()
    """of a log of tick records, in its order: for the detector"""
    reached: "tuple[Reached, ...]" = ()
    """how far a log of calls was read: told back to the source once the reading was taken"""


class State(StrEnum):
    WARMING = "warming"
    OK = "ok"
    WARN = "warn"
    ALARM = "alarm"


class Verdict(msgspec.Struct, frozen=True):
    """What a detector says after every update."""

    state: State
    score: float
    threshold: float


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a signal says of one subject. `subject` are labels out of vocabulary.signals.SUBJECT; `summary` says in one
    line what is wrong and by how much, `action` the first thing to do; `since` is unix seconds, 0 = just now.
    `samples` are numbers of the signal's own that are worth a series.
    """

    subject: Labels
    verdict: Verdict
    summary: str = ""
    action: str = ""
    evidence: tuple[str, ...] = ()
    since: float = 0.0
    samples: tuple[Sample, ...] = ()
    severity: Severity | None = None
    """of the finding, where it is not the state's own: warn is a warning, alarm critical"""


class Exemplar(msgspec.Struct, frozen=True):
    """One observation with the trace it came from. `trace_id` 16 bytes, `span_id` 8 bytes, `at` unix seconds."""

    value: float
    at: float
    trace_id: bytes
    span_id: bytes


class HistogramValue(msgspec.Struct, frozen=True):
    """Cumulative since start over time, per bucket (not cumulative over buckets); `counts` one more than `bounds`."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    sum: float
    exemplars: tuple[Exemplar | None, ...] = ()
    """as long as `counts`, or empty"""


class Point(msgspec.Struct, frozen=True):
    """The state of one series: a gauge's value, a counter's or histogram's total since start. Labels are bounded."""

    metric: Metric
    labels: Labels
    value: float | HistogramValue

    @property
    def is_whole(self) -> bool:
        """
        The value is of the metric's kind, with a count for every bucket. An exporter leaves out one that is not:
        drawn or encoded it would cost all the others.
        """
        if not isinstance(self.value, HistogramValue):
            return self.metric.kind is not Kind.HISTOGRAM
        buckets = len(self.value.bounds) + 1
        fits = len(self.value.counts) == buckets and len(self.value.exemplars) in (0, buckets)
        return self.metric.kind is Kind.HISTOGRAM and fits


SeriesKey = tuple[Metric, Labels]


class Batch(msgspec.Struct, frozen=True):
    """
    What an exporter is handed at a tick: the series that changed since the last one, those gone, new findings, what
    watchkeeper itself did where an exporter asked for it, and for a record that is kept: counts per bin, sampled rows,
    changes and versions.
    """

    at: float
    points: tuple[Point, ...] = ()
    gone: tuple[SeriesKey, ...] = ()
    findings: tuple[Finding, ...] = ()
    steps: tuple[Step, ...] = ()
    counted: tuple[Counted, ...] = ()
    drawn: tuple[Drawn, ...] = ()
    changes: tuple[Change, ...] = ()
    seen: tuple[Seen, ...] = ()
    ticked: float | None = None
    """unix seconds at which the tick of drift began that ended with this batch, whether it counted something or not"""
