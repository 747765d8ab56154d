"""Every metric watchkeeper emits, one file per subject. `METRICS` is the whole language, sorted by name."""

from typing import Final

from watchkeeper.core.metric import Metric
from watchkeeper.core.vocabulary import (
    capture,
    cost,
    device_exporters,
    devices,
    drift,
    efficiency,
    engines,
    fleet,
    health,
    kafka,
    links,
    listeners,
    operations,
    outputs,
    requests,
    signals,
    store,
    tap,
)

_SUBJECTS: Final = (
    capture,
    cost,
    device_exporters,
    devices,
    drift,
    efficiency,
    engines,
    fleet,
    health,
    kafka,
    links,
    listeners,
    operations,
    outputs,
    requests,
    signals,
    store,
    tap,
)

METRICS: Final[tuple[Metric, ...]] = tuple(
    sorted((metric for subject in _SUBJECTS for metric in subject.METRICS), key=lambda metric: metric.name)
)
