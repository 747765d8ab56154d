"""What a series means: declared once, in the vocabulary that every part and panel shares."""

from enum import StrEnum

import msgspec

from watchkeeper.core.prometheus_names import label_name, metric_name, unit_name


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True, cache_hash=True):
    """
    One metric of the vocabulary.

    `name` and `labels` are OpenTelemetry names (dots); `unit` is UCUM (`s`, `By`, `1`, `{token}`).
    `buckets` are the upper bounds of a histogram, ascending, without +Inf.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def prometheus_name(self) -> str:
        """Family name by OpenTelemetry's rules: unit and, for counters, `_total` appended."""
        return metric_name(self.name, self.unit, counter=self.kind is Kind.COUNTER, gauge=self.kind is Kind.GAUGE)

    @property
    def prometheus_unit(self) -> str:
        """The unit's word as the family name ends in it: seconds, bytes, ratio; empty where it has none."""
        return unit_name(self.unit, gauge=self.kind is Kind.GAUGE)

    @property
    def prometheus_labels(self) -> tuple[str, ...]:
        return tuple(label_name(label) for label in self.labels)
