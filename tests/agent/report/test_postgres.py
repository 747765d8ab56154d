"""The record of the month from a store on PostgreSQL alone: what SQLite gives, to the last figure and hash."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from exporters.store import StoreConfig, database, totals
from exporters.store.packed import encode_counts
from exporters.store.totals import Numbers
from watchkeeper.agent.command_line import main
from watchkeeper.agent.references import store
from watchkeeper.agent.report import record
from watchkeeper.agent.report.record import Record
from watchkeeper.core.testkit import PostgresServer

HOUR = 3600


def count(config: StoreConfig, folder: Path, since: float) -> None:
    """A fleet's counts of two weeks: a thousand an hour of each flag and service, one in fifty marked."""
    engine, numbers = database.connect(config), Numbers(config.deployment)
    flags = [pack for pack in store.load(folder).packs.values() if pack.bins == 2 and pack.approval is not None]
    with database.writing(engine) as connection:
        for pack in sorted(flags, key=lambda one: one.id):
            stream = numbers.stream(connection, (pack.segment, pack.signal, pack.id))
            hours = range(int(since), int(since) + 14 * 24 * HOUR, HOUR)
            totals.profiles(connection, [(hour, stream, 1, encode_counts([980, 20])) for hour in hours])
    engine.dispose()


def filed(folder: Path, store_settings: str) -> Record:
    (folder / "watchkeeper.yaml").write_text(
        f"state_folder: {folder}\nexporters: {{store: {{enabled: true{store_settings}}}}}\n"
    )
    asked = ["--period", "2025-03", "--config", str(folder / "watchkeeper.yaml"), "--out", str(folder / "out")]
    assert main(["report", "governance", *asked]) == 0
    return msgspec.structs.replace(
        record.decode((folder / "out" / "governance-2025-03.json").read_bytes()), made_at=0.0
    )


def test_the_record_from_postgres_is_the_one_from_sqlite(
    month: Any, keep_month: Callable[[Any, StoreConfig], None], tmp_path: Path
) -> None:
    records = []
    with PostgresServer() as server:
        for name, url in (("sqlite", ""), ("postgres", server.database())):
            folder = tmp_path / name
            shutil.copytree(month.state / "references", folder / "references")
            config = StoreConfig(url=url, state_folder=str(folder))
            keep_month(month, config)
            count(config, folder / "references", month.truth.refusing[0])
            records.append(filed(folder, f", url: '{url}'" if url else ""))

    lite, postgres = records
    assert sum(one.observations for one in postgres.drift) > 14 * 24 * 1000
    assert len(postgres.incidents) == 3
    assert postgres == lite
