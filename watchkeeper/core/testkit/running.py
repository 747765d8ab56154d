"""A real `watchkeeper run` for one test: its own process, free ports, its log kept."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from prometheus_client.parser import text_string_to_metric_families

from watchkeeper.core.testkit.ports import free_port

_CALL_TIMEOUT_SECONDS = 60.0
_PATIENCE_SECONDS = 90.0
"""for what takes a second or two, unless the machine does much else"""


class RunningWatchkeeper:
    """
    `settings` are added to a configuration with free ports; `directory` takes the file and the log.

        with RunningWatchkeeper(tmp_path, {"engines": [{"url": engine}]}) as watchkeeper:
            watchkeeper.wait_for("watchkeeper_engine_up")
    """

    def __init__(self, directory: Path, settings: dict[str, Any] | None = None) -> None:
        self.web_port, self.http_port, self.grpc_port = free_port(), free_port(), free_port()
        self._log = directory / "watchkeeper.log"
        self._config = directory / "watchkeeper.yaml"
        document = {
            "web": {"port": self.web_port},
            "otlp": {"http_port": self.http_port, "grpc_port": self.grpc_port},
        }
        for key, value in (settings or {}).items():
            if isinstance(value, dict):
                document[key] = document.get(key, {}) | value
            else:
                document[key] = value
        self._config.write_text(yaml.safe_dump(document), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "watchkeeper", "run", "--config", str(self._config)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - ourselves
        end = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            if self.status("/readyz") == 200:
                return self
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"watchkeeper did not start:\n{self.log()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("not running")
        return self._process.pid

    def stop(self) -> int:
        """SIGTERM, wait, exit code. A second call answers the same."""
        if self._process is None:
            raise RuntimeError("never started")
        if self._process.poll() is None:
            self._process.terminate()
        return self._process.wait(timeout=_PATIENCE_SECONDS)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def status(self, path: str) -> int:
        """HTTP status of a page, 0 when nothing answers."""
        try:
            with urllib.request.urlopen(self._url(path), timeout=_CALL_TIMEOUT_SECONDS) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def page(self, path: str = "/metrics") -> str:
        with urllib.request.urlopen(self._url(path), timeout=_CALL_TIMEOUT_SECONDS) as answer:  # noqa: S310
            return str(answer.read().decode())

    def value(self, name: str, **labels: str) -> float | None:
        """Sum over the series of sample `name` that carry `labels`; None when there is none."""
        found = [
            sample.value
            for family in text_string_to_metric_families(self.page())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None

    def wait_for(
        self, name: str, at_least: float = 0.0, timeout_seconds: float = _PATIENCE_SECONDS, **labels: str
    ) -> float:
        """The value as soon as it is there and reaches `at_least`. :raises TimeoutError: with the newest value"""
        end = time.monotonic() + timeout_seconds
        while True:
            value = self.value(name, **labels)
            if value is not None and value >= at_least:
                return value
            if time.monotonic() > end:
                raise TimeoutError(f"{name} {labels} is {value}, waited for {at_least}; log:\n{self.log()}")
            time.sleep(0.1)

    def wait_for_log(self, text: str, timeout_seconds: float = _PATIENCE_SECONDS) -> None:
        """:raises TimeoutError: the log does not hold the text in time"""
        end = time.monotonic() + timeout_seconds
        while text not in self.log():
            if time.monotonic() > end:
                raise TimeoutError(f"waited for {text!r}; log:\n{self.log()}")
            time.sleep(0.1)

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.web_port}{path}"
