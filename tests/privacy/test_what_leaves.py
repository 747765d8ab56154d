"""
Marked text goes in through every source, in every role; then everything that leaves is searched for the marks.

Names that the conventions make labels are marked, too: they must be all that is found (docs/privacy.md).
"""

import http.client
import json
import sqlite3
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

import collector
import exporters
from detectors.drift import packs
from detectors.drift.kinds import Kind
from exporters.store.packed import decode_rows
from watchkeeper.core.observed import iter_frames
from watchkeeper.core.testkit import MarkedPeer, RunningWatchkeeper, free_port, mark, marks
from watchkeeper.core.testkit.kafka_broker import KafkaBroker
from watchkeeper.core.wire import StreamCounts, TickRecord, encode

ROLES = ("run", "sidecar", "gateway", "node", "detector")
SPOOLING = ("sidecar",)
"""its brokers are away: what it would send waits in a file"""
CALLS, TICKS, STATE, FINDINGS, DEAD = (
    "calls",
    *(f"watchkeeper.{one}" for one in ("ticks", "state", "findings", "dead")),
)
SENT = (TICKS, FINDINGS)
TOKEN = "0123456789abcdef-ada"  # noqa: S105 - of this test alone
ASKED = (
    "/openapi.json", "/v1/health", "/v1/findings", "/v1/references", "/v1/models", "/v1/changes", "/v1/audit",
    "/v1/audit/verification",
)  # fmt: skip
CAPTURING = ("sidecar",)
PATIENCE_SECONDS = 120.0
pytestmark = pytest.mark.timeout(1_000)
FOLLOWING, TELLING = 4, 8
"""letters of another page after a name that was cut, at most; letters of the name before them, at least"""
PAGE = "text/plain; version=0.0.4"
RUNS_IN = {plugin.name: plugin.roles for plugin in collector.PLUGINS}
SHOWN_IN = {plugin.name: plugin.roles for plugin in exporters.PLUGINS}
PATHS = (
    "/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses", "/v1/embeddings", "/api/chat",
    "/api/generate",
)  # fmt: skip


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.1)


class Scene:
    """Peers that say what is marked, and a configuration that reads them all and keeps and sends all it can."""

    def __init__(
        self, role: str, folder: Path, peer: Callable[[], MarkedPeer], marked: Any, broker: KafkaBroker
    ) -> None:
        put = mark
        self.broker, self.control = broker, free_port()
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
        (folder / "tokens").write_text(f"ada: {TOKEN}\n")
        brokers = {"servers": [f"127.0.0.1:{free_port()}" if role in SPOOLING else broker.address]}
        reading = {"enabled": True, "connection": brokers, "ticks": role == "detector", "calls": [{"topic": CALLS}]}
        self.settings: dict[str, Any] = {
            "role": role,
            "log_level": "debug",
            "state_folder": str(self.state),
            "capture": {"share": 1.0, "path": str(self.text)} if role in CAPTURING else {},
            "drift": {"tick_seconds": 1, "kept_every_seconds": 1},
            "control": {"enabled": True, "port": self.control, "token_file": str(folder / "tokens")},
            "kafka": reading if role in RUNS_IN["kafka"] else {},
            "tap": taps,
            "checks": {"secrets": {"canaries": [put("canary")]}},
            "limits": {"max_values_per_label": 1_000},
            "engines": [{"url": one.url, "interval_seconds": 1} for one in (engine, broken)],
            "vendor_exporter": [{"url": one.url, "interval_seconds": 1} for one in (gpus, broken)],
            "exporters": {
                "findings_log": {"path": str(self.findings)},
                "otlp": push | {"traces": True, "trace_share": 1},
                "store": {"enabled": True, "profile_seconds": 1},
                "kafka": {"enabled": role in SHOWN_IN["kafka"], "connection": brokers, "format": "json"},
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
        self.reference = pack.id

    def send_kafka(self, role: str) -> int:
        """A log of calls with poison in it, for a detector counts as well. :return: messages that cannot be read"""
        calls, poison = [json.dumps(one).encode() for one in calls_of_a_log(mark)], list(unreadable(mark))
        self.broker.send(CALLS, [(mark("kafka.key").encode(), one) for one in (*calls, *poison)])
        if role != "detector":
            return len(poison)
        streams = (StreamCounts("input_tokens", self.reference[:16], {1: 9}),)
        now = time.time() // 1
        ticks = [encode(TickRecord("/shop/m", "pod-0", "1", now + number, streams)) for number in range(9)]
        self.broker.send(TICKS, [(b"/shop/m", one) for one in (*ticks, *poison)])
        return 2 * len(poison)

    def topics(self) -> dict[str, set[str]]:
        """What is marked in messages of ours; those that tell of poison are looked at whole."""
        poison = set(unreadable(mark))
        held = {topic: self.broker.read(topic) for topic in (*SENT, STATE, DEAD)}
        return {
            topic: marks(repr([one for one in records if one.value not in poison]).encode())
            for topic, records in held.items()
        }

    def asked(self) -> dict[str, set[str]]:
        """What the control API answers, also to requests that are marked and cannot be served."""
        held = lambda: json.loads(self._ask("GET", "/v1/findings")[1]).get("findings")  # noqa: E731
        wait_until(lambda: bool(held()), "a finding in the record")
        said = {path: self._ask("GET", path) for path in ASKED}
        assert {path: status for path, (status, _) in said.items() if status != 200} == {}
        findings = json.loads(said["/v1/findings"][1])["findings"]
        for one in findings:
            path = f"/v1/findings/{one['id']}"
            said[path] = self._ask("GET", path)
            said[f"{path} POST"] = self._ask("POST", f"{path}/comments", {"comment": "looked at"})
        assert findings
        text = mark("control.query").replace(" ", "+")
        for path in (f"/{text}", f"/v1/findings/{text}", f"/v1/references?state={text}", f"/v1/findings?limit={text}"):
            said[path] = self._ask("GET", path)
        said["body"] = self._ask("POST", "/v1/findings/none/comments", {"comment": mark("control.body")})
        said["fields"] = self._ask("POST", "/v1/findings/none/close", {"cause": mark("control.value")})
        said["token"] = self._ask("GET", "/v1/audit", token=mark("control.token"))
        return {f"control {marked}": marks(body) for marked, (_, body) in said.items()}

    def _ask(self, method: str, path: str, body: Any = None, token: str = TOKEN) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.control, timeout=60)) as connection:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()


def calls_of_a_log(put: Callable[[str], str]) -> Iterator[dict[str, Any]]:
    """Under all usual names of what was said, and of what went wrong."""
    told = {"model": put("kafka.model"), "service": "shop", "prompt_tokens": 9}
    for name in (
        "prompt", "input", "question", "instruction", "messages", "request", "query", "answer", "response", "output",
        "completion", "generated_text", "generation", "context", "documents", "retrieved", "reasoning",
        "reasoning_content", "thinking", "canary", "other",
    ):  # fmt: skip
        text = put(f"kafka.{name}") if name != "canary" else put("canary")
        for value in (text, [text], {"content": text}, [{"role": "user", "content": text}]):
            yield told | {"prompt": put("kafka.asked"), "answer": put("kafka.said"), name: value}
    for name in ("error", "exception", "error.type"):
        yield told | {name: {"message": put(f"kafka.{name}.message"), "code": 3}}
        yield told | {name: f"Traceback (most recent call last):\n  {put(f'kafka.{name}.trace')}"}
        yield told | {name: put(f"kafka.{name}.text")}
    yield told | {"finish_reason": put("kafka.finish"), "tool_calls": [{"arguments": put("kafka.arguments")}]}
    for name in ("prompt_tokens", "output_tokens", "latency_ms", "time"):
        yield told | {name: put(f"kafka.{name}")}


def unreadable(put: Callable[[str], str]) -> Iterator[bytes]:
    text = put("poison")
    yield text.encode()
    yield json.dumps(text).encode()
    yield json.dumps([text]).encode()
    yield json.dumps({text: text}).encode()
    yield json.dumps({"kind": text, "version": 1}).encode()
    yield b'{"prompt": "' + text.encode() + b'", "model"'
    yield b"\xff\xfe" + text.encode()
    yield b"[" * 5_000 + text.encode()


def marks_in(folder: Path) -> dict[str, set[str]]:
    """By file: its name, and what it holds, tallies unpacked."""
    found = {}
    for file in filter(Path.is_file, folder.rglob("*")):
        with suppress(FileNotFoundError), file.open("rb") as opened:  # a database takes its log away
            held = repr(list(iter_frames(opened))).encode() if file.suffix == ".tallies" else opened.read()
            if file.name == "watchkeeper.db":
                held += repr(rows_of(file)).encode()
            found[file.name] = marks(file.name.encode() + held)
    return found


def rows_of(file: Path) -> list[Any]:
    """Rows of single calls that the store drew, unpacked."""
    with closing(sqlite3.connect(file)) as database:
        return [row for (packed,) in database.execute("SELECT rows FROM samples") for row in decode_rows(packed)]


def wait_until_settled(running: RunningWatchkeeper) -> None:
    """Until all that was accepted has been counted, and calls with text among it."""

    def totals() -> dict[str, float]:
        sources, outcomes = ("otlp", "tap", "kafka"), ("accepted", "exported", "ignored", "dropped")
        values = {
            f"{source} {outcome}": running.value(f"watchkeeper_pipeline_{outcome}_total", source=source) or 0.0
            for source in sources
            for outcome in outcomes
        }
        return {**values, "checked": running.value("watchkeeper_output_checked_total") or 0.0}

    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        now = totals()
        accepted = sum(value for name, value in now.items() if name.endswith("accepted"))
        done = sum(value for name, value in now.items() if name.endswith(("exported", "ignored", "dropped")))
        if done == accepted and (not done or now["checked"]):
            return
        assert time.monotonic() < end, f"not all that was sent is counted: {now}"
        time.sleep(0.1)


def served(running: RunningWatchkeeper, role: str) -> dict[str, bytes]:
    """All pages, as all that may come for them ask."""
    paths = ("/metrics", "/healthz", "/readyz", *(("/", "/?lang=zh") if role in SHOWN_IN["page"] else ()))
    bodies = {}
    for path in paths:
        for accept in ("text/plain", "application/openmetrics-text", "text/html"):
            request = urllib.request.Request(f"http://127.0.0.1:{running.web_port}{path}", headers={"Accept": accept})
            with urllib.request.urlopen(request, timeout=60) as answer:
                bodies[f"{path} {accept}"] = answer.read()
    return bodies


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    with KafkaBroker() as running:
        running.make({CALLS: 1, TICKS: 1, STATE: 1, FINDINGS: 1, DEAD: 1})
        yield running


@pytest.mark.parametrize("role", ROLES)
def test_nothing_that_was_said_leaves_and_only_names_do(
    role: str, tmp_path: Path, marked: Any, broker: KafkaBroker
) -> None:
    with ExitStack() as opened:
        scene = Scene(role, tmp_path, lambda: opened.enter_context(MarkedPeer()), marked, broker)
        running = opened.enter_context(RunningWatchkeeper(tmp_path, scene.settings))
        if role in RUNS_IN["kafka"]:
            poisonous = scene.send_kafka(role)
            # more of them where a consumer was thrown out meanwhile and read again
            wait_until(lambda: len(broker.read(DEAD)) >= poisonous, "what cannot be read is told")
        if role in RUNS_IN["otlp"]:
            marked.send_otlp(running, mark)
        if role in RUNS_IN["tap"]:
            marked.send_tap(scene.taps, mark)
        if role in RUNS_IN["vendor_exporter"]:
            running.wait_for("watchkeeper_device_exporter_up", 1)
        if role in RUNS_IN["engines"]:
            running.wait_for("watchkeeper_engine_up", 1)
        wait_until(lambda: wanted(role) <= marks(running.page().encode()), "names of all sources are shown")
        wait_until_settled(running)
        scene.approve(120.0)  # a reference that changes is a finding
        wait_until(lambda: bool(scene.findings.stat().st_size), "a finding in the log")
        for path in (f"/{mark('web.path')}", f"/?lang={mark('web.query')}"):
            running.status(path.replace(" ", "+"))
        marked.raw(running.web_port, f"GET /metrics HTTP/1.1\r\nX: {mark('web.header')}\x00\r\n\r\n".encode())
        pages = served(running, role)
        sent = len(scene.receiver.bodies)
        wait_until(lambda: len(scene.receiver.bodies) > sent + 3, "what was counted last is pushed")
        if role in SHOWN_IN["kafka"] and role not in SPOOLING:
            wait_until(lambda: all(map(broker.read, SENT)), "counts and findings are on their topics")
        leaves = scene.asked() | {f"{name} before the end": found for name, found in marks_in(scene.state).items()}
        running.stop()

    leaves |= {path: marks(body) for path, body in pages.items()} | marks_in(scene.state) | scene.topics()
    leaves["log"] = marks(running.log().encode())
    leaves["findings"] = marks(scene.findings.read_bytes())
    leaves["otlp"] = set().union(*map(marks, scene.receiver.bodies))
    unnamed = {
        where: {one for one in found if not is_name(one, where, marked.names)} for where, found in leaves.items()
    }
    assert {where: found for where, found in unnamed.items() if found} == {}
    assert wanted(role) <= leaves["/metrics text/plain"]  # what is searched holds what may be there
    assert wanted(role) <= leaves["otlp"]
    assert any(where.endswith(".tallies") for where in leaves) == (role != "node")
    assert bool(rows_of(scene.state / "watchkeeper.db")) == (role != "node")
    if role in SPOOLING:
        assert waiting(scene.state / "spool" / "kafka.sqlite") == set(SENT)
    assert "DEBUG" in running.log()

    captured = marks(scene.text.read_bytes()) if role in CAPTURING else {"in_text", "tap_content"}
    assert {"in_text", "tap_content"} <= captured  # the one place, where it is asked for
    assert "canary" not in captured


def waiting(file: Path) -> set[str]:
    """Topics of what is in the spool."""
    with closing(sqlite3.connect(file)) as database:
        return {topic for (topic,) in database.execute("SELECT topic FROM waiting")}


def is_name(found: str, where: str, names: set[str]) -> bool:
    """A database cuts what stands at the end of a page, and some letters may follow that are another page's."""
    if found in names:
        return True
    if ".db" not in where and ".sqlite" not in where:
        return False
    cuts = [found, *(found[:-letters] for letters in range(1, FOLLOWING + 1) if len(found) - letters >= TELLING)]
    return any(name.startswith(cut) for name in names for cut in cuts)


def test_in_a_database_a_name_may_be_cut_and_anything_else_is_found() -> None:
    names = {"gen_ai_evaluation_name", "gen_ai_tool_name"}

    assert is_name("gen_ai_evalud", "state/watchkeeper.db", names)
    assert is_name("gen_", "state/watchkeeper.db", names)
    assert not is_name("gen_ai_evalud", "/metrics", names)
    assert not is_name("gen_ai_tool_call_arguments", "state/watchkeeper.db", names)
    assert not is_name("gen_x", "state/watchkeeper.db", names)


def wanted(role: str) -> set[str]:
    """Names that must be found, so that the search itself is known to find."""
    names = {
        "otlp": {"gen_ai_request_model", "error_type", "gen_ai_evaluation_name", "gen_ai_tool_name"},
        "tap": {"tap_model"},
        "engines": {"engine_model"},
        "kafka": {"kafka_model"},
    }
    return set().union(*(found for source, found in names.items() if role in RUNS_IN[source]))
