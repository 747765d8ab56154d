"""Versions of the database, and what is in the way of having one."""

import fcntl
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, text

from exporters.store import PLUGIN, StoreConfig, audit, build, database, problems, queries, tables
from exporters.store.migrations import REVISIONS
from exporters.store.queries import Wanted
from watchkeeper.core.errors import ConfigError, Unavailable
from watchkeeper.core.ledger import Ledger

AT = 1_790_000_000.0


def alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", "exporters.store:migrations")
    config.set_main_option("path_separator", "os")
    return config


def to(place, revision: str) -> None:
    """A new database of a version."""
    place.folder.mkdir(parents=True)
    config = alembic()
    with database.writing(database.connect(place.config())) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_the_revisions_on_disk_are_those_that_are_told():
    found = [one.revision for one in ScriptDirectory.from_config(alembic()).walk_revisions()]

    assert tuple(reversed(found)) == REVISIONS


def test_migrations_make_the_tables_that_are_declared(place):
    place.store().close()

    with database.reading(database.connect(place.config())) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, tables.METADATA)

    assert found == []


def test_a_database_of_the_first_version_is_brought_to_this_one_with_all_that_is_in_it(place):
    to(place, REVISIONS[0])
    columns = "id, deployment, instance, subject_key, summary, since, opened_at, changed_at, acknowledged_by"

    def fill(connection):
        values = "'old-1', 'default', 'here', 'k', 'an old one', 1, 2, 3, 'ann'"
        connection.execute(text(f"INSERT INTO findings ({columns}) VALUES ({values})"))  # noqa: S608
        told = "('e1', 'old-1', 2, 'watchkeeper', 'opened', 'an old one')"
        connection.execute(text(f"INSERT INTO finding_events (id, finding, at, who, deed, text) VALUES {told}"))  # noqa: S608
        audit.append(connection, "default", at=AT, who="ann", action="tried", subject="s", detail={})

    place.do(fill)
    place.store().close()

    [found] = place.ask(queries.findings, Wanted())
    assert (found.id, found.summary, found.cause, found.acknowledged_by) == ("old-1", "an old one", "", "ann")
    assert [one.deed for one in place.ask(queries.finding, "old-1").life] == ["opened"]
    assert (place.ask(audit.verify).problem, place.ask(audit.verify).entries) == ("", 1)
    with database.reading(database.connect(place.config())) as connection:
        assert database.revision(connection) == REVISIONS[-1]


def test_a_database_of_a_newer_version_is_refused_in_one_line(place):
    place.store().close()
    place.do(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))

    with pytest.raises(ConfigError) as refused:
        build(place.config(), Ledger())

    [line] = refused.value.problems
    assert "newer watchkeeper (version 9999" in line
    assert "\n" not in line
    assert PLUGIN.probe(place.config())[0].startswith("! ")


def test_several_processes_that_start_at_once_make_one_database(place):
    script = (
        "import sys; from exporters.store import StoreConfig, build, writer; writer._CLOSE_SECONDS = 60.0;"
        "from watchkeeper.core.ledger import Ledger;"
        "store = build(StoreConfig(enabled=True, url=sys.argv[1], state_folder=sys.argv[2]), Ledger()); store.close()"
    )
    command_line = [sys.executable, "-c", script, place.url, str(place.folder)]
    started = [subprocess.Popen(command_line, stderr=subprocess.PIPE, text=True) for _ in range(4)]

    assert [(one.communicate()[1], one.returncode) for one in started] == [("", 0)] * 4
    assert len(place.ask(queries.processes, 0.0, 1e12)) == 4


@contextmanager
def held(place):
    """Somebody else brings the database to a version."""
    engine = database.connect(place.config())
    if place.is_postgres:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": database._LOCK})
            yield
    else:
        place.folder.mkdir(parents=True)
        with (place.folder / "watchkeeper.db.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def test_who_comes_while_another_makes_the_database_waits_for_it(place):
    engine = database.connect(place.config())
    coming = threading.Thread(target=database.prepare, args=(engine,))
    with held(place):
        coming.start()
        coming.join(0.5)
        assert coming.is_alive()
        with pytest.raises((ConfigError, Unavailable)):
            database.must_be_there(engine)
    coming.join(30)

    database.must_be_there(engine)


def test_a_writer_of_sqlite_that_began_with_a_question_is_not_overtaken(on_sqlite):
    on_sqlite.store().close()
    engine = database.connect(on_sqlite.config())
    other = threading.Thread(target=lambda: on_sqlite.do(lambda c: c.execute(text("DELETE FROM changes"))))
    with database.writing(engine) as connection:
        connection.execute(text("SELECT count(*) FROM changes")).scalar()
        other.start()
        other.join(0.5)
        connection.execute(text("DELETE FROM changes"))
    other.join(30)

    assert not other.is_alive()


def test_an_older_database_is_asked_for_nothing_that_it_lacks_by_the_doctor(place):
    to(place, REVISIONS[0])

    [line] = PLUGIN.probe(place.config())

    assert f"of version {REVISIONS[0]}, brought to {REVISIONS[-1]} at start" in line


def test_the_doctor_makes_no_database(on_sqlite):
    [line] = PLUGIN.probe(on_sqlite.config())

    assert "will be made at start" in line
    assert not on_sqlite.folder.exists()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (StoreConfig(enabled=True), "set state_folder"),
        (StoreConfig(enabled=True, url="mysql://host/db"), "'mysql' is no database known here"),
        (StoreConfig(enabled=True, url="postgresql://me:secret@host/db"), "password_file"),
        (StoreConfig(enabled=True, url="sqlite://"), "give a file"),
    ],
)
def test_a_place_that_cannot_be_used_is_told_without_its_password(config, said):
    [line] = problems(config)

    assert said in line
    assert "secret" not in line
    with pytest.raises(ConfigError, match=re.escape(line)):
        build(config, Ledger())


def test_a_folder_that_cannot_be_written_is_a_mistake_of_the_configuration(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="cannot be written"):
        build(StoreConfig(enabled=True, state_folder=str(tmp_path / "file")), Ledger())


def test_a_commit_of_sqlite_is_on_disk_before_it_is_told(on_sqlite):
    on_sqlite.store().close()

    with database.reading(database.connect(on_sqlite.config())) as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_password_comes_from_its_file_and_is_not_shown(tmp_path):
    file = Path(tmp_path / "password")
    file.write_text("s3cret\n")
    engine = database.connect(StoreConfig(url="postgresql://me@127.0.0.1:1/db", password_file=str(file)))
    given = []
    event.listen(engine, "do_connect", lambda _dialect, _record, _arguments, named: given.append(named["password"]))
    with pytest.raises(Unavailable):
        database.must_be_there(engine)

    assert given == ["s3cret"]
    assert "s3cret" not in repr(engine) + database.shown(engine)
    with pytest.raises(ConfigError, match="password_file"):
        database.connect(StoreConfig(url="postgresql://me@127.0.0.1:1/db", password_file=str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("lacking", "config", "extra"),
    [
        ("sqlalchemy", "state_folder='/nowhere'", "store"),
        ("psycopg", "url='postgresql://me@127.0.0.1:1/db'", "postgres"),
    ],
)
def test_without_its_packages_it_says_what_to_install(lacking, config, extra):
    script = (
        f"import sys; sys.modules['{lacking}'] = None; from exporters.store import StoreConfig, build, probe;"
        f"from watchkeeper.core.ledger import Ledger; config = StoreConfig(enabled=True, {config});"
        "print(probe(config)); build(config, Ledger())"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    said = f"pip install 'watchkeeper[{extra}]'"
    assert said in done.stdout
    assert done.stderr.splitlines()[-1].startswith("watchkeeper.core.errors.ConfigError: exporters.store: needs")
    assert said in done.stderr


def test_nothing_of_the_database_is_imported_where_the_store_is_off():
    script = (
        "import sys; from watchkeeper.agent import registry; from watchkeeper.agent.agent import Agent; "
        "print([one for one in sys.modules if one.split('.')[0] in ('sqlalchemy', 'alembic', 'psycopg')])"
    )

    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert said == "[]\n"
