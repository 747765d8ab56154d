"""A host whose devices are told tick by tick to one signal, through the guard that the agent puts around it."""

from collections.abc import Iterator

import msgspec
import pytest

from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.links import LinkMeter
from watchkeeper.agent.signals import Judged, Watched
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import Batch, Completion, Finding, Point, Sample, Text
from watchkeeper.core.vocabulary import health, signals


class Host:
    """`say` collects what one tick tells, `tick` hands it over. Counters are given as increments."""

    def __init__(self, plugin, **settings):
        config = msgspec.convert(settings, plugin.config)
        self.ledger = Ledger()
        signal = plugin.build(config, self.ledger)
        self.watched = Watched(plugin.name, signal, plugin.reads, plugin.interval_seconds(config), self.ledger)
        self.at = self.began = 1_700_000_000.0
        self.findings: list[Finding] = []
        self.samples: dict[tuple[Metric, tuple], float] = {}
        self._points: dict[tuple[Metric, tuple], float] = {}
        self._totals: dict[tuple[Metric, tuple], float] = {}
        self._shown: set[tuple[Metric, tuple]] = set()
        self._keys: dict[tuple, tuple[Metric, tuple]] = {}
        """a series brings the same labels at every tick, as those of the agent do, not only equal ones"""

    def gpu(self, index: int, pod: str = "ml/llama-0", model: str = "NVIDIA H100", vendor: str = "nvidia"):
        namespace, _, name = pod.rpartition("/")
        own = {"hw.id": f"GPU-{index}", "hw.name": str(index), "hw.vendor": vendor, "hw.model": model}
        return own | {label: value for label, value in zip(PLACE, (namespace, name), strict=True) if value}

    def say(self, own: dict[str, str], metric: Metric, value: float, **extra: str):
        """`extra`: other labels, `__` for a dot."""
        said = (metric, *own.items(), *extra.items())
        key = self._keys.get(said)
        if key is None:
            every = own | {name.replace("__", "."): text for name, text in extra.items()}
            key = self._keys[said] = (metric, tuple((name, every[name]) for name in metric.labels if name in every))
        if metric.kind is Kind.COUNTER:
            value += self._totals.get(key, 0.0)
            self._totals[key] = value
        else:
            self._shown.add(key)
        self._points[key] = value

    def tick(self, seconds: float = 1.0) -> Judged:
        self.at += seconds
        return self._hand_over(())

    def lose(self, *devices: str) -> Judged:
        """The gauges of these devices go stale, at the same tick."""
        gone = tuple(key for key in self._shown if dict(key[1]).get("hw.id") in devices)
        self._shown -= set(gone)
        return self._hand_over(gone)

    def _hand_over(self, gone: tuple) -> Judged:
        points = tuple(Point(metric, labels, value) for (metric, labels), value in self._points.items())
        self._points.clear()
        judged = self.watched.update(Batch(self.at, points, gone))
        self.findings += judged.findings
        self.samples.update({(one.metric, one.labels): one.value for one in judged.samples})
        return judged

    @property
    def raised(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.resolved]

    @property
    def hours(self) -> float:
        return (self.at - self.began) / 3600

    def states(self) -> dict[tuple, float]:
        """Subject values to the newest state."""
        return {
            tuple(value for name, value in labels if name != signals.SIGNAL): value
            for (metric, labels), value in self.samples.items()
            if metric is signals.STATE
        }

    def values(self, metric: Metric) -> list[float]:
        return [value for (known, _), value in self.samples.items() if known is metric]

    def faults(self) -> float:
        drained: tuple[Sample, ...] = self.ledger.drain(self.at)
        return sum(sample.value for sample in drained if sample.metric is health.SIGNAL_FAILURES)


class Way:
    """Data links told tick by tick to one signal, through the agent's own meter and series."""

    def __init__(self, plugin, **settings):
        config = msgspec.convert(settings, plugin.config)
        self.ledger = Ledger()
        signal = plugin.build(config, self.ledger)
        self.watched = Watched(plugin.name, signal, plugin.reads, plugin.interval_seconds(config), self.ledger)
        self.at = self.began = 1_700_000_000.0
        self.findings: list[Finding] = []
        self.states: dict[frozenset[str], float] = {}
        """of what is judged now, by the values of its labels"""
        self._meter = LinkMeter()
        self._aggregate = Aggregate(self.ledger, max_series=5_000, max_values_per_label=500)
        self._swept_at = self.at

    def calls(self, number: int, *, late: float = 1.0, source: str = "otlp", **told):
        """Calls that end well, of service ml/chat and model m unless told otherwise; `late` is their delay."""
        whole = {"namespace": "ml", "service": "chat", "request_model": "m", "input_tokens": 5, "output_tokens": 9}
        call = Completion(at=self.at - late, **(whole | {"finish_reasons": ("stop",), "text": Text("a", "b")} | told))
        self._meter.take(source, [(call,) * number] if number else (), self.at)

    def add(self, metric: Metric, amount: float, **labels: str):
        """A counter's increment, or a gauge's value; `__` for a dot."""
        own = tuple((name.replace("__", "."), text) for name, text in labels.items())
        self._aggregate.apply(Sample(metric, amount, self.at, own))

    def tick(self, seconds: float = 10.0):
        for sample in self._meter.drain(self.at):
            self._aggregate.apply(sample)
        if self.at - self._swept_at > 60:
            self._aggregate.sweep(self.at)
            self._swept_at = self.at
        judged = self.watched.update(Batch(self.at, *self._aggregate.changed()))
        self.findings += judged.findings
        for gap in judged.gaps:
            self.states.pop(frozenset(value for name, value in gap.labels if name != signals.SIGNAL), None)
        for one in judged.samples:
            if one.metric is signals.STATE:
                self.states[frozenset(value for name, value in one.labels if name != signals.SIGNAL)] = one.value
        self.at += seconds

    def run(self, seconds: float, calls: int = 0, *, every: float = 10.0, **told):
        """Ticks with so many calls each."""
        for _ in range(round(seconds / every)):
            if calls:
                self.calls(calls, **told)
            self.tick(every)

    def state(self, *subject: str) -> float | None:
        """By the values of the labels; None while it has too little to go by, or is gone."""
        return self.states.get(frozenset(subject))

    @property
    def raised(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.resolved]

    @property
    def over(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.resolved]

    def faults(self) -> float:
        return sum(one.value for one in self.ledger.drain(self.at) if one.metric is health.SIGNAL_FAILURES)


PLACE = ("k8s.namespace.name", "k8s.pod.name")


@pytest.fixture
def host() -> Iterator:
    """Builds Hosts; at the end none of their signals may have failed by a fault of its own."""
    made: list[Host] = []

    def make(plugin, **settings) -> Host:
        made.append(Host(plugin, **settings))
        return made[-1]

    yield make
    assert [one.faults() for one in made] == [0.0] * len(made)


@pytest.fixture
def way() -> Iterator:
    """Builds Ways; at the end none of their signals may have failed by a fault of its own."""
    made: list[Way] = []

    def make(plugin, **settings) -> Way:
        made.append(Way(plugin, **settings))
        return made[-1]

    yield make
    assert [one.faults() for one in made] == [0.0] * len(made)
