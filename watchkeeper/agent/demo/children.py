"""The demo's processes: each with a log file of its own, none left behind."""

import contextlib
import ctypes
import http.client
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Final

from watchkeeper.core.errors import WatchkeeperError

_LOG_LINES: Final = 8
_POLL_SECONDS: Final = 0.1
_FETCH_SECONDS: Final = 5.0
_DIE_WITH_PARENT: Final = 1
"""PR_SET_PDEATHSIG of Linux's prctl"""
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""never through a proxy: everything is on this machine"""


class DemoFailed(WatchkeeperError):  # noqa: N818 - read as a sentence by the person at the terminal
    """A process of the demo did not start, or ended too early. Its message says which and shows its last words."""


class Child:
    """
    One process: a module of ours with its arguments, or a `program` with them. Ctrl-C does not reach it, so that the
    demo can end its processes in order.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], program: str = ""
    ) -> None:
        self._name = name
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own modules, and programs found by name
                [program, *arguments] if program else [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environment),
                process_group=0,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def check(self) -> None:
        """:raises DemoFailed: it has ended"""
        if self._process.poll() is not None:
            raise self.failure(f"ended with exit code {self._process.returncode}")

    def wait_for(self, answer: Callable[[], bool], seconds: float, stop: Event) -> None:
        """
        Until `answer` is true or `stop` is set.

        :raises DemoFailed: it ended before, or did not get there in time
        """
        deadline = time.monotonic() + seconds
        while not answer() and not stop.wait(_POLL_SECONDS):
            self.check()
            if time.monotonic() > deadline:
                raise self.failure(f"is not ready after {seconds:.0f} s")

    def begin(self) -> None:
        """Tell it to do what it was started for (SIGUSR1)."""
        self._process.send_signal(signal.SIGUSR1)

    def hold(self) -> None:
        """It stands still until `go_on`."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self, seconds: float) -> str:
        """SIGTERM, and SIGKILL when it has not gone after `seconds`. Returns all that it wrote."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        return self._log.read_text(encoding="utf-8", errors="replace")

    def failure(self, what: str) -> DemoFailed:
        words = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        return DemoFailed("\n".join((f"{self._name} {what}. Its last lines ({self._log}):", *words)))


def fetch(url: str) -> str | None:
    """Body of a GET, None when nobody answers or the status is not 200."""
    try:
        with _DIRECT.open(url, timeout=_FETCH_SECONDS) as answer:
            body: str = answer.read().decode()
            return body
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException):
        return None


def port_near(wanted: int, taken: set[int]) -> int:
    """`wanted` where it is free on 127.0.0.1 and not in `taken`, else any free port. Adds it to `taken`."""
    for candidate in (wanted, 0, 0, 0):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            port: int = listener.getsockname()[1]
        if port not in taken:
            taken.add(port)
            return port
    raise DemoFailed("no free port on 127.0.0.1")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGTERM)
