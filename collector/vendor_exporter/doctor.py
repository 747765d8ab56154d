"""What one look at each exporter tells, for `watchkeeper doctor`."""

import asyncio
import time
from collections.abc import Iterator, Sequence

import aiohttp

from collector import accelerators
from collector._pages.fault import Refused
from collector._pages.fetch import open_session
from collector.vendor_exporter.target import Seen, Target


def look(targets: Sequence[Target]) -> tuple[str, ...]:
    """All at once, in the order of `targets`; a line that starts with `!` asks for action."""
    return asyncio.run(_look(targets))


async def _look(targets: Sequence[Target]) -> tuple[str, ...]:
    async with open_session() as session:
        found = await asyncio.gather(*(_look_at(target, session) for target in targets))
    return tuple(line for lines in found for line in lines)


async def _look_at(target: Target, session: aiohttp.ClientSession) -> tuple[str, ...]:
    where = f"{target.config.origin}{target.config.page_path}"
    try:
        seen = await target.look(session, time.time())
    except Refused as refused:
        return (f"! {where}: {refused.detail}",)
    return tuple(_lines(where, seen))


def _lines(where: str, seen: Seen) -> Iterator[str]:
    read = {part.name for part in accelerators.VENDORS}
    for table, observation in zip(seen.tables, seen.observations, strict=True):
        sightings = observation.sightings.values()
        placed = sum(1 for one in sightings if one.places)
        metrics = {measured.metric for one in sightings for measured in one.measured}
        yield (
            f"{where}: {table.title}, {len(sightings)} devices, {placed} of them in pods; {len(metrics)} metrics, "
            f"{observation.mapped} series mapped, {observation.unmapped} not"
        )
        missing = [metric.name for metric in table.obtained if metric not in metrics and metric.name.startswith("hw.")]
        if missing:
            yield f"  not on this page: {', '.join(sorted(missing))}"
        both = read.intersection(one.device.vendor for one in sightings)
        if both:
            yield f"  what `accelerators` reads of {', '.join(sorted(both))} devices counts; this adds the rest"
    if seen.silent:
        yield f"! {where}: {len(seen.silent)} devices have only old numbers; is the exporter stuck, or its clock wrong?"
