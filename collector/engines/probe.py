"""What `watchkeeper doctor` says about the configured engines."""

import asyncio
from collections.abc import Iterator, Sequence

import aiohttp

from collector.engines.fault import Refused
from collector.engines.fetch import open_session
from collector.engines.mapping import MODEL, absent, names_model, observe
from collector.engines.target import Scraped, Target


def examine(targets: Sequence[Target]) -> tuple[str, ...]:
    """Lines in the order of `targets`; one that starts with `!` asks for action."""
    return asyncio.run(_examine(targets))


async def _examine(targets: Sequence[Target]) -> tuple[str, ...]:
    async with open_session() as session:
        found = await asyncio.gather(*(_lines(target, session) for target in targets))
    return tuple(line for lines in found for line in lines)


async def _lines(target: Target, session: aiohttp.ClientSession) -> tuple[str, ...]:
    try:
        scraped, _ = await target.look(session)
    except Refused as refused:
        return (f"! {target.config.origin}: {refused.detail}",)
    version = await target.ask(session, scraped.table.version)
    model = target.config.model
    if not model and not names_model(scraped.page, scraped.table):
        model = await target.ask(session, scraped.table.model)
    return tuple(_describe(target.config.origin, scraped, version, model))


def _describe(origin: str, scraped: Scraped, version: str, model: str) -> Iterator[str]:
    table = scraped.table
    observation = observe(scraped.page, table, {MODEL: model})
    keys = (*observation.gauges, *observation.becomes.values())
    models = sorted({value for _, labels in keys for name, value in labels if name == MODEL})
    which = f"{table.title} {version}".strip()
    serves = f"model {', '.join(models)}" if models else "model not told: set `model`"
    yield f"{origin}: {which}, {serves}; {observation.mapped} series mapped, {observation.unmapped} not"
    given = {metric.name for metric, _ in keys}
    missing: dict[str, list[str]] = {}
    for row in absent(scraped.page, table):
        if row.metric.name not in given:
            missing.setdefault(row.hint, []).append(row.metric.name)
    for hint, names in missing.items():
        yield f"{origin}: not exposed{f' ({hint})' if hint else ''}: {', '.join(dict.fromkeys(names))}"
    for line in table.lacks:
        yield f"{origin}: {table.title} does not tell {line}"
