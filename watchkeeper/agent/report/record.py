"""
The record of a period: what is filed as JSON, and all that its page shows. Times are unix seconds, shares in [0, 1].

It holds numbers, names, times, what watchkeeper found and what people wrote about that; never text of prompts or
answers.
"""

from typing import Final

import msgspec

from watchkeeper.agent.report.period import Period

VERSION: Final = 1
"""a field that is added leaves it, one that changes its meaning or goes raises it"""


class Said(msgspec.Struct, frozen=True):
    """A sentence in both languages."""

    en: str
    zh: str


class ModelSeen(msgspec.Struct, frozen=True):
    namespace: str
    service: str
    provider: str
    model: str
    version: str
    """the model that answered, as it named itself"""
    first_seen: float
    last_seen: float
    is_new: bool
    """seen for the first time in this period"""


class SloAttained(msgspec.Struct, frozen=True):
    slo: str
    sli: str
    """availability, ttft or tpot"""
    limit_seconds: float
    """of ttft and tpot: slower is bad"""
    objective: float
    namespace: str
    service: str
    model: str
    events: float
    bad: float
    attained: float
    """share of good events"""
    budget_spent: float
    """bad events over those the objective allows: above 1 it was missed"""
    source: str
    """prometheus, observed or store"""
    covered: float
    """share of the period's hours that it rests on"""


class Value(msgspec.Struct, frozen=True):
    """A distance from the reference, and the `noise` that 0.1 % of windows without drift exceed."""

    value: float
    noise: float | None = None


class Spell(msgspec.Struct, frozen=True):
    """An uninterrupted time outside the band, at a resolution of hours; `effect` is the score's mean within it."""

    since: float
    until: float
    score: str
    effect: float
    low: float
    high: float


class DriftOfPeriod(msgspec.Struct, frozen=True):
    """One signal of one segment beside the reference that was in force."""

    namespace: str
    service: str
    model: str
    signal: str
    kind: str
    reference: str
    """id"""
    reference_observations: int
    approved_by: str
    approved_at: float
    is_retrospective: bool
    """the reference was approved after the period: nothing was judged by it at the time"""
    source: str
    """observed or store"""
    observations: int
    hours: int
    """that hold observations"""
    distances: dict[str, Value]
    """psi, jensen_shannon, of numbers kolmogorov_smirnov, wasserstein, auc: the whole period beside the reference"""
    log_e: float
    """natural logarithm of the e-value of the period"""
    is_listed: bool
    """drifted, by e-BH over all signals of the period: of those listed at most the stated share is false"""
    spells: tuple[Spell, ...]
    moved: Said
    """from what to what: within the spells where there are any"""


class SafetyFigure(msgspec.Struct, frozen=True):
    """How often a check marked an answer; `low` and `high` are exact 95 % limits, were answers independent."""

    namespace: str
    service: str
    model: str
    check: str
    answers: int
    marked: int
    share: float
    low: float
    high: float
    reference_share: float | None
    source: str
    is_drifted: bool


class Deed(msgspec.Struct, frozen=True):
    """What was done about a finding, and by whom."""

    at: float
    who: str
    deed: str
    text: str


class FindingLife(msgspec.Struct, frozen=True):
    id: str
    name: str
    namespace: str
    service: str
    model: str
    subject: str
    severity: str
    standing: str
    summary: str
    evidence: tuple[str, ...]
    since: float
    """when it began, as far as can be told"""
    opened_at: float
    """when it was told"""
    acknowledged_at: float | None
    acknowledged_by: str
    probable_cause: str
    """what watchkeeper ranked first"""
    cause: str
    """as a person confirmed it"""
    cause_by: str
    resolved_at: float | None
    closed_at: float | None
    closed_by: str
    deeds: tuple[Deed, ...]
    detection_seconds: float
    """from its beginning to its being told"""
    response_seconds: float | None
    """from its being told to the first deed of a person"""
    duration_seconds: float | None
    """from its beginning to its end; None: it lasts"""
    is_drift: bool


class Change(msgspec.Struct, frozen=True):
    """A configuration, a reference or a version that became another."""

    at: float
    kind: str
    """configuration, reference or version"""
    deed: str
    who: str
    subject: str
    why: str
    hash: str


class Blind(msgspec.Struct, frozen=True):
    """A time in which no process of this deployment watched."""

    since: float
    until: float


class LinkCompleteness(msgspec.Struct, frozen=True):
    """What came of one service and model."""

    namespace: str
    service: str
    model: str
    calls: int
    """the most that any signal has"""
    hours: int
    """that hold calls"""
    longest_silence_since: float
    longest_silence_until: float
    source: str


class Completeness(msgspec.Struct, frozen=True):
    period_seconds: float
    """that is over by now"""
    watched_seconds: float | None
    """None: no store tells when processes lived"""
    precision_seconds: float
    """a process may have ended so much later than its last sign of life"""
    blind: tuple[Blind, ...]
    links: tuple[LinkCompleteness, ...]
    items_accepted: float | None
    """spans, log records and data points, from Prometheus"""
    items_dropped: float | None


class FalseAlarms(msgspec.Struct, frozen=True):
    """What was promised of drift's alarms, and what came."""

    days_per_alarm: float
    promised: float
    """false alarms in the time that was watched, on average at most"""
    told: int
    """findings of drift"""
    confirmed: int
    """a person confirmed what they came from"""
    without_cause: int
    """closed, and nobody confirmed a cause: at most so many were false, besides those that are open"""
    open: int


class RestsOn(msgspec.Struct, frozen=True):
    what: str
    name: str
    sha256: str


class Requirement(msgspec.Struct, frozen=True):
    """What a text asks of a running system, and which parts of this record are evidence for it."""

    id: str
    group: str
    source: Said
    asks: Said
    evidence: Said
    artefacts: str
    basis: str
    """text: wording read in a copy; second: from a secondary source; check: confirm before quoting"""
    parts: tuple[str, ...]
    """of this record"""
    held: tuple[str, ...] = ()
    """those of them that hold something in this period"""


class Record(msgspec.Struct, frozen=True):
    version: int
    made_with: str
    made_at: float
    deployment: str
    period: Period
    scope: dict[str, str]
    """namespace, service and model, where the record is of these alone"""
    models: tuple[ModelSeen, ...]
    slos: tuple[SloAttained, ...]
    drift: tuple[DriftOfPeriod, ...]
    false_entries: float
    """bound on the expected share of false entries among the drift that is listed"""
    safety: tuple[SafetyFigure, ...]
    incidents: tuple[FindingLife, ...]
    changes: tuple[Change, ...]
    completeness: Completeness
    false_alarms: FalseAlarms
    absent: dict[str, Said]
    """by part: why it holds nothing, or not all"""
    requirements: tuple[Requirement, ...]
    rests_on: tuple[RestsOn, ...]

    def encode(self) -> bytes:
        """JSON that `decode` takes back, in lines."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1) + b"\n"


def decode(data: bytes) -> Record:
    """:raises ValueError: not a record of this version"""
    try:
        record = msgspec.json.decode(data, type=Record)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a governance record: {error}") from None
    if record.version != VERSION:
        raise ValueError(f"a record of version {record.version}; this watchkeeper reads version {VERSION}")
    return record
