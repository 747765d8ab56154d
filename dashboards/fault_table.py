"""
What each fault of the made-up estate leads to: which alerts fire when, and what of it somebody hears.

`watchkeeper simulate --table` measures it with a real Prometheus. What it measured with the shipped values is kept in
estate/outcomes.yaml and shown in docs/alerts.md.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from dashboards import routing
from dashboards.alert import PREFIX
from dashboards.alerts import catalogue
from dashboards.estate.faults import FAULTS, Fault
from dashboards.heard import Alarm, messages, told
from dashboards.rule_files import held
from dashboards.values import Values

KEPT: Final = Path(__file__).parent / "estate" / "outcomes.yaml"
HEALTHY: Final = ""
"""name of no fault"""
HEAD: Final = (
    "| fault | named by | after (within) | pages, tickets | heard besides, at | fires and nobody is told, at |",
    "|---|---|---|---|---|---|",
)
_KINDS: Final = {"critical": "page", "warning": "ticket", "info": "review", "none": "nobody"}


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One alert, all its instances. Minutes are counted from the fault's begin."""

    alert: str
    """without the prefix"""
    severity: str
    minutes: float
    """when the first one fires"""
    heard: float | None = None
    """when the first message is sent; None: never"""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    fault: str
    pages: int
    """messages to the pager about something new, not what is added to one"""
    tickets: int
    """the same for everybody else"""
    outcomes: tuple[Outcome, ...]


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`rules`: what the conditions and the routing were, so that a table of others is noticed."""

    rules: str
    rows: tuple[Row, ...]


def row(fault: str, alarms: Sequence[Alarm], onset: float, values: Values) -> Row:
    """What follows from a fault. :param alarms: all that fired, what fires always too"""
    known = [one for one in alarms if not _is_always(one, onset)]
    sent = told(known, values)
    made: dict[tuple[str, str], Outcome] = {}
    for alarm, at in zip(known, sent, strict=True):
        name, severity = alarm.labels["alertname"].removeprefix(PREFIX), alarm.labels["severity"]
        one = Outcome(name, severity, _minutes(alarm.spans[0][0], onset), None if at is None else _minutes(at, onset))
        made[name, severity] = _first(made.get((name, severity), one), one)
    heard = {one for alarm, at in zip(known, sent, strict=True) if at is not None for one in messages(alarm, values)}
    pages = sum(receiver == routing.PAGER for receiver, _ in heard)
    outcomes = sorted(made.values(), key=lambda one: (one.minutes, list(_KINDS).index(one.severity), one.alert))
    return Row(fault, pages, len(heard) - pages, tuple(outcomes))


def _is_always(alarm: Alarm, onset: float) -> bool:
    """The heartbeat, and nothing else: it fires with and without a fault."""
    return alarm.labels["severity"] == "none" and alarm.spans[0][0] < onset


def _first(one: Outcome, other: Outcome) -> Outcome:
    heard = [at for at in (one.heard, other.heard) if at is not None]
    return Outcome(one.alert, one.severity, min(one.minutes, other.minutes), min(heard, default=None))


def _minutes(at: float, onset: float) -> float:
    return round((at - onset) / 60, 1)


def problems(rows: Iterable[Row]) -> Iterator[str]:
    """A fault that nobody is told of by its own alert in time, more than one page, an alert without a fault."""
    named = {fault.name: fault for fault in FAULTS}
    for one in rows:
        fault = named.get(one.fault)
        if fault is None:
            yield from (f"nothing is wrong, and {outcome.alert} fires" for outcome in one.outcomes)
            continue
        outcome = naming(fault, one)
        if outcome is None:
            yield f"{fault.name}: nobody hears of {fault.alert}"
        elif outcome.minutes > fault.minutes:
            yield f"{fault.name}: {fault.alert} after {outcome.minutes:g} minutes, {fault.minutes:g} are promised"
        if one.pages > 1:
            yield f"{fault.name}: {one.pages} pages for one incident"
        if early := [outcome.alert for outcome in one.outcomes if outcome.minutes < 0]:
            yield f"{fault.name}: before it begins fires {', '.join(early)}"


def naming(fault: Fault, of: Row) -> Outcome | None:
    """The first that is heard of the alert that names it, a page before a ticket."""
    found = [one for one in of.outcomes if one.alert == fault.alert and one.heard is not None]
    return min(found, key=lambda one: list(_KINDS).index(one.severity), default=None)


def line(of: Row) -> str:
    """One row of the table, in Markdown."""
    if of.fault == HEALTHY:
        fires = ", ".join(f"`{one.alert}`" for one in of.outcomes) or "nothing but the heartbeat"
        return f"| none: healthy and busy | – | – | {of.pages}, {of.tickets} | {fires} | – |"
    [fault] = [one for one in FAULTS if one.name == of.fault]
    first = naming(fault, of)
    rest = [one for one in of.outcomes if one is not first and one.severity != "none"]
    heard = [(one.heard, one) for one in rest if one.heard is not None]
    cells = (
        f"`{fault.name}`: {fault.words.en}",
        f"{_KINDS[first.severity]} `{first.alert}`" if first else "nothing",
        f"{first.minutes:.0f} min ({fault.minutes:g})" if first else "–",
        f"{of.pages}, {of.tickets}",
        ", ".join(_of(one, at) for at, one in sorted(heard, key=lambda pair: pair[0])),
        ", ".join(_of(one, one.minutes) for one in rest if one.heard is None),
    )
    return f"| {' | '.join(cell or '–' for cell in cells)} |"


def _of(one: Outcome, minutes: float) -> str:
    return f"{_KINDS[one.severity]} `{one.alert}` {minutes:.0f}"


def digest(values: Values) -> str:
    """Of all that decides what fires and what is heard: conditions, holds, routes; not of words."""
    parts: list[str] = []
    for chapter in catalogue(values):
        parts += [f"{one.series.name} {one.fixed} {one.expr}" for group in chapter.groups for one in group.recordings]
        parts += [
            f"{alert.name} {alert.area} {rule.severity} {held(alert, rule, values)} {rule.keep} {rule.expr}"
            for alert in chapter.alerts
            for rule in alert.rules
        ]
    document = routing.document(values)
    parts += [repr(document["route"]), repr(document["inhibit_rules"])]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


def kept() -> Kept:
    """What was measured last, with the shipped values."""
    return msgspec.yaml.decode(KEPT.read_bytes(), type=Kept)


def keep(rows: Sequence[Row], values: Values) -> str:
    """Text for the file: a line an alert, so that a change is seen as what it is."""
    lines = [
        "# Generated by `watchkeeper simulate --table --keep`; see docs/alerts.md.",
        f"rules: {digest(values)}",
        "rows:",
    ]
    for one in rows:
        lines += [f'  - fault: "{one.fault}"', f"    pages: {one.pages}", f"    tickets: {one.tickets}"]
        lines.append("    outcomes:" if one.outcomes else "    outcomes: []")
        for outcome in one.outcomes:
            fields = ", ".join(f"{key}: {_yaml(value)}" for key, value in msgspec.structs.asdict(outcome).items())
            lines.append(f"      - {{{fields}}}")
    return "\n".join(lines) + "\n"


def _yaml(value: object) -> str:
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
