"""`watchkeeper replay FILE`."""

import argparse
import json
import logging
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any, Final

import msgspec

from detectors.drift.packs import Plan
from watchkeeper.agent import config as configuration
from watchkeeper.agent import registry
from watchkeeper.agent.config import DriftConfig
from watchkeeper.agent.drift.drift import Drift
from watchkeeper.agent.drift.streams import segment_of
from watchkeeper.agent.replay import report
from watchkeeper.agent.replay.calls import Calls, Change, changed
from watchkeeper.agent.replay.otlp_files import OtlpCalls, is_otlp
from watchkeeper.agent.replay.progress import Progress
from watchkeeper.agent.replay.rehearsal import Fixed, Rehearsal, alarmed, references
from watchkeeper.agent.wiring import judges
from watchkeeper.core.call_fields import FIELDS
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Segment
from watchkeeper.core.records import Completion

_SELF: Final = "self"
_NAMES: Final = {"input": "input_tokens", "output": "output_tokens", "model": "request_model", "response": "answer"}


def run(options: argparse.Namespace) -> int:
    """:raises ConfigError: a file cannot be read, or an option means nothing"""
    with _quiet():  # what is found is told at the end
        return _run(options)


@contextmanager
def _quiet() -> Iterator[None]:
    log = logging.getLogger("watchkeeper")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def _run(options: argparse.Namespace) -> int:
    root = configuration.root_type(registry.sources(), registry.exporters(), registry.signals(), registry.checks())
    config = configuration.load(options.config, os.environ, root)
    _check(options)
    paths, factors = _pairs("--field", options.field, str), _pairs("--what-if", options.what_if, _factor)
    change = changed(factors)
    ledger = Ledger()
    problems: list[str] = []
    found = judges(config, registry.signals(), registry.checks(), ledger, problems)
    if problems:
        raise ConfigError(*problems)
    origins = [_origin(path, paths, options) for path in (options.file, options.then) if path]
    with Progress(sys.stderr) as progress:
        notes: list[str] = []
        fixed = None
        if options.reference:
            normal = options.file if options.reference == _SELF else Path(options.reference)
            progress.begin(f"reading what is normal: {normal.name}")
            origin = _origin(normal, paths, options)
            fixed, notes = references(_tidied(progress.each(origin.read()), options), found, Plan(), time.time())
            notes = [f"no reference of {note}" for note in notes]
        calls = _sequence(origins, options, change)
        if fixed is not None:
            calls, more = _judged_by(fixed, calls)
            notes += more
        begins_at = calls[0].at if calls else 0.0
        rehearsal = Rehearsal(config, found, _drift(config, options, fixed, ledger, begins_at), ledger)
        progress.begin(f"replaying {options.file.name}", len(calls))
        rehearsal.run(progress.each(calls), _pace(options.speed, begins_at))
    found.close()
    for origin in origins:
        notes += [
            f"{what} could not be read in {count:,} calls" for what, count in sorted(origin.unread.items()) if count
        ]
    if not origins[0].has_times:
        notes.append(f"no times in {options.file.name}: taken at {options.rate:g} calls a second (--rate)")
    shown = report.Report(rehearsal, origins[0].has_times, fixed is not None, tuple(notes))
    print(json.dumps(report.as_json(shown), indent=2) if options.json else report.as_text(shown))
    return 1 if options.fail_on_alarm and alarmed(rehearsal.raised) else 0


def _check(options: argparse.Namespace) -> None:
    """:raises ConfigError: a number that means nothing"""
    if not (isfinite(options.rate) and options.rate > 0):
        raise ConfigError("--rate: calls a second, above 0")
    if options.days is not None and not (isfinite(options.days) and options.days > 0):
        raise ConfigError("--days: days to a false alarm, above 0")
    if not (isfinite(options.speed) and options.speed >= 0):
        raise ConfigError("--speed: times as fast as it was; 0: as fast as it goes")
    if options.after < 0:
        raise ConfigError("--after: calls before --what-if begins, 0 or more")


def _origin(path: Path, paths: Mapping[str, str], options: argparse.Namespace) -> Calls | OtlpCalls:
    return OtlpCalls(path) if is_otlp(path) else Calls(path, paths, options.service, options.rate)


def _tidied(calls: Iterable[Completion], options: argparse.Namespace) -> Iterator[Completion]:
    for call in calls:
        yield msgspec.structs.replace(call, request_model=options.model) if options.model else call


def _sequence(origins: list[Calls | OtlpCalls], options: argparse.Namespace, change: Change) -> list[Completion]:
    """All calls in order of time, the second file's after the first's. Memory: as much as the files hold."""
    held: list[Completion] = []
    for origin in origins:
        calls = sorted(_tidied(origin.read(), options), key=lambda call: call.at)
        if held and calls and calls[0].at <= held[-1].at:
            shift = held[-1].at - calls[0].at + 1.0
            calls = [msgspec.structs.replace(call, at=call.at + shift) for call in calls]
        held += calls
    if not held:
        raise ConfigError(f"{options.file}: no call in it could be read")
    if options.shuffle is not None:
        times = [call.at for call in held]
        random.Random(options.shuffle).shuffle(held)  # noqa: S311 - to be repeated, not to be secret
        held = [msgspec.structs.replace(call, at=at) for call, at in zip(held, times, strict=True)]
    if options.what_if:
        held = [change(call) if place >= options.after else call for place, call in enumerate(held)]
    return held


def _judged_by(fixed: Fixed, calls: list[Completion]) -> tuple[list[Completion], list[str]]:
    """Where what is normal is of one service and model, and no call is of it, all calls are taken for its."""
    normal = {segment for segment, _ in fixed.active()}
    replayed = {segment_of(call) for call in calls}
    if len(normal) != 1 or normal & {segment.text for segment in replayed}:
        return calls, []
    segment = Segment.parse(min(normal))
    others = ", ".join(sorted(one.text for one in replayed)[:3])
    note = f"no call is of {segment.text}: those of {others} are taken for its"
    return [
        msgspec.structs.replace(call, namespace=segment.namespace, service=segment.service, request_model=segment.model)
        for call in calls
    ], [note]


def _drift(config: Any, options: argparse.Namespace, fixed: Fixed | None, ledger: Ledger, now: float) -> Drift | None:
    section: DriftConfig = config.drift
    inforce: Any = fixed
    if fixed is None:
        folder = section.references_folder or (f"{config.state_folder}/references" if config.state_folder else "")
        if not folder:
            return None
        from watchkeeper.agent.references.store import References

        inforce = References(Path(folder))
    return Drift(
        inforce,
        None,
        None,
        ledger,
        now=now,
        days=section.false_alarm_days if options.days is None else options.days,
        tick_seconds=section.tick_seconds,
        max_segments=section.max_segments,
    )


def _pace(speed: float, begins_at: float) -> Callable[[float], None]:
    if speed <= 0:
        return lambda _at: None
    started = time.monotonic()

    def wait(at: float) -> None:
        time.sleep(max(0.0, (at - begins_at) / speed - (time.monotonic() - started)))

    return wait


def _factor(text: str) -> float:
    """:raises ValueError: no number that a number of a call can be multiplied by"""
    factor = float(text)
    if not (isfinite(factor) and factor >= 0):
        raise ValueError
    return factor


def _pairs(option: str, given: list[str], kind: Callable[[str], Any]) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for one in given:
        name, _, value = one.partition("=")
        name = _NAMES.get(name, name)
        try:
            pairs[name] = kind(value)
        except ValueError:
            raise ConfigError(f"{option} {one}: expected NAME=NUMBER") from None
        if not value or name not in FIELDS:
            raise ConfigError(f"{option} {one}: expected NAME=..., NAME one of {', '.join(FIELDS)}")
    return pairs
