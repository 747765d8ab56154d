"""
Marked text goes in through every source, in every role; then everything that leaves is searched for the marks.

Names that the conventions make labels are marked, too: they must be all that is found (docs/privacy.md).
"""

import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import collector
import exporters
from detectors.drift import packs
from detectors.drift.kinds import Kind
from watchkeeper.core.observed import iter_frames
from watchkeeper.core.testkit import MarkedPeer, RunningWatchkeeper, free_port, mark, marks

ROLES = ("run", "sidecar", "gateway", "node")
CAPTURING = ("sidecar",)
PAGE = "text/plain; version=0.0.4"
RUNS_IN = {plugin.name: plugin.roles for plugin in collector.PLUGINS}
SHOWN_IN = {plugin.name: plugin.roles for plugin in exporters.PLUGINS}
PATHS = (
    "/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses", "/v1/embeddings", "/api/chat",
    "/api/generate",
)  # fmt: skip


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.1)


class Scene:
    """Peers that say what is marked, and a configuration that reads them all and keeps and sends all it can."""

    def __init__(self, role: str, folder: Path, peer: Callable[[], MarkedPeer], marked: Any) -> None:
        put = mark
        self.state, self.findings, self.text = folder / "state", folder / "findings.jsonl", folder / "text.jsonl"
        self.receiver, engine, broken, gpus = peer(), peer(), peer(), peer()
        engine.answers["/metrics"] = (200, PAGE, marked.engine_page(put).encode())
        broken.answers["/metrics"] = (500, "text/html", put("engine.error").encode())
        gpus.answers["/metrics"] = (200, PAGE, marked.exporter_page(put).encode())
        self.taps = {"/nobody": free_port()}
        taps = [{"port": self.taps["/nobody"], "upstream": f"http://127.0.0.1:{free_port()}"}]
        for name, said in marked.tap_answers(put).items():
            upstream = peer()
            upstream.answers = dict.fromkeys(PATHS, said)
            self.taps[name] = free_port()
            taps.append({"port": self.taps[name], "upstream": upstream.url})
        push = {"enabled": True, "endpoint": self.receiver.url, "compression": "none", "interval_seconds": 1}
        self.settings: dict[str, Any] = {
            "role": role,
            "log_level": "debug",
            "state_folder": str(self.state),
            "capture": {"share": 1.0, "path": str(self.text)} if role in CAPTURING else {},
            "drift": {"tick_seconds": 1},
            "tap": taps,
            "checks": {"secrets": {"canaries": [put("canary")]}},
            "limits": {"max_values_per_label": 1_000},
            "engines": [{"url": one.url, "interval_seconds": 1} for one in (engine, broken)],
            "vendor_exporter": [{"url": one.url, "interval_seconds": 1} for one in (gpus, broken)],
            "exporters": {
                "findings_log": {"path": str(self.findings)},
                "otlp": push | {"traces": True, "trace_share": 1},
            },
        }
        self.approve(100.0)

    def approve(self, tokens: float) -> None:
        """A reference of prompt tokens of what is sent."""
        folder, now = self.state / "references", time.time()
        folder.mkdir(parents=True, exist_ok=True)
        times = [now - 86_400 + place for place in range(2_000)]
        values = [tokens + place % 7 for place in range(2_000)]
        pack = packs.build("input_tokens", Kind.NUMBER, values, made_at=now, times=times, segment="/shop/m")
        (folder / f"{pack.id}.json").write_bytes(pack.approved("ada", now, "calm").encode())


def marks_in(folder: Path) -> dict[str, set[str]]:
    """By file: its name, and what it holds, tallies unpacked."""
    found = {}
    for file in filter(Path.is_file, folder.rglob("*")):
        with file.open("rb") as opened:
            held = repr(list(iter_frames(opened))).encode() if file.suffix == ".tallies" else opened.read()
        found[file.name] = marks(file.name.encode() + held)
    return found


def is_settled(running: RunningWatchkeeper) -> bool:
    """Whether all that was accepted has been counted, and calls with text among it."""

    def total(name: str) -> float:
        return sum(running.value(f"watchkeeper_pipeline_{name}_total", source=one) or 0.0 for one in ("otlp", "tap"))

    done = total("exported") + total("ignored") + total("dropped")
    return done == total("accepted") and (not done or bool(running.value("watchkeeper_output_checked_total")))


def served(running: RunningWatchkeeper, role: str) -> dict[str, bytes]:
    """All pages, as all that may come for them ask."""
    paths = ("/metrics", "/healthz", "/readyz", *(("/", "/?lang=zh") if role in SHOWN_IN["page"] else ()))
    bodies = {}
    for path in paths:
        for accept in ("text/plain", "application/openmetrics-text", "text/html"):
            request = urllib.request.Request(f"http://127.0.0.1:{running.web_port}{path}", headers={"Accept": accept})
            with urllib.request.urlopen(request, timeout=20) as answer:
                bodies[f"{path} {accept}"] = answer.read()
    return bodies


@pytest.mark.parametrize("role", ROLES)
def test_nothing_that_was_said_leaves_and_only_names_do(role: str, tmp_path: Path, marked: Any) -> None:
    with (
        ExitStack() as peers,
        RunningWatchkeeper(
            tmp_path, (scene := Scene(role, tmp_path, lambda: peers.enter_context(MarkedPeer()), marked)).settings
        ) as running,
    ):
        if role in RUNS_IN["otlp"]:
            marked.send_otlp(running, mark)
        if role in RUNS_IN["tap"]:
            marked.send_tap(scene.taps, mark)
        if role in RUNS_IN["vendor_exporter"]:
            running.wait_for("watchkeeper_device_exporter_up", 1)
        if role in RUNS_IN["engines"]:
            running.wait_for("watchkeeper_engine_up", 1)
        wait_until(lambda: is_settled(running), "all that was sent is counted")
        scene.approve(120.0)  # a reference that changes is a finding
        wait_until(lambda: bool(scene.findings.stat().st_size), "a finding in the log")
        for path in (f"/{mark('web.path')}", f"/?lang={mark('web.query')}"):
            running.status(path.replace(" ", "+"))
        marked.raw(running.web_port, f"GET /metrics HTTP/1.1\r\nX: {mark('web.header')}\x00\r\n\r\n".encode())
        pages = served(running, role)
        sent = len(scene.receiver.bodies)
        wait_until(lambda: len(scene.receiver.bodies) > sent + 3, "what was counted last is pushed")
        running.stop()

    leaves = {path: marks(body) for path, body in pages.items()} | marks_in(scene.state)
    leaves["log"] = marks(running.log().encode())
    leaves["findings"] = marks(scene.findings.read_bytes())
    leaves["otlp"] = set().union(*map(marks, scene.receiver.bodies))
    assert {where: found - marked.names for where, found in leaves.items() if found - marked.names} == {}
    assert wanted(role) <= leaves["/metrics text/plain"]  # what is searched holds what may be there
    assert wanted(role) <= leaves["otlp"]
    assert any(where.endswith(".tallies") for where in leaves) == (role in RUNS_IN["otlp"])
    assert "DEBUG" in running.log()

    captured = marks(scene.text.read_bytes()) if role in CAPTURING else {"in_text", "tap_content"}
    assert {"in_text", "tap_content"} <= captured  # the one place, where it is asked for
    assert "canary" not in captured


def wanted(role: str) -> set[str]:
    """Names that must be found, so that the search itself is known to find."""
    names = {
        "otlp": {"gen_ai_request_model", "error_type", "gen_ai_evaluation_name", "gen_ai_tool_name"},
        "tap": {"tap_model"},
        "engines": {"engine_model"},
    }
    return set().union(*(found for source, found in names.items() if role in RUNS_IN[source]))
