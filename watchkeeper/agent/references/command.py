"""`watchkeeper reference propose | show | approve | list | retire | export | import`."""

import argparse
import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

from detectors.drift.kinds import Kind
from detectors.drift.odds import horizon
from detectors.drift.packs import Pack, Plan
from detectors.drift.seasons import Season
from watchkeeper.agent import config as configuration
from watchkeeper.agent import registry
from watchkeeper.agent.references import deeds, display, journal, store, transfer
from watchkeeper.agent.references.delays import PER_TICK, Delay, delays
from watchkeeper.agent.references.files import SEGMENT_NAMES, Fields, Table
from watchkeeper.agent.references.journal import Deed
from watchkeeper.agent.references.observations import FOLDER, SUFFIX, Series, Wanted, gather, read_file, read_rows, span
from watchkeeper.agent.references.proposals import propose
from watchkeeper.agent.references.standing import SHOWN_ID, Standing, chosen, newest, standing
from watchkeeper.agent.references.store import Key, Shelf
from watchkeeper.core.call_fields import parse_time
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.observed import Row, Segment, Tally

_REFERENCES: Final = "references"
_CURRENT: Final = (Standing.APPROVED, Standing.PROPOSED)


class _Where(msgspec.Struct, frozen=True):
    references: Path
    observed: Path | None
    days: float
    tick_seconds: float


def _propose(options: argparse.Namespace) -> int:
    where = _where(options)
    plan = Plan(
        season=Season(options.season),
        utc_offset_seconds=options.utc_offset * 3600,
        confidence=_within("--confidence", options.confidence, 0.5, 0.9999),
        block_size=int(_within("--block-size", options.block_size, 10, 1_000_000)),
        block_seconds=_within("--block-seconds", options.block_seconds, 0, 86_400),
    )
    tolerances = _tolerances(options.tolerance)
    series = _series(options, where)
    if not series:
        raise ConfigError("nothing was observed of what is asked for: look at --signals, --model, --since and --until")
    seen = span(series)
    print(f"observed from {display.utc(seen[0])} to {display.utc(seen[1])}" if seen else "observed, times unknown")
    now = time.time()
    found = list(propose(series, plan, tolerances, now))
    made = [one.made for one in found if isinstance(one.made, Pack)]
    with _writing(where.references):
        by = _by(options)
        journal.append(
            where.references,
            [journal.event(Deed.PROPOSED, pack, at=now, by=by, why=options.why) for pack in made],
        )
        for pack in made:
            store.put(where.references, pack)
    print(display.outcomes(found))
    print(f"\n{len(made)} proposed. Look at them: watchkeeper reference show" if made else "\nNothing was proposed.")
    return 0 if made else 1


def _show(options: argparse.Namespace) -> int:
    where = _where(options)
    shelf = _load(where.references)
    found = chosen(shelf, options.ids, _wanted(options), _CURRENT)
    if options.json:
        print(json.dumps([_whole(pack, shelf, _delays(pack, shelf, where)) for pack in found], indent=2))
        return _problems(shelf)
    supposed = f"(calls, were they independent; {_detectors(shelf)} detectors share the false alarms)"
    pages = [display.page(pack, shelf, _delays(pack, shelf, where), supposed) for pack in found]
    print("\n\n".join(pages) or "No reference here is approved or proposed.")
    return _problems(shelf)


def _approve(options: argparse.Namespace) -> int:
    where, by, now = _where(options), _by(options), time.time()
    with _writing(where.references):
        shelf = _load(where.references)
        _ids_or_all(options)
        found = newest(chosen(shelf, options.ids, _wanted(options), (Standing.PROPOSED,)))
        if not found:
            raise ConfigError("nothing here is proposed of what is asked for: watchkeeper reference list")
        try:
            deeds.approve(where.references, shelf, found, at=now, by=by, why=_why(options))
        except deeds.RefusedError as error:
            raise ConfigError(str(error)) from None
        for pack in found:
            old_id = shelf.in_force.get((pack.segment, pack.signal))
            instead = f", in place of {old_id[:SHOWN_ID]}" if old_id else ""
            print(f"in force: {_named(pack)}{instead}")
    print("A running watchkeeper takes up what changed by itself.")
    return 0


def _list(options: argparse.Namespace) -> int:
    where = _where(options)
    shelf = _load(where.references)
    every = chosen(shelf, (), _wanted(options), tuple(Standing))
    found = every if options.all else [pack for pack in every if standing(pack, shelf) in _CURRENT]
    if options.json:
        print(json.dumps([display.as_json(pack, shelf) for pack in found], indent=2))
        return _problems(shelf)
    print(f"references in {where.references}")
    print(display.table(found, shelf, time.time()) or "\nnone: watchkeeper reference propose makes some")
    if hidden := len(every) - len(found):
        print(f"\n{hidden} superseded or retired: --all shows them")
    return _problems(shelf)


def _retire(options: argparse.Namespace) -> int:
    where, by = _where(options), _by(options)
    with _writing(where.references):
        shelf = _load(where.references)
        _ids_or_all(options)
        found = chosen(shelf, options.ids, _wanted(options), _CURRENT)
        found = [pack for pack in found if pack.id not in shelf.journal.retired]
        if not found:
            raise ConfigError("nothing here is left to retire of what is asked for: watchkeeper reference list")
        deeds.retire(where.references, shelf, found, at=time.time(), by=by, why=_why(options))
        for pack in found:
            gone = standing(pack, shelf) is Standing.APPROVED
            print(f"retired: {_named(pack)}{', which has no reference now: it is warming' if gone else ''}")
    return 0


def _export(options: argparse.Namespace) -> int:
    shelf = _load(_where(options).references)
    found = chosen(shelf, options.ids, _wanted(options), (Standing.APPROVED,))
    if not found:
        raise ConfigError("nothing here is in force of what is asked for: watchkeeper reference list")
    size = transfer.write(options.destination, found)
    print(f"{len(found)} exported to {options.destination}, {size / 1024:,.0f} KiB")
    if size > transfer.CONFIG_MAP_BYTES and options.destination.suffix != transfer.ONE_FILE:
        print("More than a ConfigMap holds (1 MiB): export by --model or --signals, or mount a volume.")
    return 0


def _import(options: argparse.Namespace) -> int:
    where, by, now = _where(options), _by(options), time.time()
    why = "; ".join(filter(None, (f"from {options.source.name}", options.why)))
    refused = 0
    with _writing(where.references):
        shelf = _load(where.references)
        for offered in transfer.read(options.source):
            if isinstance(offered, Pack):
                reason = transfer.refusal(offered, shelf, now)
                if reason is None:
                    transfer.take(where.references, offered, at=now, by=by, why=why)
                    print(f"imported: {_named(offered)}{', approved' if offered.approval else ''}")
                    continue
                offered = transfer.Refused(_named(offered), reason)
            refused += 1
            print(f"watchkeeper: {offered.what}: {offered.why}", file=sys.stderr)
    return 1 if refused else 0


VERBS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "propose": _propose,
    "show": _show,
    "approve": _approve,
    "list": _list,
    "retire": _retire,
    "export": _export,
    "import": _import,
}


def _where(options: argparse.Namespace) -> _Where:
    """:raises ConfigError: nothing says where references are"""
    root = configuration.root_type(registry.sources(), registry.exporters(), registry.signals(), registry.checks())
    settings = configuration.load(options.config, os.environ, root)
    drift = settings.drift
    state = options.state_folder or (Path(settings.state_folder) if settings.state_folder else None)
    if options.folder is not None:
        references, state = options.folder, None
    elif options.state_folder is None and drift.references_folder:
        references = Path(drift.references_folder)
    elif state is not None:
        references = state / _REFERENCES
    else:
        raise ConfigError("state_folder: is not set; give --config FILE, --state-folder FOLDER or --folder FOLDER")
    return _Where(references, state / FOLDER if state else None, drift.false_alarm_days, drift.tick_seconds)


def _load(folder: Path) -> Shelf:
    try:
        return store.load(folder)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}; give a folder that can be read") from error


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        with store.writing(folder):
            yield
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be written: {error.strerror}; what was not told above is not done"
        ) from error


def _series(options: argparse.Namespace, where: _Where) -> Mapping[Key, Series]:
    tables = [Table(path, _fields(options)) for path in options.files if not _is_ours(path)]
    origins: list[Iterable[Row | Tally]] = [table.rows() for table in tables]
    origins += [_tallies(path) for path in options.files if _is_ours(path)]
    if not tables and (options.field or options.time_field):
        raise ConfigError("--field, --time-field: tell of a FILE of somebody else's; rows of watchkeeper need none")
    if not origins:
        if where.observed is None:
            raise ConfigError("FILE: observed traffic is in the state folder; give --config, --state-folder or a FILE")
        origins.append(_tallies(where.observed))
    series = gather(chain.from_iterable(origins), _wanted(options))
    for line in chain.from_iterable(table.remarks() for table in tables):
        _note(line)
    return series


def _is_ours(path: Path) -> bool:
    return path.suffix == SUFFIX or path.is_dir()


def _tallies(path: Path) -> Iterator[Tally]:
    if not path.exists():
        raise ConfigError(f"{path}: nothing was observed yet; run watchkeeper with this state_folder")
    try:
        yield from read_file(path, _note) if path.suffix == SUFFIX else read_rows(path, _note)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give what can be read") from error


def _fields(options: argparse.Namespace) -> Fields:
    paths = dict(_pairs("--field", options.field))
    given = (getattr(options, name) or "" for name in SEGMENT_NAMES)
    return Fields(Segment(*given), options.time_field, paths)


def _wanted(options: argparse.Namespace) -> Wanted:
    return Wanted(
        options.namespace,
        options.service,
        options.model,
        frozenset(filter(None, (name.strip() for name in options.signals.split(",")))),
        _time("--since", getattr(options, "since", None)),
        _time("--until", getattr(options, "until", None)),
    )


def _time(option: str, text: str | None) -> float | None:
    at = None if text is None else parse_time(text)
    if text is not None and at is None:
        raise ConfigError(f"{option}: '{text}' is no time; write it as 2026-03-01T08:00")
    return at


def _pairs(option: str, given: Sequence[str]) -> Iterator[tuple[str, str]]:
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"{option} {text}: expected NAME=VALUE")
        yield name, value


def _tolerances(given: Sequence[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name, value in _pairs("--tolerance", given):
        signal, dot, score = name.rpartition(".")
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not dot or not 0 <= number <= 0.5:
            raise ConfigError(f"--tolerance {name}={value}: expected SIGNAL.SCORE=VALUE, the value from 0 to 0.5")
        found.setdefault(signal, {})[score] = number
    return found


def _within(option: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ConfigError(f"{option}: {value:g} is not from {low:g} to {high:g}")
    return value


def _by(options: argparse.Namespace) -> str:
    if options.by:
        return str(options.by)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        raise ConfigError("--by: who runs this cannot be told here; give a name") from None


def _why(options: argparse.Namespace) -> str:
    if not options.why.strip():
        raise ConfigError("--why: is empty; the journal keeps why this was done")
    return str(options.why)


def _ids_or_all(options: argparse.Namespace) -> None:
    if bool(options.ids) == options.all:
        raise ConfigError("give ids, or --all with what to choose by: watchkeeper reference list names them")


def _named(pack: Pack) -> str:
    return f"{transfer.short(pack)}  {pack.signal} of {display.segment_name(pack.segment)}"


def _detectors(shelf: Shelf) -> int:
    """That share the false alarms once all that is proposed is approved: numbers are watched in two ways."""
    current = [pack for pack in shelf.packs.values() if standing(pack, shelf) in _CURRENT]
    twice = (pack for pack in current if pack.kind is Kind.NUMBER and pack.block_seconds > 0)
    return sum(len({(pack.segment, pack.signal) for pack in packs}) for packs in (current, twice))


def _delays(pack: Pack, shelf: Shelf, where: _Where) -> tuple[Delay, ...]:
    return delays(pack, horizon(where.tick_seconds, where.days), _detectors(shelf))


def _whole(pack: Pack, shelf: Shelf, found: Sequence[Delay]) -> dict[str, Any]:
    return {
        **display.as_json(pack, shelf),
        "strata": msgspec.to_builtins(pack.strata),
        "edges": list(pack.edges),
        "categories": list(pack.categories),
        "observations_per_tick": PER_TICK,
        "delays": [{"change": one.change, "observations": one.observations} for one in found],
        "history": [msgspec.to_builtins(one) for one in shelf.journal.events if one.reference == pack.id],
    }


def _problems(shelf: Shelf) -> int:
    """Exit code: 1 where something in the folder cannot be used, or the journal is not as it was written."""
    for problem in shelf.problems:
        _note(problem)
    return 1 if shelf.problems else 0


def _note(line: str) -> None:
    print(f"watchkeeper: {line}", file=sys.stderr)
