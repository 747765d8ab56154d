"""`watchkeeper simulate`: a made-up estate as OpenMetrics, or as a Prometheus's data with what rules make of it."""

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

from dashboards.estate import Book, openmetrics, simulate, until
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
