"""Every metric watchkeeper emits, one file per subject. `METRICS` is the whole language, sorted by name."""

from typing import Final

from watchkeeper.core.metric import Metric
from watchkeeper.core.vocabulary import cost, devices, engines, health, operations, requests, tap

METRICS: Final[tuple[Metric, ...]] = tuple(
    sorted(
        (
            *requests.METRICS,
            *operations.METRICS,
            *engines.METRICS,
            *cost.METRICS,
            *tap.METRICS,
            *devices.METRICS,
            *health.METRICS,
        ),
        key=lambda metric: metric.name,
    )
)
