"""
Source `engines`: reads the metrics page of inference engines and says it in one vocabulary.

An engine more is a file with its table and its name in TABLES.
"""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from collector.engines import (
    dynamo,
    llama_cpp,
    lmdeploy,
    mindie,
    nim,
    ray_serve,
    sglang,
    tensorrt_llm,
    tgi,
    triton,
    vllm,
)
from collector.engines.config import EngineTarget
from collector.engines.table import Table
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.vocabulary import METRICS, engines

if TYPE_CHECKING:
    from collector._pages.source import PagesSource
    from collector.engines.finder import Finder
    from collector.engines.target import Target

TABLES: Final[tuple[Table, ...]] = (
    dynamo.FRONTEND,
    dynamo.WORKER,
    ray_serve.TABLE,
    triton.VLLM,
    vllm.TABLE,
    sglang.TABLE,
    tensorrt_llm.TABLE,
    triton.TENSORRT_LLM,
    tgi.TABLE,
    lmdeploy.TABLE,
    llama_cpp.TABLE,
    mindie.TABLE,
    nim.TABLE,
    triton.OTHER,
)
"""the first one that knows a page takes it"""


def build(config: tuple[EngineTarget, ...], ledger: Ledger) -> "PagesSource":
    """:raises ConfigError: the same engine twice, or certificates that cannot be used"""
    from collector._pages.source import PagesSource

    return PagesSource(_targets(config, ledger))


def problems(config: tuple[EngineTarget, ...]) -> tuple[str, ...]:
    """The same engine twice, or files that cannot be used."""
    try:
        _targets(config, Ledger())
    except ConfigError as error:
        return error.problems
    return ()


def probe(config: tuple[EngineTarget, ...]) -> tuple[str, ...]:
    from collector.engines.doctor import lines, look

    try:
        return tuple(line for found in look(_targets(config, Ledger())) for line in lines(found))
    except ConfigError as error:
        return tuple(f"! {problem}" for problem in error.problems)


def poll_seconds(config: tuple[EngineTarget, ...]) -> float:
    """How often the source looks which engine is due."""
    return min([1.0, *(target.interval_seconds / 2 for target in config)])


def _targets(config: tuple[EngineTarget, ...], ledger: Ledger) -> "tuple[Target | Finder, ...]":
    from collector._pages.tls import CertificateError
    from collector.engines.finder import Finder
    from collector.engines.target import Target

    problems = [*_repeated(config)]
    targets: list[Target | Finder] = []
    for index, target in enumerate(config):
        try:
            kind = Finder if target.is_looked_for else Target
            targets.append(kind(target, TABLES, ledger))
        except CertificateError as problem:
            problems.append(f"engines[{index}].{problem}")
    if problems:
        raise ConfigError(*problems)
    return tuple(targets)


def _repeated(config: tuple[EngineTarget, ...]) -> Iterator[str]:
    if sum(target.is_looked_for for target in config) > 1:
        yield "engines: `find` without a url is listed several times and would find the same engine; keep one"
    seen = Counter((target.host, target.port, target.fixed_path) for target in config if not target.is_looked_for)
    for (host, port, path), times in seen.items():
        if times > 1:
            yield f"engines: {host}:{port}{path} is listed {times} times and would be counted as often; keep one"
        elif path and (host, port, "") in seen:
            yield f"engines: {host}:{port} is listed with {path} and without a path, which may find it too; keep one"


def _metrics() -> tuple[Metric, ...]:
    mapped = {row.metric for table in TABLES for row in table.rows}
    own = {
        engines.ENGINE_UP, engines.ENGINE_FAULT, engines.SCRAPE_DURATION, engines.SCRAPE_CPU, engines.UNMAPPED,
        engines.RESETS,
    }  # fmt: skip
    return tuple(metric for metric in METRICS if metric in mapped | own)


PLUGIN: Final = Plugin(
    name="engines",
    summary=f"Metrics pages of inference engines: {', '.join(table.title for table in TABLES)}.",
    config=tuple[EngineTarget, ...],
    build=build,
    metrics=_metrics(),
    roles=("run", "sidecar", "node"),
    interval_seconds=poll_seconds,
    problems=problems,
    probe=probe,
)
