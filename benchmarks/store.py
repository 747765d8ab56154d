"""
How much a store grows in a day, and what writing it costs: models that each have one service, 20 watched signals and
a thousand calls an hour, written every five minutes as the exporter does.

    .venv/bin/python benchmarks/store.py --models 1000 --hours 24 [--postgres | --url postgresql://...]

A day of 1,000 models takes some minutes and some hundred megabytes of disk. `--postgres` starts a server for it, whose
commits do not wait for the disk.
"""

import argparse
import contextlib
import random
import tempfile
import time
from pathlib import Path

from sqlalchemy import text

from exporters.store import StoreConfig, database
from exporters.store.writer import Store
from watchkeeper.agent.process import resident_bytes
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Counted, Drawn, Row
from watchkeeper.core.records import Batch, Finding, Point, Severity
from watchkeeper.core.testkit import PostgresServer
from watchkeeper.core.vocabulary import requests

START = 1_790_000_000 // 86_400 * 86_400.0
SIGNALS = (
    *((f"number-{n}", 64) for n in range(8)),
    *((f"flag-{n}", 2) for n in range(10)),
    ("reason", 6),
    ("verdict", 4),
)
WRITES_AN_HOUR = 12
FINDINGS_A_DAY = 100
ROWS = 20


def counted(chance: random.Random, at: float, model: int, calls: int) -> list[Counted]:
    """What five minutes bring of a model."""
    segment, reference = f"shop/service-{model}/model-{model}", f"{model:064x}"
    found = []
    for signal, bins in SIGNALS:
        counts = [0] * bins
        for _ in range(calls):
            counts[min(bins - 1, int(bins * chance.betavariate(2, 3))) if bins > 2 else chance.random() < 0.03] += 1
        found.append(Counted(at, segment, signal, reference, counts))
    return found


def drawn(chance: random.Random, hour: float, model: int) -> Drawn:
    segment = f"shop/service-{model}/model-{model}"
    rows = tuple(
        Row(
            hour + 180 * n,
            segment,
            {signal: chance.random() if bins == 64 else float(bins > 2) for signal, bins in SIGNALS},
        )
        for n in range(ROWS)
    )
    return Drawn(hour, segment, 1000, rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--url", default="")
    parser.add_argument("--postgres", action="store_true")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if options.postgres:
            options.url = stack.enter_context(PostgresServer()).database()
        measure(options)


def measure(options: argparse.Namespace) -> None:
    chance = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        config = StoreConfig(enabled=True, url=options.url, state_folder=folder, profile_seconds=3600.0)
        store = Store(config, Ledger())
        engine = database.connect(config)
        before = size(engine)
        kept = [counted(chance, 0.0, model, 1000 // WRITES_AN_HOUR) for model in range(min(options.models, 50))]
        seconds = 0.0
        for hour in range(options.hours):
            at = START + 3600 * hour
            for part in range(WRITES_AN_HOUR):
                now = at + part * 3600 / WRITES_AN_HOUR
                ticks = [
                    Counted(now, f"shop/service-{model}/model-{model}", one.signal, f"{model:064x}", one.counts)
                    for model in range(options.models)
                    for one in kept[(model + part) % len(kept)]
                ]
                points = tuple(
                    Point(
                        requests.REQUESTS,
                        (("service.name", f"service-{m}"), ("gen_ai.request.model", f"model-{m}")),
                        1.0,
                    )
                    for m in range(options.models)
                )
                rows = tuple(drawn(chance, at, model) for model in range(options.models)) if part in (1, 11) else ()
                store.write(Batch(now, points=points, counted=tuple(ticks), drawn=rows))
                if part == 0:
                    store.write(Batch(now, findings=tuple(findings(hour, now))))
                began = time.process_time()
                store._take_batches()
                store._keep_totals(now)
                seconds += time.process_time() - began
            grown = (size(engine) - before) / 1e6
            print(
                f"hour {hour + 1}: {grown:,.1f} MB, {seconds / (hour + 1):.1f} s of processor time an hour", flush=True
            )
        store.close()
        grown = (size(engine) - before) / 1e6
        a_day = grown / options.hours * 24
        print(f"\n{options.models} models, {options.hours} h: {grown:,.1f} MB, {a_day:,.0f} MB a day")
        share, resident = seconds / options.hours / 36, resident_bytes() / 1e6
        print(f"{share:.2f} % of one core, {resident:,.0f} MB resident, generator included")
        for table, count, held in tables_of(engine, is_postgres=bool(options.url)):
            print(f"  {table:<16}{count:>10,} rows {held / 1e6:>8,.1f} MB")
        if not options.url:
            print(f"  file and log: {sum(one.stat().st_size for one in Path(folder).glob('*.db*')) / 1e6:,.1f} MB")


def findings(hour: int, now: float) -> list[Finding]:
    """Opened at one hour, over at the next."""
    found = []
    for number in range(FINDINGS_A_DAY // 24 + 1):
        for which, resolved in ((hour, False), (hour - 1, True)):
            if which >= 0:
                labels = (("service.name", f"service-{number}"), ("gen_ai.request.model", f"model-{which}"))
                said = {"summary": "x" * 200, "evidence": ("y" * 80,) * 8, "action": "z" * 120, "name": "drift"}
                found.append(
                    Finding(at=now, since=now, severity=Severity.WARNING, subject=f"drift {which}", labels=labels,
                            resolved=resolved, **said)
                )  # fmt: skip
    return found


def size(engine) -> int:
    with database.reading(engine) as connection:
        return database.size_bytes(connection)


def tables_of(engine, *, is_postgres: bool) -> list[tuple[str, int, int]]:
    """Name, rows, and bytes with indices."""
    held = "pg_total_relation_size(:name)"
    if not is_postgres:
        held = "(SELECT sum(pgsize) FROM dbstat JOIN sqlite_master USING (name) WHERE tbl_name = :name)"
    tables = ("profiles", "samples", "streams", "inventory", "findings", "finding_events", "audit")
    with database.reading(engine) as connection:
        return [
            (table, *connection.execute(text(f"SELECT count(*), {held} FROM {table}"), {"name": table}).one())  # noqa: S608
            for table in tables
        ]


if __name__ == "__main__":
    main()
