"""What must hold when the database is killed, away, full or slow: nothing acknowledged lost, each once, in order."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial

import pytest
from sqlalchemy import select, text

from exporters.store import audit, database, queries
from exporters.store.queries import Wanted
from exporters.store.tables import FINDING_EVENTS
from watchkeeper.core.observed import Counted
from watchkeeper.core.records import Batch
from watchkeeper.core.testkit import PostgresServer

AT = 1_790_000_000.0
HOUR = AT // 3600 * 3600


class ServerOfItsOwn:
    """A PostgreSQL that a test may kill."""

    def __init__(self, place_type, folder):
        self.server = PostgresServer().__enter__()
        self.place = place_type(self.server.database(), folder)


@pytest.fixture
def mortal(tmp_path, place_class):
    one = ServerOfItsOwn(place_class, tmp_path / "state")
    yield one
    one.server.__exit__(None, None, None)


def told(place) -> list[str]:
    """Summaries of all events in order of time."""
    query = select(FINDING_EVENTS.c.text).order_by(FINDING_EVENTS.c.at)
    with database.reading(database.connect(place.config())) as connection:
        return list(connection.execute(query).scalars())


def steps(place, first, last):
    """Findings of one subject that is changed again and again."""
    return [place.finding(at=AT + number, summary=f"step {number}") for number in range(first, last)]


def test_findings_while_postgres_is_restarted_again_and_again_are_there_once_and_in_order(mortal):
    place = mortal.place
    store = place.store()
    number = 0
    for _ in range(3):
        for _ in range(40):
            place.tell(store, *steps(place, number, number + 2))
            number += 2
            time.sleep(0.005)
        mortal.server.stop()
        place.tell(store, *steps(place, number, number + 10))
        number += 10
        mortal.server.start()
    place.wait_until(lambda: place.tell(store) and len(store._spool) == 0)
    store.close()

    assert told(place) == [f"step {one}" for one in range(number)]
    assert len(place.ask(queries.findings, Wanted())) == 1
    assert place.ask(audit.verify).problem == ""


def test_a_process_that_ends_while_its_database_is_away_leaves_its_findings_to_the_next(mortal):
    place = mortal.place
    place.store().close()
    mortal.server.stop()
    store = place.store()
    place.wait_until(lambda: not place.tell(store))
    place.tell(store, *steps(place, 0, 5))
    with pytest.raises(Exception, match="wait and are written later"):
        store.close()
    mortal.server.start()
    store = place.store()
    place.tell(store, *steps(place, 5, 7))
    store.close()

    assert told(place) == [f"step {one}" for one in range(7)]


def test_a_database_that_is_away_at_the_start_is_no_reason_not_to_start_and_is_said_until_it_is_back(mortal):
    mortal.server.stop()
    place = mortal.place
    store = place.store()
    assert not place.tell(store, *steps(place, 0, 1))
    mortal.server.start()
    place.wait_until(lambda: place.tell(store))
    store.close()

    assert told(place) == ["step 0"]


def test_a_password_that_changes_is_read_from_its_file_for_the_next_connection(mortal, tmp_path, caplog):
    place, file = mortal.place, tmp_path / "password"
    file.write_text("first\n")
    mortal.server.ask_for("first")
    place.config = partial(place.config, password_file=str(file))
    store = place.store()
    place.tell(store, *steps(place, 0, 1))
    place.wait_until(lambda: place.tell(store) and len(store._spool) == 0)

    mortal.server.ask_for("second")
    place.tell(store, *steps(place, 1, 2))
    place.wait_until(lambda: not place.tell(store))
    file.write_text("second\n")
    place.wait_until(lambda: place.tell(store) and len(store._spool) == 0)
    file.unlink()
    place.tell(store, *steps(place, 2, 3))
    store.close()
    file.write_text("second\n")

    assert told(place) == ["step 0", "step 1", "step 2"]
    assert "second" not in caplog.text
    assert caplog.text.count("cannot be read (No such file or directory)") == 1


def test_counts_while_the_database_is_away_are_written_when_it_is_back(mortal):
    place = mortal.place
    store = place.store(profile_seconds=1.0)
    store.write(Batch(AT, counted=(Counted(AT, "a/b/c", "refusal", "ab" * 32, [1, 1]),)))
    mortal.server.stop()
    place.wait_until(lambda: not place.tell(store))
    place.tell(store, counted=(Counted(AT, "a/b/c", "refusal", "ab" * 32, [2, 0]),))
    mortal.server.start()
    place.wait_until(lambda: place.tell(store))
    store.close()

    assert [one.counts for one in place.ask(queries.profiles, HOUR, HOUR + 1)] == [[3, 1]]


WRITER = """
    import resource, sys, time
    from exporters.store import StoreConfig, build, writer
    from watchkeeper.core.errors import Retryable
    from watchkeeper.core.ledger import Ledger
    from watchkeeper.core.records import Batch, Finding, Severity
    from watchkeeper.core.vocabulary import store as vocabulary

    writer._CLOSE_SECONDS = 60.0
    AT = 1_790_000_000.0
    ledger = Ledger()
    written = 0.0

    def opened(url, folder, instance="here"):
        return build(StoreConfig(enabled=True, url=url, state_folder=folder, instance=instance), ledger)

    def tell(store, number, text="step {}"):
        labels = (("service.name", "chat"),)
        finding = Finding(at=AT + number, since=AT, severity=Severity.WARNING, subject="lag", name="lag",
                          labels=labels, summary=text.format(number))
        try:
            store.write(Batch(AT, findings=(finding,)))
        except Retryable:
            return False
        return True

    def written_now():
        global written
        wanted = ((vocabulary.KIND, "events"), (vocabulary.OUTCOME, "written"))
        written += sum(s.value for s in ledger.drain(0) if s.metric is vocabulary.RECORDS and s.labels == wanted)
        return int(written)
"""


def script(body: str) -> str:
    return textwrap.dedent(WRITER) + textwrap.dedent(body)


def test_a_process_killed_in_the_middle_of_writing_loses_nothing_that_it_had_acknowledged(place):
    place.store().close()
    killed = script("""
        store = opened(*sys.argv[1:3])
        number = 0
        while True:
            tell(store, number)
            number += 1
            print(written_now(), flush=True)
            time.sleep(0.004 if number < written + 300 else 0.1)
    """)
    for _ in range(3):
        before = len(told(place))
        child = subprocess.Popen(
            [sys.executable, "-c", killed, place.url, str(place.folder)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= 60:
                break
        os.kill(child.pid, signal.SIGKILL)
        rest = child.communicate()[0].split()
        acknowledged = max([60, *map(int, (line for line in rest[:-1]))])
        place.settle()

        found = told(place)
        assert len(found) - before >= acknowledged
        place.do(lambda connection: connection.execute(text("DELETE FROM finding_events")))
        place.do(lambda connection: connection.execute(text("DELETE FROM findings")))
        assert found == [f"step {one}" for one in range(len(found))]
        assert place.ask(audit.verify).problem == ""


def test_two_processes_on_one_store_make_one_audit_log_and_keep_their_findings_apart(place):
    place.store().close()
    body = script("""
        store = opened(*sys.argv[1:4])
        for number in range(150):
            tell(store, number)
            time.sleep(0.002)
        while written_now() < 150:
            time.sleep(0.05)
        store.close()
    """)
    children = [
        subprocess.Popen([sys.executable, "-c", body, place.url, str(place.folder), instance], stderr=subprocess.PIPE)
        for instance in ("one", "two")
    ]

    assert [(one.communicate()[1], one.returncode) for one in children] == [(b"", 0)] * 2
    assert sorted(one.instance for one in place.ask(queries.findings, Wanted())) == ["one", "two"]
    assert len(told(place)) == 300
    assert (place.ask(audit.verify).problem, place.ask(audit.verify).entries) == ("", 300)


def test_with_the_disk_full_findings_wait_and_are_written_once_there_is_room(on_sqlite):
    body = script("""
        store = opened(*sys.argv[1:3])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), hard))
        number, fell_at = 0, None
        while fell_at is None or number < fell_at + 50:
            if not tell(store, number, "step {} " + "x" * 300) and fell_at is None:
                fell_at = number
            number += 1
            time.sleep(0.002)
        held = written_now()
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        while not tell(store, number) or len(store._spool):
            time.sleep(0.2)
            number += 1
        store.close()
        number += 1
        print(held, number)
    """)
    on_sqlite.store().close()
    limit = (on_sqlite.folder / "watchkeeper.db").stat().st_size + 150_000

    done = subprocess.run(
        [sys.executable, "-c", body, on_sqlite.url, str(on_sqlite.folder), str(limit)],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip

    assert done.stderr == ""
    held, number = map(int, done.stdout.split())
    assert held < number
    assert [one.split()[1] for one in told(on_sqlite)] == [str(one) for one in range(number)]
    assert on_sqlite.ask(audit.verify).problem == ""


@pytest.fixture
def small_disk(tmp_path):
    """Of two megabytes, for database and spool alike."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounts a small disk, which only root may; run as root, or in a container")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_on_a_disk_without_any_room_findings_wait_in_memory_and_are_written_once_there_is_room(small_disk, place_class):
    place = place_class("", small_disk / "state")
    store = place.store()
    number = 0
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    while place.tell(store, place.finding(at=AT + number, summary=f"step {number} " + "x" * 300)):
        number += 1
        assert number < 2_000
        time.sleep(0.002 if number < 500 else 0.02)
    for _ in range(50):
        number += 1
        place.tell(store, place.finding(at=AT + number, summary=f"step {number} " + "x" * 300))
    place.wait_until(lambda: len(store._spool) > 50)

    filler.unlink()
    place.wait_until(lambda: place.tell(store) and len(store._spool) == 0)
    store.close()

    assert [one.split()[1] for one in told(place)] == [str(one) for one in range(number + 1)]
    assert place.ask(audit.verify).problem == ""
    assert place.counted("events", "dropped") == 0


def test_a_database_that_somebody_holds_makes_findings_wait_and_the_pipeline_does_not(on_sqlite):
    store = on_sqlite.store()
    with database.writing(database.connect(on_sqlite.config())) as connection:
        connection.execute(text("UPDATE audit_heads SET number = number"))
        assert on_sqlite.tell(store, *steps(on_sqlite, 0, 3))
        on_sqlite.wait_until(lambda: len(store._spool) == 3)
        time.sleep(0.2)  # the thread that writes waits for its turn by now
        assert on_sqlite.tell(store, *steps(on_sqlite, 3, 5))
        on_sqlite.wait_until(lambda: len(store._spool) == 5)
    on_sqlite.wait_until(lambda: len(store._spool) == 0)
    store.close()

    assert told(on_sqlite) == [f"step {one}" for one in range(5)]
