"""`watchkeeper simulate`: a made-up estate as OpenMetrics, or as a Prometheus's data with what rules make of it."""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from dashboards import fault_table
from dashboards.estate import FAULTS, Book, Clock, openmetrics, simulate, until
from dashboards.heard import Alarm
from dashboards.values import Values
from watchkeeper.agent import rules
from watchkeeper.agent.simulate.history import fill
from watchkeeper.agent.simulate.prometheus import Prometheus
from watchkeeper.core.errors import ConfigError


def run(options: argparse.Namespace) -> int:
    values = rules.load(options.values)
    try:
        end = time.time() if options.end is None else options.end
        clock = until(end, options.hours, options.step, options.trouble_hours)
        if options.table:
            return _table(clock, values, options)
        book = simulate(clock, options.fault)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if options.openmetrics:
        with options.openmetrics.open("w", encoding="utf-8") as out:
            out.writelines(openmetrics(book))
        print(f"{options.openmetrics}: {sum(1 for _ in book.series())} series, {clock.count} scrapes of each")
        return 0
    folder: Path = options.tsdb
    if (folder / "data").exists():
        raise ConfigError(f"{folder}/data exists: name a new folder, nothing is mixed into what is there")
    return _kept(folder, book, values, options)


def _table(clock: Clock, values: Values, options: argparse.Namespace) -> int:
    """Exit code 1 where a fault is not heard of as it should be."""
    every = (fault_table.HEALTHY, *(fault.name for fault in FAULTS))
    if options.keep and (options.fault or options.values):
        raise ConfigError("--keep is of every fault and of the values that are shipped: leave out --fault and --values")
    print("\n".join(fault_table.HEAD), flush=True)
    rows = []
    for one in measured((options.fault,) if options.fault else every, clock, values):
        print(fault_table.line(one), flush=True)
        rows.append(one)
    if options.keep:
        options.keep.write_text(fault_table.keep(rows, values), encoding="utf-8")
    wrong = list(fault_table.problems(rows))
    for problem in wrong:
        print(f"watchkeeper: {problem}", file=sys.stderr)
    return 1 if wrong else 0


def measured(faults: tuple[str, ...], clock: Clock, values: Values) -> Iterator[fault_table.Row]:
    """What a real Prometheus makes of each of these. :raises ValueError: there is no such fault"""
    for fault in faults:
        book = simulate(clock, fault)
        with tempfile.TemporaryDirectory(prefix="watchkeeper-simulate-") as folder:
            fired = fill(Path(folder), book, values)
        alarms = [Alarm(dict(one.labels), one.spans) for one in fired]
        yield fault_table.row(fault, alarms, clock.onset, values)


def _kept(folder: Path, book: Book, values: Values, options: argparse.Namespace) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for one in fill(folder, book, values):
        minutes = (one.at - book.clock.onset) / 60
        when = f"{minutes:+5.0f} min" if one.at > book.clock.start else "   always"
        print(f"{when}  {one.severity:8}  {one.name}")
    end = book.clock.end
    print(f"{folder}/data: until {datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M} UTC, unix {end:.0f}")
    if options.serve:
        with Prometheus(folder) as server:
            print(f"Prometheus: {server.url} (Ctrl-C ends it)", flush=True)
            try:
                server.wait()
            except KeyboardInterrupt:
                return 0
    return 0
