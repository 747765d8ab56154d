"""Batches as the pipeline hands them over: totals since start, only what changed."""

from bisect import bisect_left
from collections.abc import Callable

import pytest

from exporters.page.served import Page
from watchkeeper.core.interfaces import Request
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Batch, Finding, HistogramValue, Point
from watchkeeper.core.vocabulary import devices, engines, health, requests

START = 1_790_000_000.0
CALL = {
    "service.name": "chat-frontend",
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "vllm",
    "gen_ai.request.model": "qwen3",
}
ENGINE = {"gen_ai.provider.name": "vllm", "server.address": "10.0.0.1", "server.port": "8000"}


class Traffic:
    """Remembers totals and what changed since the last batch."""

    def __init__(self) -> None:
        self.at = START
        self._totals: dict = {}
        self._changed: dict = {}
        self._gone: list = []
        self._set: dict = {}

    def add(self, metric: Metric, labels: dict[str, str], amount: float = 1) -> None:
        key = (metric, tuple(labels.items()))
        self._totals[key] = self._changed[key] = self._totals.get(key, 0.0) + amount

    def set(self, metric: Metric, labels: dict[str, str], value: float) -> None:
        self._changed[(metric, tuple(labels.items()))] = value
        self._set[(metric, tuple(labels.items()))] = None

    def observe(self, metric: Metric, labels: dict[str, str], value: float) -> None:
        key = (metric, tuple(labels.items()))
        held = self._totals.get(key) or HistogramValue(metric.buckets, (0.0,) * (len(metric.buckets) + 1), 0.0)
        counts = list(held.counts)
        counts[bisect_left(metric.buckets, value)] += 1
        self._totals[key] = self._changed[key] = HistogramValue(metric.buckets, tuple(counts), held.sum + value)

    def forget(self, metric: Metric, labels: dict[str, str]) -> None:
        key = (metric, tuple(labels.items()))
        self._totals.pop(key, None)
        self._set.pop(key, None)
        self._gone.append(key)

    def shown(self) -> list[tuple[Metric, dict[str, str]]]:
        """What was set since the start and not forgotten."""
        return [(metric, dict(labels)) for metric, labels in self._set]

    def call(self, outcome: str = "ok", first_token: float = 0.2, vantage: str = "engine", **labels: str) -> None:
        """One finished call: counted, with tokens and timings."""
        named = CALL | {name.replace("__", "."): value for name, value in labels.items()}
        self.add(requests.REQUESTS, {**named, "outcome": outcome})
        self.add(requests.TOKENS, {**named, "gen_ai.token.type": "input"}, 100)
        self.add(requests.TOKENS, {**named, "gen_ai.token.type": "output"}, 50)
        self.observe(requests.SERVER_FIRST_TOKEN, {**named, "watchkeeper.vantage": vantage}, first_token)
        self.observe(requests.SERVER_PER_TOKEN, {**named, "watchkeeper.vantage": vantage}, 0.02)

    def engine(self, up: bool = True, address: str = "10.0.0.1", model: str = "qwen3", fault: str = "") -> None:
        named = ENGINE | {"server.address": address, "gen_ai.request.model": model}
        self.set(engines.ENGINE_UP, named, float(up))
        if fault:
            self.set(engines.ENGINE_FAULT, {**named, "reason": fault}, float(not up))
        self.set(engines.RUNNING, named, 7.0)
        self.set(engines.WAITING, named, 3.0)
        self.set(engines.KV_CACHE, named, 0.4)
        self.add(engines.TOKENS, {**named, "gen_ai.token.type": "output"}, 500)

    def devices(self, up: int = 1, down: int = 0) -> None:
        for index in range(up + down):
            self.set(devices.UP, {"hw.id": f"GPU-{index}", "hw.name": str(index)}, float(index < up))

    def device(self, **labels: str) -> None:
        """One that tells all that the page shows. `hw__id` ...: labels, `__` for a dot."""
        own = {"hw.id": "GPU-0", "hw.name": "0", "hw.vendor": "nvidia", "hw.model": "NVIDIA H100 80GB HBM3"}
        own |= {name.replace("__", "."): value for name, value in labels.items()}
        for metric, value, extra in (
            (devices.UP, 1.0, {}),
            (devices.DEVICE_FAULT, 0.0, {"reason": "hung"}),
            (devices.STATUS, 1.0, {"hw.type": "gpu", "hw.state": "ok"}),
            (devices.STATUS, 0.0, {"hw.type": "gpu", "hw.state": "failed"}),
            (devices.UTILIZATION, 0.97, {"hw.gpu.task": "general"}),
            (devices.UTILIZATION, 0.1, {"hw.gpu.task": "decoder"}),
            (devices.COMPUTE_ACTIVE, 0.52, {}),
            (devices.MEMORY_USAGE, 64e9, {}),
            (devices.MEMORY_LIMIT, 80e9, {}),
            (devices.TEMPERATURE, 61.0, {"hw.sensor_location": "chip"}),
            (devices.TEMPERATURE, 74.0, {"hw.sensor_location": "memory"}),
            (devices.POWER, 689.6, {}),
            (devices.POWER_LIMIT, 700.0, {}),
            (devices.THROTTLED, 1.0, {"reason": "sw_power_cap"}),
            (devices.THROTTLED, 0.0, {"reason": "sw_thermal_slowdown"}),
            (devices.FAULTS, 2.0, {"fault.class": "memory", "severity": "critical"}),
            (devices.FAULTS, 5.0, {"fault.class": "application", "severity": "info"}),
            (devices.FAULTS, 0.0, {"fault.class": "link", "severity": "critical"}),
        ):
            self.set(metric, own | extra, value)

    def itself(self) -> None:
        self.set(health.BUILD_INFO, {"version": "1.2.3", "role": "sidecar"}, 1.0)
        self.set(health.START_TIME, {}, START - 7_500)
        self.set(health.SOURCE_UP, {"source": "otlp"}, 1.0)
        self.set(health.LAST_RECORD, {"source": "otlp"}, self.at)
        self.set(health.QUEUE_SIZE, {"queue": "otlp"}, 25.0)
        self.set(health.QUEUE_CAPACITY, {"queue": "otlp"}, 100.0)
        self.add(health.DROPPED, {"source": "otlp", "reason": "aged"}, 0)
        self.set(health.EXPORTER_UP, {"exporter": "prometheus"}, 1.0)

    def batch(self, *findings: Finding, seconds: float = 0.5) -> Batch:
        """What changed, `seconds` after the last one."""
        self.at += seconds
        points = tuple(Point(metric, labels, value) for (metric, labels), value in self._changed.items())
        gone, self._gone, self._changed = tuple(self._gone), [], {}
        return Batch(self.at, points, gone, tuple(findings))


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


@pytest.fixture
def page(traffic: Traffic) -> Page:
    """Its clock stands at the traffic's last batch."""
    return Page("", 2.0, clock=lambda: traffic.at)


@pytest.fixture
def html(page: Page) -> Callable[..., str]:
    """The page as text, in a language."""

    def read(lang: str = "en") -> str:
        return page.routes()["/"](Request("/", {"lang": lang}, {})).body.decode()

    return read
