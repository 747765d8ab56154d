"""Is it well? One state and the reasons for it, from the view and the findings. Pure."""

from collections.abc import Mapping, Sequence
from enum import IntEnum, StrEnum
from typing import Final

import msgspec

from exporters.page.devices import Device
from exporters.page.findings import together
from exporters.page.groups import Engine
from exporters.page.tally import Loss, Missed
from exporters.page.view import View
from watchkeeper.core.records import Finding, Severity

STALE_SECONDS: Final = 15.0
"""batches come twice a second; after this long without one, what the page shows is the past"""
ERROR_SHARE_ATTENTION: Final = 0.05
ERROR_SHARE_BAD: Final = 0.25
MIN_ERRORS: Final = 3
"""of the last five minutes; fewer are no share worth naming"""
QUEUE_FILL_ATTENTION: Final = 0.8
SENDERS_MISTAKES: Final = frozenset(
    ("bad_path", "bad_method", "malformed", "undecodable", "unsupported_type", "unsupported_encoding")
)
"""reasons to refuse a request that was none of ours to take: a stray one must not alarm anybody"""


class State(IntEnum):
    """Worse is greater."""

    UNKNOWN = 0
    """nothing to judge by yet"""
    WELL = 1
    ATTENTION = 2
    BAD = 3


class Why(StrEnum):
    """What a remark says; every language has a sentence for each."""

    STALE = "stale"
    STARTING = "starting"
    FINDING = "finding"
    ENGINES_DOWN = "engines_down"
    MODEL_WITHOUT_ENGINE = "model_without_engine"
    ERRORS = "errors"
    DEVICES_DOWN = "devices_down"
    SOURCES_DOWN = "sources_down"
    BLIND = "blind"
    EXPORTERS_DOWN = "exporters_down"
    DROPPED = "dropped"
    REJECTED = "rejected"
    REQUESTS_REFUSED = "requests_refused"
    QUEUE_FULL = "queue_full"
    SERIES_REFUSED = "series_refused"


class Remark(msgspec.Struct, frozen=True):
    """
    `names` are what it is about, `amount` its number (a share, a count or seconds, as `why` has it; of a finding, how
    many more are of its kind), `reasons` those of watchkeeper's own metrics, the most frequent first.
    """

    state: State
    why: Why
    names: tuple[str, ...] = ()
    amount: float = 0.0
    reasons: tuple[str, ...] = ()
    finding: Finding | None = None


class Status(msgspec.Struct, frozen=True):
    """`remarks` worst first; none when all is well."""

    state: State
    remarks: tuple[Remark, ...] = ()


def judge(view: View, findings: Sequence[Finding]) -> Status:
    if view.at is None:
        return Status(State.UNKNOWN, (Remark(State.UNKNOWN, Why.STARTING),))
    remarks = sorted(
        (
            *_from_findings(findings),
            *_from_engines(view.engines),
            *_from_calls(view),
            *_from_devices(view.devices),
            *_from_itself(view),
        ),
        key=lambda remark: -remark.state,
    )
    if view.now - view.at > STALE_SECONDS:
        remarks.insert(0, Remark(State.BAD, Why.STALE, amount=view.now - view.at))
    if remarks:
        return Status(remarks[0].state, tuple(remarks))
    return Status(State.WELL if view.models or view.engines or view.devices else State.UNKNOWN)


def _from_findings(findings: Sequence[Finding]) -> list[Remark]:
    """One for those of a kind, where they are many. Information is shown below, but is no reason for concern."""
    states = {Severity.CRITICAL: State.BAD, Severity.WARNING: State.ATTENTION}
    serious = [finding for finding in findings if not finding.resolved and finding.severity in states]
    return [
        Remark(states[alike[0].severity], Why.FINDING, amount=len(alike) - 1, finding=alike[0])
        for alike in together(serious, lambda finding: finding)
    ]


def _from_engines(engines: Sequence[Engine]) -> list[Remark]:
    """An engine down is worth attention; a model that no engine is left for is bad."""
    down = tuple(engine.address for engine in engines if engine.up is False)
    if not down:
        return []
    served = {engine.model for engine in engines if engine.up}
    lost = sorted({engine.model for engine in engines if engine.up is False and engine.model} - served)
    if lost:
        return [Remark(State.BAD, Why.MODEL_WITHOUT_ENGINE, tuple(lost)), Remark(State.BAD, Why.ENGINES_DOWN, down)]
    return [Remark(State.ATTENTION if served else State.BAD, Why.ENGINES_DOWN, down)]


def _from_calls(view: View) -> list[Remark]:
    share = view.recent.error_share or 0.0
    if view.recent.errors < MIN_ERRORS or share < ERROR_SHARE_ATTENTION:
        return []
    return [Remark(State.BAD if share >= ERROR_SHARE_BAD else State.ATTENTION, Why.ERRORS, amount=share)]


def _from_devices(devices: Sequence[Device]) -> list[Remark]:
    """What is wrong with one is for findings to say; here, that its numbers are missing."""
    lost = sum(1 for device in devices if not device.up)
    return [Remark(State.ATTENTION, Why.DEVICES_DOWN, amount=lost)] if lost else []


def _from_itself(view: View) -> list[Remark]:
    remarks = []
    down = tuple(source.name for source in view.sources if source.up is False)
    if down and not any(source.up for source in view.sources):
        remarks.append(Remark(State.BAD, Why.BLIND, down))
    elif down:
        remarks.append(Remark(State.ATTENTION, Why.SOURCES_DOWN, down))
    away = tuple(destination.name for destination in view.destinations if destination.up is False)
    if away:
        remarks.append(Remark(State.ATTENTION, Why.EXPORTERS_DOWN, away))
    remarks += _from_losses(view.losses)
    fills = {source.name: source.queue_fill for source in view.sources if source.queue_fill} | dict(view.queues)
    full = tuple(name for name, fill in fills.items() if fill >= QUEUE_FILL_ATTENTION)
    if full:
        remarks.append(Remark(State.ATTENTION, Why.QUEUE_FULL, full, max(fills.values())))
    return remarks


def _from_losses(losses: Mapping[Loss, float]) -> list[Remark]:
    """One for each source and kind of loss, the greatest first."""
    whys = {
        Missed.DROPPED: Why.DROPPED,
        Missed.ITEMS: Why.REJECTED,
        Missed.REQUESTS: Why.REQUESTS_REFUSED,
        Missed.SAMPLES: Why.SERIES_REFUSED,
    }
    grouped: dict[tuple[Missed, str], dict[str, float]] = {}
    for loss, amount in losses.items():
        harmless = loss.missed is Missed.REQUESTS and loss.reason in SENDERS_MISTAKES
        if amount > 0 and not harmless:
            grouped.setdefault((loss.missed, loss.source), {})[loss.reason] = amount
    remarks = [
        Remark(
            State.ATTENTION,
            whys[missed],
            (source,) if source else (),
            sum(reasons.values()),
            tuple(sorted(filter(None, reasons), key=lambda reason: -reasons[reason])),
        )
        for (missed, source), reasons in grouped.items()
    ]
    return sorted(remarks, key=lambda remark: (list(whys.values()).index(remark.why), -remark.amount))
