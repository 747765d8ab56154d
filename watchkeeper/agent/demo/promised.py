"""What watchkeeper promises to show of llama.cpp's server and of its callers, and whether a page keeps the promise."""

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.vocabulary import engines, health, requests

PROMISED: Final = (
    requests.CLIENT_DURATION,
    requests.CLIENT_FIRST_CHUNK,
    requests.CLIENT_TOKEN_USAGE,
    requests.SERVER_DURATION,
    requests.SERVER_FIRST_TOKEN,
    requests.SERVER_PER_TOKEN,
    requests.REQUESTS,
    requests.TOKENS,
    requests.FINISH_REASONS,
    engines.ENGINE_UP,
    engines.RUNNING,
    engines.WAITING,
    engines.TOKENS,
    engines.CACHED_TOKENS,
    engines.WORK_TIME,
    engines.SCRAPE_DURATION,
    engines.SCRAPE_CPU,
    health.RECEIVED,
    health.ACCEPTED,
    health.EXPORTED,
    health.QUEUE_LENGTH,
    health.QUEUE_SIZE,
    health.QUEUE_CAPACITY,
    health.SOURCE_UP,
    health.LAST_RECORD,
    health.EXPORTER_UP,
    health.SERIES,
    health.BUILD_INFO,
    health.CPU_TIME,
    health.MEMORY,
    health.START_TIME,
)


class Page:
    """One answer of /metrics, asked by the vocabulary's metrics and labels."""

    def __init__(self, text: str) -> None:
        self._samples: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self._samples.setdefault(sample.name, []).append((sample.labels, sample.value))

    def total(self, metric: Metric, **labels: str) -> float:
        """Sum over the series that have these labels; 0 when there is none."""
        return sum(value for _, value in self._series(metric.prometheus_name, labels))

    def by(self, label: str, metric: Metric, **labels: str) -> dict[str, float]:
        """Sums by the value of one label, largest first."""
        sums: dict[str, float] = {}
        for found, value in self._series(metric.prometheus_name, labels):
            key = found.get(label, "")
            sums[key] = sums.get(key, 0.0) + value
        return dict(sorted(sums.items(), key=lambda item: -item[1]))

    def observations(self, metric: Metric, **labels: str) -> float:
        """How many a histogram holds."""
        return sum(value for _, value in self._series(f"{metric.prometheus_name}_count", labels))

    def quantile(self, share: float, metric: Metric, **labels: str) -> float | None:
        """As PromQL's histogram_quantile over the sum of the series; None without observations."""
        buckets: dict[float, float] = {}
        for found, value in self._series(f"{metric.prometheus_name}_bucket", labels):
            bound = float(found["le"])
            buckets[bound] = buckets.get(bound, 0.0) + value
        return _quantile(share, sorted(buckets.items()))

    def holds(self, metric: Metric) -> bool:
        """A histogram needs an observation, everything else a series."""
        if metric.kind is Kind.HISTOGRAM:
            return self.observations(metric) > 0
        return metric.prometheus_name in self._samples

    def _series(self, name: str, labels: Mapping[str, str]) -> Iterator[tuple[Mapping[str, str], float]]:
        for found, value in self._samples.get(name, ()):
            if all(found.get(label) == wanted for label, wanted in labels.items()):
                yield found, value


def missing(page: Page) -> tuple[str, ...]:
    """Names of the promised metrics that the page does not hold."""
    return tuple(metric.prometheus_name for metric in PROMISED if not page.holds(metric))


def _quantile(share: float, buckets: list[tuple[float, float]]) -> float | None:
    """`buckets`: (upper bound, observations up to it), ascending, the last bound infinite."""
    if not buckets or not buckets[-1][1]:
        return None
    rank = share * buckets[-1][1]
    below, counted = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            if bound == float("inf"):
                return below
            return below + (bound - below) * (rank - counted) / (count - counted) if count > counted else bound
        below, counted = bound, count
    return below
