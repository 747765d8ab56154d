"""`watchkeeper report drift | governance`, `watchkeeper evidence export | verify`."""

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from watchkeeper.agent import rules
from watchkeeper.agent.references.observations import Wanted
from watchkeeper.agent.references.store import write_whole
from watchkeeper.agent.report import attained, sources
from watchkeeper.agent.report.gather import gather
from watchkeeper.agent.report.period import Period, parse
from watchkeeper.agent.report.places import places
from watchkeeper.agent.report.prometheus import Prometheus
from watchkeeper.agent.report.record import Record
from watchkeeper.agent.report.sources import Sources
from watchkeeper.core.errors import ConfigError


def _governance(options: argparse.Namespace) -> int:
    from watchkeeper.agent.report.governance_page import page

    _, record = _recorded(options)
    name = f"governance-{_file(record.period)}"
    written = [_write(options.out / f"{name}.json", record.encode())]
    written.append(_write(options.out / f"{name}.html", page(record).encode()))
    _told(written)
    return 0


def _drift(options: argparse.Namespace) -> int:
    from watchkeeper.agent.report import drift_report

    _told(drift_report.write(_sources(options, []), options.out, time.time(), _write))
    return 0


def _export(options: argparse.Namespace) -> int:
    from watchkeeper.agent.report import evidence

    read, record = _recorded(options)
    data, digest = evidence.pack(read, record, places(options).references)
    _write(options.out, data)
    print(f"{options.out}: {len(data):,} bytes\nsha256 of its manifest, to be kept elsewhere: {digest}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from watchkeeper.agent.report.verify import verify

    try:
        found = verify(options.file, options.manifest)
    except OSError as error:
        raise ConfigError(f"{options.file}: {error.strerror}; give a pack that can be read") from None
    for line in found.lines:
        print(line)
    return 0 if found.is_well else 1


COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "drift": _drift,
    "governance": _governance,
    "export": _export,
    "verify": _verify,
}


def _recorded(options: argparse.Namespace) -> tuple[Sources, Record]:
    values = rules.load(options.values)
    prometheus = Prometheus(options.prometheus) if options.prometheus else None
    read = _sources(options, attained.limits(values.slos))
    return read, gather(read, values, prometheus, places(options).days_per_alarm, time.time())


def _sources(options: argparse.Namespace, limits: list[tuple[str, float]]) -> Sources:
    wanted = Wanted(options.namespace, options.service, options.model)
    now = time.time()
    period = parse(options.period, now)
    if period.since > now:
        raise ConfigError(f"--period: {period.name} has not begun")
    return sources.read(places(options), period, wanted, limits)


def _file(period: Period) -> str:
    return period.name.replace("/", "_")


def _write(path: Path, data: bytes) -> Path:
    """:raises ConfigError: it cannot be written"""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; give another --out") from None
    return path


def _told(written: list[Path]) -> None:
    for path in written:
        print(path)
