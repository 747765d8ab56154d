"""An alert with all that belongs to it: rules, words in two languages, runbook, tests. Pure records."""

import re
from typing import Final, Literal

import msgspec

from dashboards.promql import Recorded

Severity = Literal["critical", "warning", "info", "none"]
"""critical pages somebody, warning is a ticket, info is looked at in working hours, none is the heartbeat"""
Area = Literal["slo", "saturation", "accelerator", "data_drift", "output", "cost", "monitor"]
Uid = Literal[
    "wk-fleet", "wk-slo", "wk-service", "wk-node", "wk-drift", "wk-output", "wk-cost", "wk-monitor", "wk-governance"
]
"""of a dashboard; chosen once, never changed: links hold on to it"""

COMPONENT: Final = "watchkeeper"
PREFIX: Final = "Watchkeeper"
_FIELD: Final = re.compile(r"\{(\w+)\}")


class Text(msgspec.Struct, frozen=True):
    """The same said in English and Chinese."""

    en: str
    zh: str


class Rule(msgspec.Struct, frozen=True):
    """One condition. `hold` is how long it must be true, `keep` how long it stays raised after its last time."""

    severity: Severity
    expr: str
    hold: str = "0s"
    keep: str = ""


class Runbook(msgspec.Struct, frozen=True):
    """What a person reads at three in the morning, in this order."""

    meaning: Text
    first: Text
    false_alarm: Text
    next: Text
    dashboard: Uid


class Fired(msgspec.Struct, frozen=True):
    """
    An alert that a case expects: severity, the labels that its rule gives, and what stands in its words for `{value}`
    and `{since}`.
    """

    severity: Severity
    labels: dict[str, str]
    value: str = ""
    since: float = 0.0
    """seconds after the case's begin at which it became true"""


class Case(msgspec.Struct, frozen=True):
    """Series as promtool writes them, and what fires `at` this time; nothing is a quiet case."""

    name: str
    series: tuple[tuple[str, str], ...]
    at: str
    fires: tuple[Fired, ...] = ()


class Proof(msgspec.Struct, frozen=True):
    """What an expression over recorded series must come to."""

    name: str
    series: tuple[tuple[str, str], ...]
    at: str
    expr: str
    samples: tuple[tuple[dict[str, str], float], ...]


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """
    `labels` are those by which its instances differ; `summary` and `detail` may name them in braces, and `{value}` and
    `{since}`. `show` says how the value is read: a Go template over `$value`.
    """

    name: str
    area: Area
    rules: tuple[Rule, ...]
    labels: tuple[str, ...]
    title: Text
    summary: Text
    detail: Text
    show: str = '{{ printf "%.3g" $value }}'
    runbook: Runbook
    cases: tuple[Case, ...]

    def __post_init__(self) -> None:
        """:raises ValueError: its words name a label that it does not have"""
        allowed = {*self.labels, "value", "since"}
        for text in (self.summary, self.detail):
            for said in (text.en, text.zh):
                if unknown := set(_FIELD.findall(said)) - allowed:
                    raise ValueError(f"{self.name} has no label {', '.join(sorted(unknown))}: {said}")

    @property
    def page(self) -> str:
        """File name of its runbook."""
        return f"{self.name}.md"


class Recording(msgspec.Struct, frozen=True):
    """A recording rule. Several may fill one series, told apart by `fixed` labels."""

    series: Recorded
    expr: str
    fixed: dict[str, str] = {}


class Group(msgspec.Struct, frozen=True):
    """Recording rules that are evaluated together. `interval` empty = as all."""

    name: str
    recordings: tuple[Recording, ...]
    interval: str = ""


PERCENT: Final = "{{ $value | humanizePercentage }}"
COUNT: Final = '{{ printf "%.0f" $value }}'
AGE: Final = "{{ $value | humanizeDuration }}"
