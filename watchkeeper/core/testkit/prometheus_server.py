"""A real Prometheus for one test: fresh storage, a free port of 127.0.0.1, one scrape a second."""

import json
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from watchkeeper.core.testkit.programs import require

_LISTENING = 'msg="Listening on" address='
_CALL_TIMEOUT_SECONDS = 60.0


class TargetHealth(msgspec.Struct, frozen=True):
    """What Prometheus thinks of one target: `health` is up, down or unknown."""

    url: str
    health: str
    last_error: str


class PrometheusServer:
    """
    Scrapes `targets` (job name to host:port) at /metrics, with exemplar storage on.

    `directory` is a folder for configuration, storage (below `data`, which may be filled) and log. `rule_files` are
    rules to evaluate each second; their alerts go to the Alertmanager at `alertmanager` (http://host:port), and go on
    pending where what is stored says since when. `labels` (by job name) are added to what a target tells, and win over
    its own, `job` too. Skips the test where Prometheus is not installed (see `require`).

        with PrometheusServer(tmp_path, {"watchkeeper": "127.0.0.1:9464"}) as prometheus:
            rows = prometheus.wait_for('up == 1')
    """

    def __init__(
        self,
        directory: Path,
        targets: Mapping[str, str],
        rule_files: Sequence[Path] = (),
        start_seconds: float = 90.0,
        alertmanager: str = "",
        labels: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._program = require("prometheus", "prometheus")
        self._directory = directory
        self._targets = targets
        self._rule_files = rule_files
        self._start_seconds = start_seconds
        self._alertmanager = alertmanager
        self._labels = labels or {}
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        config = self._directory / "prometheus.yml"
        config.write_text(json.dumps(self._config()))  # JSON is YAML
        command = [
            self._program,
            f"--config.file={config}",
            f"--storage.tsdb.path={self._directory / 'data'}",
            "--web.listen-address=127.0.0.1:0",
            "--enable-feature=exemplar-storage",
            "--rules.alert.for-grace-period=0s",
            "--rules.alert.resend-delay=5s",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - a program found by name
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop it and wait until it is gone."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=_CALL_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def read_again(self) -> None:
        """Have it read its configuration and rules anew (SIGHUP)."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def api(self, path: str, **parameters: str) -> Any:
        """`data` of GET /api/v1/`path`. :raises RuntimeError: Prometheus's own message when it refuses"""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=_CALL_TIMEOUT_SECONDS) as answer:  # noqa: S310 - http only
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {error.code} {error.read().decode(errors='replace')}") from error

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Rows `{"metric": labels, "value": [unix seconds, text]}` of an instant query, now."""
        rows: list[dict[str, Any]] = self.api("query", query=expression)["result"]
        return rows

    def wait_for(self, expression: str, timeout_seconds: float = 90.0) -> list[dict[str, Any]]:
        """Rows of `expression` as soon as there are any. :raises TimeoutError: with the state of the targets"""
        end = time.monotonic() + timeout_seconds
        while not (rows := self.query(expression)):
            if time.monotonic() > end:
                raise TimeoutError(f"no rows for {expression}; targets: {self.targets()}")
            time.sleep(0.1)
        return rows

    def targets(self) -> tuple[TargetHealth, ...]:
        active = self.api("targets", state="active")["activeTargets"]
        return tuple(TargetHealth(target["scrapeUrl"], target["health"], target["lastError"]) for target in active)

    @property
    def _log(self) -> Path:
        return self._directory / "prometheus.log"

    def _config(self) -> dict[str, Any]:
        receivers = [{"static_configs": [{"targets": [self._alertmanager.removeprefix("http://")]}]}]
        return {
            **({"alerting": {"alertmanagers": receivers}} if self._alertmanager else {}),
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in self._rule_files],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [target], "labels": dict(self._labels.get(job, {}))}]}
                for job, target in self._targets.items()
            ],
        }

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + self._start_seconds
        while time.monotonic() < end:
            if self._process is None or self._process.poll() is not None:
                break
            self.url = self.url or self._address_in_log()
            if self.url and self._is_ready():
                return
            time.sleep(0.02)
        raise RuntimeError(f"Prometheus did not start:\n{self._log.read_text(errors='replace')}")

    def _address_in_log(self) -> str:
        for line in self._log.read_text(errors="replace").splitlines(keepends=True):
            _, found, address = line.partition(_LISTENING)
            if found and line.endswith("\n"):
                return f"http://{address.strip()}"
        return ""

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=_CALL_TIMEOUT_SECONDS):  # noqa: S310
                return True
        except OSError:
            return False
