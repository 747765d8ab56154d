"""
Milliseconds that a page of 40,000 lines costs, beside the reference client drawing the same series.

python -m benchmarks.page_of_metrics
"""

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporters.prometheus import PrometheusConfig, PrometheusExporter
from exporters.prometheus.text import number
from watchkeeper.core.interfaces import Request
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Kind
from watchkeeper.core.records import Batch, Exemplar, HistogramValue, Labels, Point
from watchkeeper.core.vocabulary.engines import KV_CACHE
from watchkeeper.core.vocabulary.requests import CLIENT_DURATION, REQUESTS, SERVER_FIRST_TOKEN

ROUNDS = 15
LINES = 40_000
LINES_A_HISTOGRAM = 19
OPENMETRICS = {"accept": "application/openmetrics-text;version=1.0.0"}
GZIP = {"accept-encoding": "gzip"}


def labels(names: Sequence[str], series: int) -> Labels:
    """As a fleet has them: some label values shared by many series, one of their own."""
    return tuple(
        (name, f"{name.rpartition('.')[2]}-{series if name == 'k8s.pod.name' else series % 17}") for name in names
    )


def histogram(chance: random.Random, bounds: tuple[float, ...], *, exemplars: bool) -> HistogramValue:
    counts = tuple(float(chance.randrange(1000)) for _ in range(len(bounds) + 1))
    seen = Exemplar(0.3, 1_700_000_000.25, chance.randbytes(16), chance.randbytes(8))
    return HistogramValue(bounds, counts, chance.random() * 1000, (seen,) * len(counts) if exemplars else ())


def histograms(chance: random.Random, *, exemplars: bool = False) -> list[Point]:
    metrics = (SERVER_FIRST_TOKEN, CLIENT_DURATION)
    bounds = SERVER_FIRST_TOKEN.buckets
    return [
        Point(metric, labels(metric.labels, series), histogram(chance, bounds, exemplars=exemplars))
        for metric in metrics
        for series in range(LINES // LINES_A_HISTOGRAM // len(metrics) + 1)
    ]


def numbers(chance: random.Random) -> list[Point]:
    """Counters are whole numbers; the gauges have as many digits as a float can."""
    counters = (Point(REQUESTS, labels(REQUESTS.labels, series), float(series)) for series in range(LINES // 2))
    gauges = (Point(KV_CACHE, labels(KV_CACHE.labels, series), chance.random()) for series in range(LINES // 2))
    return [*counters, *gauges]


def reference_families(points: Sequence[Point]) -> list[Any]:
    """The same series as prometheus_client's own families, made before the clock runs."""
    families: dict[Any, Any] = {}
    kinds = {Kind.COUNTER: CounterMetricFamily, Kind.GAUGE: GaugeMetricFamily, Kind.HISTOGRAM: HistogramMetricFamily}
    for point in points:
        metric, value = point.metric, point.value
        names = [name.replace(".", "_") for name, _ in point.labels]
        family = families.get(metric)
        if family is None:
            family = kinds[metric.kind](metric.prometheus_name, metric.help, labels=names)
            families[metric] = family
        values = [value for _, value in point.labels]
        if isinstance(value, HistogramValue):
            total, buckets = 0.0, []
            for bound, count in zip((*value.bounds, float("inf")), value.counts, strict=True):
                total += count
                buckets.append((number(bound), total))
            family.add_metric(values, buckets, value.sum)
        else:
            family.add_metric(values, value)
    return list(families.values())


class Collected:
    """A registry whose metrics were collected already."""

    def __init__(self, families: list[Any]) -> None:
        self._families = families

    def collect(self) -> Iterator[Any]:
        return iter(self._families)


def milliseconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


def changed(chance: random.Random, points: list[Point], share: float) -> Batch:
    """A tick in which `share` of the series got a new point (equal content costs the same to draw)."""
    some = chance.sample(points, round(len(points) * share))
    return Batch(at=0.0, points=tuple(Point(point.metric, point.labels, point.value) for point in some))


def ours(points: list[Point], share: float, headers: dict[str, str]) -> tuple[list[float], list[float], int]:
    """Milliseconds of drawing and of taking in what changed, and the bytes of the answer."""
    exporter = PrometheusExporter(PrometheusConfig(max_series=len(points)), Ledger())
    request = Request("/metrics", {}, headers)
    exporter.write(Batch(at=0.0, points=tuple(points)))
    exporter.answer(request)
    draws, writes = [], []
    for round_number in range(ROUNDS):
        batch = changed(random.Random(round_number), points, share)
        writes.append(milliseconds(lambda batch=batch: exporter.write(batch)))  # type: ignore[misc]
        draws.append(milliseconds(lambda: exporter.answer(request)))
    return draws, writes, len(exporter.answer(request).body)


def row(*cells: object) -> None:
    print("|", " | ".join(map(str, cells)), "|", flush=True)


def show(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def table(name: str, points: list[Point]) -> None:
    exporter = PrometheusExporter(PrometheusConfig(max_series=len(points)), Ledger())
    exporter.write(Batch(at=0.0, points=tuple(points)))
    lines = exporter.answer(Request("/metrics", {}, {})).body.count(b"\n")
    print(f"\n{name}: {len(points):,} series, {lines:,} lines\n")
    row("what", "page, ms", "taking in the change, ms", "MB sent", "times faster than the client")
    row(*["---"] * 5)
    text: Any = generate_latest
    openmetrics: Any = generate_openmetrics
    registry = Collected(reference_families(points))
    client = [milliseconds(lambda: text(registry)) for _ in range(3)]
    client_open = [milliseconds(lambda: openmetrics(registry)) for _ in range(3)]
    row("prometheus_client, text", show(client), "", f"{len(text(registry)) / 1e6:.1f}", 1)
    row("prometheus_client, OpenMetrics", show(client_open), "", f"{len(openmetrics(registry)) / 1e6:.1f}", 1)
    for what, share, headers in (
        ("ours, text, all changed", 1.0, {}),
        ("ours, OpenMetrics, all changed", 1.0, OPENMETRICS),
        ("ours, OpenMetrics, 10% changed", 0.1, OPENMETRICS),
        ("ours, OpenMetrics, none changed", 0.0, OPENMETRICS),
        ("ours, OpenMetrics + gzip, all changed", 1.0, {**OPENMETRICS, **GZIP}),
        ("ours, OpenMetrics + gzip, 10% changed", 0.1, {**OPENMETRICS, **GZIP}),
    ):
        draws, writes, size = ours(points, share, headers)
        theirs = client_open if "accept" in headers else client
        ratio = statistics.median(theirs) / statistics.median(draws)
        row(what, show(draws), show(writes) if share else "", f"{size / 1e6:.2f}", f"{ratio:.0f}")


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def memory(points: list[Point]) -> None:
    """What the exporter adds to points that the pipeline holds anyway."""
    gc.collect()
    before = resident_mb()
    exporter = PrometheusExporter(PrometheusConfig(max_series=len(points)), Ledger())
    exporter.write(Batch(at=0.0, points=tuple(points)))
    held = resident_mb()
    size = len(exporter.answer(Request("/metrics", {}, {**OPENMETRICS, **GZIP})).body)
    drawn = resident_mb()
    plain = len(exporter.answer(Request("/metrics", {}, OPENMETRICS)).body)
    print(
        f"\nMemory, {len(points):,} histograms: +{held - before:.1f} MB to hold, +{drawn - held:.1f} MB once drawn "
        f"(page of {plain / 1e6:.1f} MB, {size / 1e6:.2f} MB packed)"
    )


def main() -> None:
    chance = random.Random(1)
    print(f"python -m benchmarks.page_of_metrics\n\nMedians (min-max) of {ROUNDS} rounds, client of 3.")
    only_histograms = histograms(chance)
    memory(only_histograms)
    table("Histograms of 16 bounds", only_histograms)
    table("The same with an exemplar on every bucket", histograms(chance, exemplars=True))
    table("Counters and gauges", numbers(chance))


if __name__ == "__main__":
    main()
