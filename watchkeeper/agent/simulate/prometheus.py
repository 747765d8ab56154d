"""A real Prometheus over a folder of blocks that are already written: it scrapes nothing and is asked."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final, Self

from watchkeeper.core.errors import ConfigError

_LISTENING: Final = 'msg="Listening on" address='
_START_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 60.0
_WRITE_SECONDS: Final = 600.0
_BLOCK: Final = "54h"
"""promtool reads the whole text once for each block"""
_FAR: Final = "10y"
"""nothing is too old to be kept"""


class Prometheus:
    """
    One server on a free port of this host, gone when the block ends.

    :raises ConfigError: Prometheus is not installed, or does not start
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._program = program("prometheus")
        self._folder = folder
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        config = self._folder / "prometheus.yml"
        config.write_text("{}\n")
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        command = [
            self._program, f"--config.file={config}", f"--storage.tsdb.path={data}",
            f"--web.listen-address=127.0.0.1:{self._port}", f"--storage.tsdb.retention.time={_FAR}",
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - a program found by name
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def range(self, query: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Rows `{"metric": labels, "values": [[unix seconds, text], ...]}`. :raises ConfigError: its own complaint"""
        return self._rows("query_range", query=query, start=f"{start}", end=f"{end}", step=f"{step}")

    def at(self, query: str, time_: float) -> list[dict[str, Any]]:
        """Rows `{"metric": labels, "value": [unix seconds, text]}`. :raises ConfigError: its own complaint"""
        return self._rows("query", query=query, time=f"{time_}")

    def wait(self) -> None:
        """Until it ends."""
        if self._process is not None:
            self._process.wait()

    def _rows(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        return ask(self.url, path, **parameters)

    @property
    def _log(self) -> Path:
        return self._folder / "prometheus.log"

    def _wait(self) -> None:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and self._process is not None and self._process.poll() is None:
            self.url = self.url or self._address()
            try:
                if self.url:
                    urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).close()  # noqa: S310 - http only
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise ConfigError(f"prometheus did not start: {self._log.read_text(errors='replace')[-800:]}")

    def _address(self) -> str:
        for line in self._log.read_text(errors="replace").splitlines():
            _, found, address = line.partition(_LISTENING)
            if found:
                return f"http://{address.strip()}"
        return ""


def ask(url: str, path: str, **parameters: str) -> list[dict[str, Any]]:
    """The rows that a Prometheus answers. :raises ConfigError: it does not answer, or refuses the query"""
    form = urllib.parse.urlencode(parameters).encode()  # posted: queries of several vantages are long
    try:
        with urllib.request.urlopen(f"{url}/api/v1/{path}", form, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310
            rows: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return rows
    except urllib.error.HTTPError as error:
        raise ConfigError(f"{url}: {error.code} {error.read().decode(errors='replace')[:500]}") from error
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{url} does not answer as a Prometheus does: {error}") from error


def program(name: str) -> str:
    """:raises ConfigError: it is not installed"""
    found = shutil.which(name)
    if found is None:
        raise ConfigError(f"{name} is not installed; on Debian: apt-get install prometheus")
    return found


def write_blocks(text: Path, data: Path) -> None:
    """OpenMetrics text as blocks of a Prometheus's data folder. :raises ConfigError: promtool's own complaint"""
    command = [
        program("promtool"), "tsdb", "create-blocks-from", f"--max-block-duration={_BLOCK}", "openmetrics", "--quiet",
        str(text), str(data),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=_WRITE_SECONDS)  # noqa: S603
    if done.returncode:
        raise ConfigError(f"promtool: {(done.stderr or done.stdout)[-800:]}")
