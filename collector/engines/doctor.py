"""What one look at an engine tells, for `watchkeeper doctor`."""

import asyncio
from collections.abc import Iterator, Sequence

import aiohttp
import msgspec

from collector._pages.fault import Fault, Refused
from collector._pages.fetch import open_session
from collector.engines.finder import HOST, Finder
from collector.engines.mapping import MODEL, absent, claimed, names_model, observe, present
from collector.engines.recognise import View, observe_all
from collector.engines.target import Scraped, Target
from watchkeeper.core.metric import Metric


class Mapped(msgspec.Struct, frozen=True):
    """One metric that the page fills, from which family (as the engine writes it) and how."""

    metric: Metric
    family: str
    note: str


class Missing(msgspec.Struct, frozen=True):
    """One metric that the page could fill and does not; `hint` says what would make it."""

    metric: Metric
    hint: str


class Engine(msgspec.Struct, frozen=True):
    """One engine on the page; `version` and `models` are empty when it does not tell."""

    title: str
    provider: str
    version: str
    models: tuple[str, ...]
    mapped: tuple[Mapped, ...]
    missing: tuple[Missing, ...]
    lacks: tuple[str, ...]


class Report(msgspec.Struct, frozen=True):
    """`mapped` and `unmapped` count series of the page; `unknown` are families that no row knows."""

    origin: str
    path: str
    title: str
    engines: tuple[Engine, ...]
    mapped: int
    unmapped: int
    unknown: tuple[str, ...]


class Unusable(msgspec.Struct, frozen=True):
    """Nothing was recognised, and why."""

    origin: str
    fault: Fault
    detail: str


def look(targets: Sequence[Target | Finder]) -> tuple[Report | Unusable, ...]:
    """All at once, in the order of `targets`."""
    return asyncio.run(_look(targets))


def lines(found: Report | Unusable) -> Iterator[str]:
    """For people, one fact a line; one that starts with `!` asks for action."""
    if isinstance(found, Unusable):
        yield f"! {found.origin}: {found.detail}"
        return
    counts = f"{found.mapped} series mapped, {found.unmapped} not"
    models = sorted({model for engine in found.engines for model in engine.models})
    serves = f"model {', '.join(models)}" if models else "model not told: set `model`"
    versions = " ".join(engine.version for engine in found.engines if engine.version)
    yield f"{found.origin}: {f'{found.title} {versions}'.strip()}, {serves}; {counts}"
    for engine in found.engines:
        missing: dict[str, list[str]] = {}
        for one in engine.missing:
            missing.setdefault(one.hint, []).append(one.metric.name)
        for hint, names in missing.items():
            yield f"{found.origin}: not exposed{f' ({hint})' if hint else ''}: {', '.join(dict.fromkeys(names))}"
        for line in engine.lacks:
            yield f"{found.origin}: {engine.title} does not tell {line}"


async def _look(targets: Sequence[Target | Finder]) -> tuple[Report | Unusable, ...]:
    async with open_session() as session:
        return tuple(await asyncio.gather(*(_look_at(target, session) for target in targets)))


async def _look_at(target: Target | Finder, session: aiohttp.ClientSession) -> Report | Unusable:
    if isinstance(target, Finder):
        try:
            target = await target.search(session)
        except Refused as refused:
            return Unusable(f"http://{HOST}", refused.fault, refused.detail)
    try:
        scraped, _ = await target.look(session)
    except Refused as refused:
        return Unusable(target.config.origin, refused.fault, refused.detail)
    engines = [await _engine(target, session, view) for view in scraped.recognised.views]
    return _report(target, scraped, engines)


async def _engine(target: Target, session: aiohttp.ClientSession, view: View) -> Engine:
    table = view.table
    model = target.config.model
    if not model and not names_model(view.page, table):
        model = await target.ask(session, table.model)
    observation = observe(view.page, table, {MODEL: model})
    keys = (*observation.gauges, *observation.becomes.values())
    given = {metric for metric, _ in keys}
    return Engine(
        table.title,
        table.name,
        await target.ask(session, table.version),
        tuple(sorted({value for _, labels in keys for name, value in labels if name == MODEL})),
        tuple(Mapped(row.metric, source.name, source.note) for row, source in present(view.page, table)),
        tuple(Missing(row.metric, row.hint) for row in absent(view.page, table) if row.metric not in given),
        table.lacks,
    )


def _report(target: Target, scraped: Scraped, engines: Sequence[Engine]) -> Report:
    views = scraped.recognised.views
    observation = observe_all(scraped.recognised, {})
    known = {name for view in views for name in claimed(view.page, view.table)}
    unknown = [name for view in views[-1:] for name in view.page.families if name not in known]
    return Report(
        target.config.origin,
        target.paths.current,
        scraped.recognised.title,
        tuple(engines),
        observation.mapped,
        observation.unmapped,
        tuple(unknown),
    )
