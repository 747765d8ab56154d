"""
A series far outside of what it was in its last hours, and not for a moment only: queues, rates, temperatures.

A point is the mean of a gauge, or the growth per second of a counter, over `interval_seconds`. Of a series' last 4,000
points, but for the newest 120, come location (median) and scale: the largest of 1.4826 MAD, (q99 - q01) / 4.65, `floor`
and a trace of the median. The same is kept of the means of 4 points and of the means of 4 absolute differences, so that
a shift too small for one point and a change of unrest count too. A point's score is the largest of
-log10(Gaussian tail) / 20 over the three, at most 1; within 6 scales it is 0, and so it is where `beyond` is not
passed. What is usual is renewed every 20 points, but not by what a warning is about until that is a day old.

A point may be far out by chance, and no real series is Gaussian, so a score alone says nothing. The highest score of
each 10 points is ranked among all earlier ones of its series (`detectors.drift.block`), and among those of its hour of
the day once there are three days of them; the less surprising rank counts. While such blocks are exchangeable, all
series together raise at most one finding in `false_alarm_days`, whatever the law of the numbers. What stays within 6
scales is one tie, so that daily ups and downs, which the window of 33 hours holds, do not count. The k-th series has
the share 1 / (k (k + 1)) of that. A finding is a warning, never an alarm, and ends after 30 minutes within 6 scales.

Catches: a shift to beyond 6 scales that lasts, after 10 to 25 minutes of it once it was watched for 11 hours; on the
fourth to seventh day, when there are few blocks of an hour, after up to an hour. Misses: spikes shorter than some
minutes, what drifts over days, a series' first 11 hours and those after a restart, as nothing is stored. A Monday that
is far from its weekend is found like any other shift, which `beyond` is for; weekdays are not told apart yet. Keeps at
most 100 kB a series, for `max_series` of them.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.vocabulary import METRICS, devices, engines, signals

if TYPE_CHECKING:
    from detectors.signals._tails import Tail

_NAMED: Final[dict[str, Metric]] = {
    name: metric
    for metric in METRICS
    if metric.kind is not Kind.HISTOGRAM and metric not in signals.METRICS
    for name in (metric.prometheus_name, metric.name)
}


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Series that are watched."""

    metric: str
    """a gauge or counter by its name in docs/metrics.md or at OpenTelemetry; a counter is watched by its growth"""
    side: Literal["high", "low", "both"] = "high"
    """which side is worth a warning"""
    floor: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """the scale is at least this, in the metric's unit (a counter's: per second): 6 of it are no news"""
    beyond: float | None = None
    """only what is above it (`high`) or below it (`low`) counts, in the metric's unit"""
    labels: Mapping[str, str] = {}
    """only series with these labels, by OpenTelemetry names, `*` for anything; one that lacks a label fits"""
    name: str = ""
    """label of the finding; empty: the metric's name"""

    @property
    def label(self) -> str:
        return self.name or (metric.name if (metric := _NAMED.get(self.metric)) else self.metric)

    def fits(self, own: Mapping[str, str]) -> bool:
        return all(fnmatchcase(own.get(label, wanted), wanted) for label, wanted in self.labels.items())


_LINES: Final = (
    Line(engines.WAITING.name, floor=2.0, beyond=8.0),
    Line(devices.TEMPERATURE.name, floor=2.0, beyond=80.0, labels={"hw.sensor_location": "chip"}),
)


class TailConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Series far outside of what they were."""

    enabled: bool = True
    """False: no series is watched in this way"""
    series: tuple[Line, ...] = _LINES
    """by default requests in an engine's queue and the temperature of devices, each only where it is high anyway"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 30.0
    """time of a point"""
    false_alarm_days: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """days in which all series together raise at most one warning without cause, on average"""
    max_series: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    """further series are left out and counted in watchkeeper_signal_unwatched"""


def metric_of(line: Line) -> Metric | None:
    return _NAMED.get(line.metric)


def problems(config: TailConfig) -> tuple[str, ...]:
    """Metrics that there are not, names that are taken, limits that mean nothing."""
    found = []
    names: set[str] = set()
    for index, line in enumerate(config.series):
        path = f"signals.tail.series[{index}]"
        metric = metric_of(line)
        if metric is None:
            found.append(f"{path}.metric: {line.metric} is no gauge or counter of docs/metrics.md; take one from there")
        else:
            found += [
                f"{path}.labels: {metric.name} has no label {label}; it has {', '.join(metric.labels)}"
                for label in line.labels
                if label not in metric.labels
            ]
        if line.label in names:
            found.append(f"{path}.name: {line.label} is taken by a line before; give this one a name of its own")
        if line.side == "both" and line.beyond is not None:
            found.append(f"{path}.beyond: means nothing with `side: both`; make two lines of it, with names")
        names.add(line.label)
    return tuple(found)


def build(config: TailConfig, ledger: Ledger) -> "Tail":
    """:raises ConfigError: a line that cannot be watched"""
    from detectors.signals._tails import Tail

    if found := problems(config):
        raise ConfigError(*found)
    return Tail(config, ledger)


PLUGIN: Final = Plugin(
    name="tail",
    summary="A series (queue, rate, temperature) far outside of what it was in its last hours.",
    config=TailConfig,
    build=build,
    reads=tuple(dict.fromkeys(_NAMED.values())),
    roles=("run", "sidecar", "gateway", "detector"),
    interval_seconds=lambda config: config.interval_seconds,
    problems=problems,
)
