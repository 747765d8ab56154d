"""A real Alertmanager for one test, and the webhook that it sends to."""

import http.server
import json
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

from watchkeeper.core.testkit.ports import free_port
from watchkeeper.core.testkit.programs import require

_START_SECONDS = 90.0


class Webhook:
    """Keeps every message of Alertmanager by the path that it came to."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        keep = self.messages

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                keep.append((self.path.strip("/"), body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def to(self, receiver: str) -> list[list[str]]:
        """Names of the alerts in each message that says something fires."""
        return [
            sorted({alert["labels"]["alertname"] for alert in body["alerts"]})
            for path, body in list(self.messages)
            if path == receiver and body["status"] == "firing"
        ]

    def alerts_of(self, receiver: str) -> list[int]:
        """How many alerts are in each message that says something fires."""
        return [
            len(body["alerts"]) for path, body in list(self.messages) if path == receiver and body["status"] == "firing"
        ]


class Alertmanager:
    """
    One on a free port, with this configuration. Skips the test where it is not installed (see `require`).

    `folder` takes its configuration, storage and log.
    """

    def __init__(self, folder: Path, configuration: str) -> None:
        self._program = require("prometheus-alertmanager", "prometheus-alertmanager")
        self._config = folder / "alertmanager.yaml"
        self._config.write_text(configuration)
        self._folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"

    def __enter__(self) -> Self:
        command = [
            self._program, f"--config.file={self._config}", f"--storage.path={self._folder / 'alertmanager'}",
            f"--web.listen-address={self.url.removeprefix('http://')}", "--cluster.listen-address=",
        ]  # fmt: skip
        log = self._folder / "alertmanager.log"
        with log.open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out)  # noqa: S603 - a program found by name
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).close()  # noqa: S310 - http only
                return self
            except OSError:
                time.sleep(0.05)
        self.__exit__()
        raise RuntimeError(f"Alertmanager did not start:\n{log.read_text(errors='replace')}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)

    def tell(self, *alerts: dict[str, str]) -> None:
        """Alerts that fire, by their labels."""
        body = json.dumps([{"labels": one} for one in alerts]).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v2/alerts", body, headers, method="POST")  # noqa: S310
        urllib.request.urlopen(request, timeout=60).close()  # noqa: S310

    def alerts(self) -> list[dict[str, Any]]:
        """As its API gives them: `labels`, and `status` with `state` active or suppressed."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=60) as answer:  # noqa: S310
            alerts: list[dict[str, Any]] = json.load(answer)
            return alerts

    def suppressed(self) -> list[str]:
        """Names of alerts that something mutes."""
        return sorted(one["labels"]["alertname"] for one in self.alerts() if one["status"]["state"] == "suppressed")
