"""Prometheus and Alertmanager beside the demo, where they are installed: the shipped rules over what it measures."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any, Final

import msgspec

from watchkeeper.agent.demo.children import Child, DemoFailed, fetch, port_near
from watchkeeper.agent.demo.stage import END_SECONDS, START_SECONDS, Stage

PROMETHEUS_PORT: Final = 9090
ALERTMANAGER_PORT: Final = 9093
EVERY_SECONDS: Final = 5.0
"""between two scrapes, and between two evaluations of the rules"""
NOT_INSTALLED: Final = "No alerts: apt-get install prometheus prometheus-alertmanager brings them."
_ALERTMANAGER: Final = ("prometheus-alertmanager", "alertmanager")
"""Debian's name, and its own"""
_PAGES: Final = ("/alerts", "/classic/alerts")
"""of the alert list; Debian's package has the old one alone"""
_NO_UI: Final = "does not include a web"


class Alerting(msgspec.Struct, frozen=True):
    """Addresses; empty where that one is not there. `said` is printed under the page's."""

    prometheus: str = ""
    alertmanager: str = ""
    said: tuple[str, ...] = (NOT_INSTALLED,)

    def rules(self) -> dict[str, float]:
        """How long each alert must be true before it fires, in seconds, by its name; the shortest of several."""
        found: dict[str, float] = {}
        for group in (_asked(self.prometheus, "rules") or {}).get("groups", ()):
            for one in group["rules"]:
                if one["type"] == "alerting":
                    found[one["name"]] = min(one["duration"], found.get(one["name"], one["duration"]))
        return found

    def states(self) -> dict[str, str] | None:
        """pending or firing, by the alert's name; the heartbeat is none. None: nobody answers."""
        told = _asked(self.prometheus, "alerts")
        if told is None:
            return None
        found: dict[str, str] = {}
        for one in told.get("alerts", ()):
            name, state = one["labels"]["alertname"], one["state"]
            if one["labels"].get("severity") != "none":
                found[name] = "firing" if "firing" in (state, found.get(name)) else state
        return found


@contextlib.contextmanager
def alerting(stage: Stage, stop: Event) -> Iterator[Alerting]:
    """Both, ready or left out with a line that says why; ended at the end. Nothing of it fails the demo."""
    program = shutil.which("prometheus")
    if program is None:
        yield Alerting()
        return
    with contextlib.ExitStack() as running:
        try:
            started = _start(program, stage, running, stop)
        except DemoFailed as failure:
            started = Alerting(said=(f"No alerts: {str(failure).partition('. ')[0]}.",))
        yield started


class Teller:
    """Tells of each alert when it becomes another than it was."""

    def __init__(self, alerts: Alerting) -> None:
        self._alerts = alerts
        self._holds = alerts.rules()
        self._known: dict[str, str] = {}

    def news(self) -> Iterator[str]:
        """A line for each that changed since this was asked last; none where there is no Prometheus."""
        now = self._alerts.states()
        if now is None:  # which says of no alert that it has ended
            return
        self._holds = self._holds or self._alerts.rules()
        for name, state in now.items():
            if self._known.get(name) != state:
                waits = f"is pending: fires after {self._holds.get(name, 0.0):.0f} s"
                yield f"  Alert {name} {'fires' if state == 'firing' else waits}"
        yield from (f"  Alert {name} has ended" for name in self._known if name not in now)
        self._known = now


def summed_up(alerts: Alerting) -> Iterator[str]:
    """What fires or is about to, for the end of the demo."""
    if not alerts.prometheus:
        return
    yield f"{len(alerts.rules())} alerts watched by Prometheus:"
    yield from (f"  {name} {state}" for name, state in (alerts.states() or {}).items())
    yield "  WatchkeeperWatchdog, the heartbeat, fires always"


def _start(program: str, stage: Stage, running: contextlib.ExitStack, stop: Event) -> Alerting:
    from dashboards import build
    from dashboards.values import Values

    own = f"{stage.page}/runbooks"
    values = Values(scrape_seconds=EVERY_SECONDS, evaluation_seconds=EVERY_SECONDS, runbooks_url=own)
    files = build.files(values)
    rules = stage.folder / "rules"
    rules.mkdir()
    for name, text in files.items():
        if name.startswith("generated/rules/"):
            (rules / Path(name).name).write_text(text, encoding="utf-8")
    taken = set(msgspec.structs.astuple(stage.ports))
    receiver = _start_alertmanager(files["generated/alertmanager.yaml"], stage, running, taken, stop)
    port = port_near(PROMETHEUS_PORT, taken)
    config = stage.folder / "prometheus.yml"
    config.write_bytes(msgspec.json.encode(_config(stage, receiver)))  # JSON is YAML
    arguments = [
        f"--config.file={config}",
        f"--storage.tsdb.path={stage.folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    server = Child("prometheus", arguments, stage.folder, os.environ, program)
    running.callback(server.end, END_SECONDS)
    url = f"http://127.0.0.1:{port}"
    server.wait_for(lambda: fetch(f"{url}/-/ready") is not None, START_SECONDS, stop)
    page = next((path for path in _PAGES if fetch(f"{url}{path}") is not None), "")
    lines = [f"Queries: {url}/  (Prometheus, a scrape every {EVERY_SECONDS:g} s)", f"Alerts:  {url}{page}"]
    if receiver:
        has_page = _NO_UI not in (fetch(f"{receiver}/") or _NO_UI)
        lines.append(
            f"Routing: {receiver}/#/alerts" if has_page else f"Routing: amtool alert --alertmanager.url={receiver}"
        )
    return Alerting(url, receiver, tuple(lines))


def _start_alertmanager(text: str, stage: Stage, running: contextlib.ExitStack, taken: set[int], stop: Event) -> str:
    """Its address; empty when it is not installed."""
    program = next(filter(None, map(shutil.which, _ALERTMANAGER)), None)
    if program is None:
        return ""
    config = stage.folder / "alertmanager.yaml"
    config.write_text(text, encoding="utf-8")
    port = port_near(ALERTMANAGER_PORT, taken)
    arguments = [
        f"--config.file={config}",
        f"--storage.path={stage.folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    server = Child("alertmanager", arguments, stage.folder, os.environ, program)
    running.callback(server.end, END_SECONDS)
    url = f"http://127.0.0.1:{port}"
    server.wait_for(lambda: fetch(f"{url}/-/ready") is not None, START_SECONDS, stop)
    return url


def _config(stage: Stage, alertmanager: str) -> dict[str, Any]:
    every = f"{EVERY_SECONDS:g}s"
    target = {"targets": [stage.page.removeprefix("http://")], "labels": {"node": "demo"}}
    receiver = [{"static_configs": [{"targets": [alertmanager.removeprefix("http://")]}]}] if alertmanager else []
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(stage.folder / "rules" / "*.yaml")],
        "alerting": {"alertmanagers": receiver},
        "scrape_configs": [{"job_name": "watchkeeper", "static_configs": [target]}],
    }


def _asked(url: str, path: str) -> dict[str, Any] | None:
    """`data` of its API; None when it does not answer."""
    text = fetch(f"{url}/api/v1/{path}") if url else None
    found: dict[str, Any] | None = msgspec.json.decode(text)["data"] if text else None
    return found
