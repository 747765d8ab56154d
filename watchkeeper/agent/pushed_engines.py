"""Engines that have no page and push instead, as the tables that docs/engines.md is made from."""

from typing import Final

from collector.engines.table import From, Row, Table
from collector.otlp import ksana_table
from collector.otlp.ksana_table import Take
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels
from watchkeeper.core.vocabulary import engines

_MEANS: Final = 'for means alone, under `watchkeeper_vantage="totals"`, unless the buckets reach far enough'
_SECONDS: Final = "in builds that count milliseconds; of microseconds only `watchkeeper_engine_work_time_seconds_total`"


def pushed() -> tuple[Table, ...]:
    """KsanaLLM, row by row what the receiver makes of its pushes."""
    return (
        Table(
            name=ksana_table.NAME,
            title="KsanaLLM (pushes)",
            matches=lambda _names: False,
            rows=_rows(),
            switch_on="set its `setting.profiler.metrics_export_url` to `http://watchkeeper:4318/v1/metrics`",
            paths=("/v1/metrics",),
            port=4318,
            on_by_default=False,
            lacks=("KV cache use, time per output token",),
        ),
    )


def _rows() -> tuple[Row, ...]:
    """A name that ends in `_us` in some builds and in `_ms` in others is one source; all others are added up."""
    sources: dict[tuple[Metric, Labels, str], list[From]] = {}
    for row in ksana_table.ROWS:
        root, _, unit = row.name.rpartition("_")
        name = root if unit in ("us", "ms") else row.name
        sources.setdefault((row.metric, row.constants, name), []).append(From(row.name, note=_said(row)))
        if row.phase and unit == "us":
            totals = From(row.name, note=f"sum, x{row.scale:g}")
            sources[engines.WORK_TIME, (("phase", row.phase),), name] = [totals]
    return tuple(
        Row(metric, tuple(found), constants, hint=_hint(metric)) for (metric, constants, _), found in sources.items()
    )


def _said(row: ksana_table.Row) -> str:
    scale = f", x{row.scale:g}" if row.scale != 1 else ""
    return f"{row.take.value}{scale}"


def _hint(metric: Metric) -> str:
    of_durations = {row.metric: row.phase for row in ksana_table.ROWS if row.take is Take.DURATIONS}
    if metric not in of_durations:
        return ""
    return _SECONDS if of_durations[metric] else _MEANS
