"""An engine of this machine whose port nobody told: looked for where the known ones listen, then read as any other."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import aiohttp
import msgspec

from collector._pages.fault import REASON, Fault, Refused
from collector.engines.config import EngineTarget
from collector.engines.mapping import labelled
from collector.engines.table import Table
from collector.engines.target import NOBODY, Target
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Gap, Labels, Reading, Sample
from watchkeeper.core.vocabulary import engines, health

HOST: Final = "localhost"
_IMAGES_PORTS: Final = (80,)
"""where images make an engine listen elsewhere than its own program would: TGI's"""
_SIGNAL: Final[Labels] = (("source", "engines"), ("signal", "pages"))

_log = logging.getLogger("watchkeeper.source.engines")


def ports(tables: Sequence[Table]) -> tuple[int, ...]:
    """In the order of the tables, so that a server in front of an engine is found before what it fronts."""
    return tuple(dict.fromkeys((*(table.port for table in tables), *_IMAGES_PORTS)))


class Finder:
    """
    Every port is asked at once; of several engines the first in order is taken, and stays: a port does not move while
    its container lives. Until then one series says that none is there.
    """

    def __init__(self, config: EngineTarget, tables: Sequence[Table], ledger: Ledger) -> None:
        self.config = config
        self.candidates = tuple(
            Target(msgspec.structs.replace(config, url=f"http://{HOST}:{port}", find=False), tables, ledger)
            for port in ports(tables)
        )
        self._ledger = ledger
        self._found: Target | None = None
        self._detail = ""
        self._up: Labels = labelled(engines.ENGINE_UP, {"service.name": config.name, "server.address": HOST})

    def take_turn(self, now: float) -> bool:
        return (self._found or self.candidates[0]).take_turn(now)

    async def search(self, session: aiohttp.ClientSession) -> Target:
        """
        The engine that is there.

        :raises Refused: none is; where it was looked for, what the most telling answer was, what to do
        """
        answers = await asyncio.gather(*(_refusal(target, session) for target in self.candidates))
        for target, refused in zip(self.candidates, answers, strict=True):
            if refused is None:
                return target
        refusal = min(filter(None, answers), key=_reticence)
        tried = ", ".join(str(target.config.port) for target in self.candidates)
        detail = f"no engine's page on this machine at the ports {tried}: {refusal.detail}; `url` says where it is"
        raise Refused(refusal.fault, detail, refusal.engine)

    async def scrape(self, session: aiohttp.ClientSession, now: float) -> Reading:
        if self._found is not None:
            return await self._found.scrape(session, now)
        try:
            self._found = await self.search(session)
        except Refused as refused:
            return self.failed(refused.fault, refused.detail, now, 0.0)
        self._found.take_turn(now)
        reading = await self._found.scrape(session, now)
        nobody = Gap(engines.ENGINE_UP, REASON[Fault.UNREACHABLE], self._up, is_one_series=True)
        return msgspec.structs.replace(reading, gaps=(*reading.gaps, nobody))

    def failed(self, fault: Fault, detail: str, now: float, seconds: float) -> Reading:
        if self._found is not None:
            return self._found.failed(fault, detail, now, seconds)
        self._ledger.add(health.RECEIVED, 1, _SIGNAL)
        self._ledger.add(health.REJECTED, 1, (*_SIGNAL, ("reason", fault.value)))
        if detail != self._detail:
            _log.warning("%s", detail)
        self._detail = detail
        return Reading(
            (Sample(engines.ENGINE_UP, 0.0, now, self._up),),
            (Gap(engines.RUNNING, REASON[fault], labelled(engines.RUNNING, dict(self._up)), is_one_series=True),),
        )


async def _refusal(target: Target, session: aiohttp.ClientSession) -> Refused | None:
    """Why this is none; None when it is one."""
    try:
        await target.look(session)
    except Refused as refused:
        return Refused(refused.fault, refused.detail, refused.engine)  # without the traceback, which holds the page
    return None


def _reticence(refusal: Refused) -> int:
    """Smallest for an engine whose page is off, largest where nobody answers."""
    return 0 if refusal.engine else 2 if refusal.fault in NOBODY else 1
