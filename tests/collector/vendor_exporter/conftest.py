"""What a page says in our words, and an exporter's HTTP side under the test's control."""

import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from collector._pages.page import parse
from collector._pages.source import PagesSource
from collector.accelerators.held import held_in
from collector.vendor_exporter import TABLES
from collector.vendor_exporter.config import ExporterTarget
from collector.vendor_exporter.observe import Observation, observe
from collector.vendor_exporter.readings import Readings
from collector.vendor_exporter.table import Table
from collector.vendor_exporter.target import Target
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Gap, Sample

Respond = Callable[[BaseHTTPRequestHandler], None]
USUAL_SECONDS = ExporterTarget("http://a").timeout_seconds


class Said:
    """One observation of a page."""

    def __init__(self, table: Table, *lines: str) -> None:
        self.observation: Observation = observe(parse(page_text(*lines).encode(), 10_000), table)
        self.devices = {key: one.device for key, one in self.observation.sightings.items()}

    def of(self, device_id: str) -> Mapping[tuple[Metric, tuple[str, ...]], float]:
        """Numbers of one device by metric and the values of the labels beside its own."""
        return {
            (one.metric, tuple(value for _, value in one.labels)): one.value
            for one in self.observation.sightings[device_id].measured
        }

    def value(self, device_id: str, metric: Metric, *labels: str) -> float | None:
        return self.of(device_id).get((metric, labels))

    def places(self, device_id: str) -> list[str]:
        return [f"{one.namespace}/{one.pod}/{one.container}" for one in self.observation.sightings[device_id].places]


class Told:
    """An exporter over time: each call is one page."""

    def __init__(self, table: Table, ledger: Ledger) -> None:
        self._table = table
        self.held = held_in(ledger)
        self.readings = Readings(self.held, longest_gap_seconds=60.0)
        self.totals: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self.samples: list[Sample] = []
        self.gaps: list[Gap] = []

    def __call__(self, now: float, *lines: str) -> "Told":
        observation = observe(parse(page_text(*lines).encode(), 10_000), self._table)
        samples, gaps = self.readings.of(observation.sightings.values(), (), now)
        return self._keep(samples, gaps)

    def fails(self, reason: Any, now: float) -> "Told":
        return self._keep(*self.readings.failed(reason, now))

    def _keep(self, samples: list[Sample], gaps: list[Gap]) -> "Told":
        self.samples, self.gaps = samples, gaps
        for sample in samples:
            if sample.metric.kind.value == "counter":
                assert isinstance(sample.value, float)
                key = (sample.metric.name, sample.labels)
                self.totals[key] = self.totals.get(key, 0.0) + sample.value
        return self

    def by(self, metric: Metric, *labels: str) -> dict[tuple[str, ...], float]:
        """This page's samples of `metric` by the values of these labels."""
        return {
            tuple(dict(sample.labels).get(label, "") for label in labels): sample.value
            for sample in self.samples
            if sample.metric == metric and isinstance(sample.value, float)
        }

    def total(self, metric: Metric, **labels: str) -> float:
        """What a counter has added up to, over all series that have these labels (`_` for `.`)."""
        wanted = {(name.replace("_", "."), value) for name, value in labels.items()}
        return sum(value for (name, own), value in self.totals.items() if name == metric.name and wanted <= set(own))


def page_text(*lines: str) -> str:
    return "\n".join(lines) + "\n"


@pytest.fixture
def said() -> Any:
    """`said(table, *lines)`: what a page of these lines says."""
    return Said


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def told(ledger: Ledger) -> Any:
    """`told(table)`: an exporter whose pages come one by one, `(now, *lines)`."""
    return lambda table: Told(table, ledger)


class FakeExporter:
    """Answers every GET by calling `respond`, which a test may change at any time."""

    def __init__(self) -> None:
        self.respond: Respond = answer("")
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                exporter.paths.append(self.path)
                exporter.headers.append({name.lower(): value for name, value in self.headers.items()})
                exporter.respond(self)

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def answer(body: str, status: int = 200) -> Respond:
    data = body.encode()

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return respond


@pytest.fixture
def page() -> Any:
    """`page(body, status)`: how a fake exporter answers."""
    return answer


@pytest.fixture
def exporter() -> Iterator[FakeExporter]:
    fake = FakeExporter()
    yield fake
    fake.stop()


@pytest.fixture
def new_source(ledger: Ledger) -> Iterator[Callable[..., PagesSource]]:
    """A source for these targets that waits for every page; long, where a target is given no limit."""
    sources: list[PagesSource] = []

    def patient(target: ExporterTarget) -> ExporterTarget:
        is_given = target.timeout_seconds != USUAL_SECONDS
        return target if is_given else msgspec.structs.replace(target, timeout_seconds=60.0)

    def make(*targets: ExporterTarget) -> PagesSource:
        parts = [Target(patient(target), TABLES, ledger, held_in(ledger)) for target in targets]
        sources.append(PagesSource(parts, patience_seconds=120.0))
        return sources[-1]

    yield make
    for source in sources:
        source.close()
