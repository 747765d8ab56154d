"""A real PostgreSQL for tests: a cluster of its own on a free port of 127.0.0.1, thrown away at the end."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from watchkeeper.core.testkit.ports import free_port
from watchkeeper.core.testkit.programs import require

_SETTINGS = ("fsync=off", "max_connections=40", "shared_buffers=16MB", "log_min_messages=fatal")
_TIMEOUT_SECONDS = 60
_DEBIAN = "/usr/lib/postgresql"


class PostgresServer:
    """
    Skips the test where PostgreSQL is not installed (see `require`). As root it runs as the user `postgres`: it must.

        with PostgresServer() as postgres:
            url = postgres.database()
    """

    def __init__(self) -> None:
        self._programs = _programs()
        self._folder = Path(tempfile.mkdtemp(prefix="watchkeeper-postgres-"))
        self._data = self._folder / "data"
        self._user: str | None = None
        if os.geteuid() == 0:
            self._user = "postgres"
            owner = pwd.getpwnam(self._user)
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
        self._port = free_port()

    def __enter__(self) -> Self:
        self._run("initdb", "-D", str(self._data), "-U", "watchkeeper", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def database(self) -> str:
        """URL of a new, empty database."""
        name = f"test_{secrets.token_hex(4)}"
        # template1 cannot be copied while anybody is in it, autovacuum too
        self._tell("127.0.0.1", f"CREATE DATABASE {name} TEMPLATE template0")
        return f"postgresql://watchkeeper@127.0.0.1:{self._port}/{name}"

    def ask_for(self, password: str) -> None:
        """Who connects over TCP needs it from now on, and no other. At the first time it is started anew for that."""
        self._tell(str(self._folder), f"ALTER USER watchkeeper PASSWORD '{password}'")
        file, rules = self._data / "pg_hba.conf", "local all all trust\nhost all all all scram-sha-256\n"
        if file.read_text() != rules:
            self.stop()
            file.write_text(rules)
            self.start()

    def start(self) -> None:
        address = (f"port={self._port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}")
        options = " ".join(f"-c {setting}" for setting in (*_SETTINGS, *address))
        self._run("pg_ctl", "-D", str(self._data), "-w", "-o", options, "-l", str(self._folder / "log"), "start")

    def stop(self) -> None:
        """At once, as a crash is: what was not committed is gone."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def _tell(self, host: str, statement: str) -> None:
        """Not by `psql`: it has died of a segmentation fault here."""
        import psycopg  # of the extra `postgres`

        with psycopg.connect(
            host=host,
            port=self._port,
            user="watchkeeper",
            dbname="postgres",
            autocommit=True,
            connect_timeout=_TIMEOUT_SECONDS,
        ) as connection:
            connection.execute(statement.encode())

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(  # noqa: S603 - PostgreSQL's own programs
            [self._programs / program, *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE,  # its server would keep a pipe open
            timeout=_TIMEOUT_SECONDS,
            cwd=self._folder,
            user=self._user,
        )


def _programs() -> Path:
    """Debian keeps them off the path, a folder for each version."""
    found = sorted(Path(_DEBIAN).glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else Path(require("postgres", "postgresql")).resolve().parent
