"""A store on SQLite and on PostgreSQL: the same tests over both."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from exporters.store import StoreConfig, database, writer
from exporters.store.writer import Store
from watchkeeper.core.errors import Retryable
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Finding, Severity
from watchkeeper.core.testkit import PostgresServer
from watchkeeper.core.vocabulary import store as vocabulary

AT = 1_790_000_000.0
DEPLOYMENT = "default"


class Somewhere:
    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.is_postgres = url.startswith("postgresql")
        self.ledger = Ledger()

    def config(self, **settings: Any) -> StoreConfig:
        given = {"enabled": True, "url": self.url, "state_folder": str(self.folder), "instance": "here"}
        return StoreConfig(**(given | settings))

    def store(self, **settings: Any) -> Store:
        return Store(self.config(**settings), self.ledger)

    def settle(self) -> None:
        """A store takes over what another one left, however long that takes."""
        for _ in range(20):
            store = self.store()
            try:
                store.close()
            except Retryable:
                store._thread.join(60.0)  # it goes on, and what it has taken over nobody else has
                continue
            return
        raise AssertionError("it did not settle")

    def ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """The answer of one of the store's queries."""
        with database.reading(database.connect(self.config())) as connection:
            return question(connection, DEPLOYMENT, *arguments)

    def do(self, work: Callable[[Connection], Any]) -> Any:
        with database.writing(database.connect(self.config())) as connection:
            return work(connection)

    @staticmethod
    def finding(number: int = 0, *, at: float = AT, resolved: bool = False, **fields: Any) -> Finding:
        labels = (("k8s.namespace.name", "shop"), ("service.name", "chat"), ("gen_ai.request.model", f"m{number}"))
        given = {"severity": Severity.WARNING, "summary": f"late {number}", "name": "lag", "labels": labels}
        return Finding(at=at, since=at - 60, subject=f"lag of m{number}", resolved=resolved, **(given | fields))

    @staticmethod
    def tell(store: Store, *findings: Finding, **fields: Any) -> bool:
        """Whether the store is well."""
        try:
            store.write(Batch(AT, findings=findings, **fields))
        except Retryable:
            return False
        return True

    @staticmethod
    def wait_until(what: Callable[[], bool], seconds: float = 90.0) -> None:
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "it did not come"
            time.sleep(0.05)

    def counted(self, kind: str, outcome: str) -> float:
        """Since the last time that anything was asked for."""
        wanted = ((vocabulary.KIND, kind), (vocabulary.OUTCOME, outcome))
        found = [one for one in self.ledger.drain(AT) if one.metric is vocabulary.RECORDS and one.labels == wanted]
        return sum(one.value for one in found if isinstance(one.value, float))


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One on which the last records take their time."""
    monkeypatch.setattr(writer, "_CLOSE_SECONDS", 60.0)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Somewhere:
    if request.param == "sqlite":
        return Somewhere("", tmp_path / "state")
    return Somewhere(request.getfixturevalue("postgres").database(), tmp_path / "state")


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Somewhere:
    return Somewhere("", tmp_path / "state")


@pytest.fixture
def place_class() -> type[Somewhere]:
    return Somewhere
