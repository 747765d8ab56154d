"""
Source `vendor_exporter`: reads the metrics page of accelerators' exporters and says it in the words of `accelerators`.

For devices that have no library binding here, and for nodes on which an exporter runs already. An exporter more is a
file with its table and its name in TABLES.
"""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from collector.vendor_exporter import (
    all_smi,
    amd,
    dcgm,
    enflame,
    gaudi,
    hami,
    hygon,
    iluvatar,
    kunlunxin,
    metax,
    mlu_exporter,
    moore_threads,
    npu_exporter,
    tpu,
)
from collector.vendor_exporter.config import ExporterTarget
from collector.vendor_exporter.table import Table
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.vocabulary import device_exporters, devices

if TYPE_CHECKING:
    from collector._pages.source import PagesSource
    from collector.vendor_exporter.target import Target

TABLES: Final[tuple[Table, ...]] = (
    dcgm.TABLE,
    npu_exporter.TABLE,
    mlu_exporter.TABLE,
    amd.TABLE,
    gaudi.TABLE,
    metax.TABLE,
    kunlunxin.TABLE,
    hygon.TABLE,
    moore_threads.TABLE,
    iluvatar.TABLE,
    enflame.TABLE,
    tpu.TABLE,
    hami.TABLE,
    all_smi.TABLE,
)


def build(config: tuple[ExporterTarget, ...], ledger: Ledger) -> "PagesSource":
    """:raises ConfigError: the same exporter twice, or certificates that cannot be used"""
    from collector._pages.source import PagesSource

    return PagesSource(_targets(config, ledger))


def problems(config: tuple[ExporterTarget, ...]) -> tuple[str, ...]:
    """The same exporter twice, or files that cannot be used."""
    try:
        _targets(config, Ledger())
    except ConfigError as error:
        return error.problems
    return ()


def probe(config: tuple[ExporterTarget, ...]) -> tuple[str, ...]:
    from collector.vendor_exporter.doctor import look

    try:
        return look(_targets(config, Ledger()))
    except ConfigError as error:
        return tuple(f"! {problem}" for problem in error.problems)


def poll_seconds(config: tuple[ExporterTarget, ...]) -> float:
    """How often the source looks which exporter is due."""
    return min([1.0, *(target.interval_seconds / 2 for target in config)])


def _targets(config: tuple[ExporterTarget, ...], ledger: Ledger) -> "tuple[Target, ...]":
    from collector._pages.tls import CertificateError
    from collector.accelerators.held import held_in
    from collector.vendor_exporter.target import Target

    problems = [*_repeated(config)]
    targets = []
    for index, target in enumerate(config):
        try:
            targets.append(Target(target, TABLES, ledger, held_in(ledger)))
        except CertificateError as problem:
            problems.append(f"vendor_exporter[{index}].{problem}")
    if problems:
        raise ConfigError(*problems)
    return tuple(targets)


def _repeated(config: tuple[ExporterTarget, ...]) -> Iterator[str]:
    seen = Counter((target.host, target.port, target.page_path) for target in config)
    for (host, port, path), times in seen.items():
        if times > 1:
            yield f"vendor_exporter: {host}:{port}{path} is listed {times} times and would count as often; keep one"


def _metrics() -> tuple[Metric, ...]:
    from_pages = (metric for table in TABLES for metric in table.obtained)
    always = (devices.UP, devices.SAMPLED_AT, devices.INFO, devices.STATUS, devices.ALLOCATION, devices.ALLOCATED_TIME)
    return tuple(dict.fromkeys((*from_pages, *always, *device_exporters.METRICS)))


PLUGIN: Final = Plugin(
    name="vendor_exporter",
    summary=f"Exporters of accelerators that run already: {', '.join(table.title for table in TABLES)}.",
    config=tuple[ExporterTarget, ...],
    build=build,
    metrics=_metrics(),
    roles=("run", "node"),
    interval_seconds=poll_seconds,
    problems=problems,
    probe=probe,
)
