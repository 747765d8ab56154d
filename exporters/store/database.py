"""
The database behind the store: how it is opened, brought to this version, and what its failures mean.

A commit of SQLite is on disk when it returns (WAL, synchronous=FULL); PostgreSQL's as its `synchronous_commit` says.
"""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url, text
from sqlalchemy.pool import NullPool

from exporters.store import StoreConfig, missing_package
from exporters.store.migrations import REVISIONS
from watchkeeper.core.errors import ConfigError, Unavailable
from watchkeeper.core.password_file import PasswordFile

_LOG: Final = logging.getLogger("watchkeeper.store")
_BUSY_SECONDS: Final = 30.0
_CONNECT_SECONDS: Final = 5
_STATEMENT_SECONDS: Final = 60
_LOCK: Final = 0x77617463686B
"""of PostgreSQL, held while a version is changed"""
_READING: Final = "is_reading"


def connect(config: StoreConfig) -> Engine:
    """
    Opens nothing yet; connections are not kept but by the store's own thread.

    :raises ConfigError: a file with a password that cannot be read, or no driver for the database
    """
    url = make_url(config.address)
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": _BUSY_SECONDS})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    password = PasswordFile(config.password_file, "exporters.store.password_file") if config.password_file else None
    arguments = {
        "connect_timeout": _CONNECT_SECONDS,
        "application_name": "watchkeeper",
        "options": f"-c statement_timeout={_STATEMENT_SECONDS}s -c lock_timeout={_STATEMENT_SECONDS // 2}s",
        "tcp_user_timeout": 30_000,
        "keepalives_idle": 30,
    }
    arguments |= dict(url.query)
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg", query={}), poolclass=NullPool, connect_args=arguments
        )
    except ModuleNotFoundError as error:
        raise ConfigError(missing_package(error)) from None
    if password is not None:
        event.listen(engine, "do_connect", partial(_show, password))
    return engine


def _show(password: PasswordFile, _dialect: Any, _record: Any, _arguments: Any, named: dict[str, Any]) -> None:
    """At each connection."""
    named["password"] = password.newest()


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # else the driver begins transactions by itself, too late
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes its lock first: one that began as a reader could not wait for it."""
    is_reading = connection.get_execution_options().get(_READING, False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """
    One transaction, committed at the end.

    :raises Unavailable: the database is away, full or busy; nothing of this transaction is in it, as far as is known
    """
    with _explained(engine), engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """:raises Unavailable: the database is away"""
    with _explained(engine), engine.connect().execution_options(**{_READING: True}) as connection:
        yield connection


@contextmanager
def _explained(engine: Engine) -> Iterator[None]:
    try:
        yield
    except (exc.DataError, exc.IntegrityError):
        raise  # of a record, not of the database
    except exc.DBAPIError as error:
        raise Unavailable(f"{shown(engine)}: {_reason(error)}") from None
    except exc.SQLAlchemyError as error:
        if isinstance(error, exc.StatementError):
            raise
        raise Unavailable(f"{shown(engine)}: {type(error).__name__}") from None


def shown(engine: Engine) -> str:
    """Which database, for people; without the password."""
    url = engine.url
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


def _reason(error: exc.DBAPIError) -> str:
    """The driver's own line: it names hosts and tables; values only of constraints, which are raised as they are."""
    lines = str(error.orig).strip().splitlines()
    return lines[-1] if lines and "connection" in lines[0] and len(lines) > 1 else (lines or [type(error).__name__])[0]


def prepare(engine: Engine) -> None:
    """
    Brings the database to this version; several processes may do so at once.

    :raises ConfigError: a newer watchkeeper made it, or its file cannot be written
    :raises Unavailable: it is away
    """
    with _alone(engine), writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        current = revision(connection)
        if current == REVISIONS[-1]:
            return
        _refuse_newer(engine, current)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from alembic import command  # takes 12 MB, once in the life of a database
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", "exporters.store:migrations")
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, REVISIONS[-1])
    before = f"brought from version {current} to" if current else "made, of version"
    _LOG.info("%s: %s %s", shown(engine), before, REVISIONS[-1])


def must_be_there(engine: Engine) -> None:
    """
    For who asks and makes nothing.

    :raises ConfigError: there is none, or it is of another version
    :raises Unavailable: it is away
    """
    is_file = engine.url.get_backend_name() == "sqlite"
    if is_file and not Path(str(engine.url.database)).exists():
        raise ConfigError(f"exporters.store: {shown(engine)} is not there; a watchkeeper with the store on makes it")
    with reading(engine) as connection:
        current = revision(connection)
    _refuse_newer(engine, current)
    if current != REVISIONS[-1]:
        raise ConfigError(
            f"exporters.store: {shown(engine)} is of version {current or 'none'}; a start of this watchkeeper brings "
            f"it to {REVISIONS[-1]}"
        )


def revision(connection: Connection) -> str:
    """Empty where there is none."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return ""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def _refuse_newer(engine: Engine, current: str) -> None:
    if current and current not in REVISIONS:
        raise ConfigError(
            f"exporters.store: {shown(engine)} was made by a newer watchkeeper (version {current}, known here up to "
            f"{REVISIONS[-1]}); run that one, or give another database"
        )


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """SQLite: one process at a time makes the file and switches it to WAL, which does not wait for others by itself."""
    if engine.url.get_backend_name() != "sqlite":
        yield
        return
    file = Path(str(engine.url.database))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.with_name(f"{file.name}.lock").open("ab")
    except OSError as error:
        raise ConfigError(
            f"exporters.store: {file} cannot be written: {error.strerror}; give a folder on a writable volume"
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _explained(engine):
            connection = engine.raw_connection()
            try:
                connection.cursor().execute("PRAGMA journal_mode=WAL")
            except Exception as error:  # noqa: BLE001 - raw drivers are not mapped by SQLAlchemy
                raise Unavailable(f"{file}: {error}") from None
            finally:
                connection.close()
        yield


def size_bytes(connection: Connection) -> int:
    """Of the whole database."""
    if connection.dialect.name == "postgresql":
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def examine(config: StoreConfig) -> str:
    """
    One line for `watchkeeper doctor`. Makes nothing.

    :raises ConfigError: a newer watchkeeper made it
    :raises Unavailable: it is away
    """
    engine = connect(config)
    if engine.url.get_backend_name() == "sqlite" and not Path(str(engine.url.database)).exists():
        return f"{shown(engine)} will be made at start"
    with reading(engine) as connection:
        current = revision(connection)
        _refuse_newer(engine, current)
        said = f"of version {current}" if current else "empty"
        said += "" if current in ("", REVISIONS[-1]) else f", brought to {REVISIONS[-1]} at start"
        return f"{shown(engine)} is there, {said}, {size_bytes(connection) / 1e6:,.1f} MB"
