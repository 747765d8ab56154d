"""An engine's HTTP side, under the test's control, and a source that reads it."""

import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from collector._pages.page import parse
from collector._pages.source import PagesSource
from collector.engines import TABLES, EngineTarget
from collector.engines.mapping import observe, samples
from collector.engines.table import Table
from collector.engines.target import Target
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Distribution

Respond = Callable[[BaseHTTPRequestHandler], None]
USUAL_SECONDS = EngineTarget(url="http://a").timeout_seconds
PATIENT_SECONDS = 60.0


class FakeEngine:
    """Answers every GET by calling `respond`, which a test may change at any time. Remembers what was asked."""

    def __init__(self) -> None:
        self.respond: Respond = page("")
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.released = threading.Event()
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                engine.asked.append(self.path)
                engine.headers.append({name.lower(): value for name, value in self.headers.items()})
                engine.respond(self)

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def hang(self, _handler: BaseHTTPRequestHandler) -> None:
        """Never answer, until the test ends."""
        self.released.wait(60)

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def page(body: str | bytes, status: int = 200, **headers: str) -> Respond:
    """Answer `/metrics` so and any other path with 404. Header names have `_` for `-`."""
    data = body.encode() if isinstance(body, str) else body

    def respond(handler: BaseHTTPRequestHandler) -> None:
        if not handler.path.startswith("/metrics"):
            handler.send_error(404)
            return
        handler.send_response(status)
        for name, value in {"Content-Type": "text/plain; version=0.0.4", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return respond


@pytest.fixture
def new_engine() -> Iterator[Callable[[], FakeEngine]]:
    engines: list[FakeEngine] = []

    def make() -> FakeEngine:
        engines.append(FakeEngine())
        return engines[-1]

    yield make
    for engine in engines:
        engine.stop()


@pytest.fixture
def engine(new_engine: Callable[[], FakeEngine]) -> FakeEngine:
    return new_engine()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def new_source(ledger: Ledger) -> Iterator[Callable[..., PagesSource]]:
    """
    A source for these targets that waits for every page, unless the test gives it less patience. A target that is given
    no limit has a long one: an engine on a machine that stands still for a while is not one that does not answer.
    """
    sources: list[PagesSource] = []

    def patient(target: EngineTarget) -> EngineTarget:
        if target.timeout_seconds != USUAL_SECONDS:
            return target
        return msgspec.structs.replace(target, timeout_seconds=PATIENT_SECONDS)

    def make(*targets: EngineTarget, patience_seconds: float = 2 * PATIENT_SECONDS) -> PagesSource:
        sources.append(PagesSource([Target(patient(target), TABLES, ledger) for target in targets], patience_seconds))
        return sources[-1]

    yield make
    for source in sources:
        source.close()


@pytest.fixture
def answer() -> Any:
    """`answer(body, status, **headers)`: how a fake engine responds."""
    return page


class Said:
    """What a page says in our words, all its totals in full."""

    def __init__(self, table: Table, body: str) -> None:
        self.observation = observe(parse(body.encode(), 1000), table, {})
        totals = {key: total.value for key, total in self.observation.totals.items()}
        self.samples = samples(self.observation, totals, 1.0)

    def by(self, metric: Metric, *labels: str) -> Mapping[tuple[str, ...], float | Distribution]:
        """Values of `metric` by the values of these labels of it; "" for one that is not there."""
        return {
            tuple(dict(sample.labels).get(label, "") for label in labels): sample.value
            for sample in self.samples
            if sample.metric == metric
        }


@pytest.fixture
def read() -> Any:
    """`read(table, *lines)`: what a page of these lines says."""
    return lambda table, *lines: Said(table, "\n".join(lines) + "\n")


@pytest.fixture
def histogram() -> Any:
    """`histogram(name, labels, count=, total=)`: its lines without TYPE."""

    def lines(name: str, labels: str = "", *, count: int, total: float) -> str:
        more = f"{labels}," if labels else ""
        own = f"{{{labels}}}" if labels else ""
        return "\n".join(
            (
                f'{name}_bucket{{{more}le="1"}} 0',
                f'{name}_bucket{{{more}le="+Inf"}} {count}',
                f"{name}_sum{own} {total}",
                f"{name}_count{own} {count}",
            )
        )

    return lines
