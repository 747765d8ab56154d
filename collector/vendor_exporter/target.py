"""One exporter: its state from read to read, and what one read brings."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from collector._pages.fault import REASON, Fault, Refused
from collector._pages.fetch import Answer, fetch
from collector._pages.page import Page, parse
from collector._pages.tls import Certificates
from collector.accelerators.driver import Device
from collector.accelerators.held import Held
from collector.vendor_exporter.config import ExporterTarget
from collector.vendor_exporter.freshness import split
from collector.vendor_exporter.observe import Observation, observe
from collector.vendor_exporter.readings import Readings
from collector.vendor_exporter.table import Table
from watchkeeper.core.labels import clean
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Gap, Labels, Reading, Sample
from watchkeeper.core.vocabulary import device_exporters as vocabulary
from watchkeeper.core.vocabulary import health

SOURCE: Final = "vendor_exporter"
_SIGNAL: Final[Labels] = (("source", SOURCE), ("signal", "pages"))
_INTERVALS_BRIDGED: Final = 4
"""energy is added up over so many missed pages, no more"""

_log = logging.getLogger(f"watchkeeper.source.{SOURCE}")


class Seen(msgspec.Struct, frozen=True):
    """A page that was understood: by each table that knows it, and the devices that are silent on it."""

    tables: tuple[Table, ...]
    observations: tuple[Observation, ...]
    silent: tuple[Device, ...]

    @property
    def title(self) -> str:
        return ", ".join(table.title for table in self.tables)


class Target:
    """One task at a time calls `scrape`; everything here belongs to the source's thread."""

    def __init__(self, config: ExporterTarget, tables: Sequence[Table], ledger: Ledger, held: Held) -> None:
        """:raises CertificateError: a certificate of the configuration's cannot be used"""
        self.config = config
        self._tables = tables
        self._ledger = ledger
        self._certificates = Certificates(config)
        self._where: Labels = (("server.address", config.host), ("server.port", str(config.port)))
        self._readings = Readings(held, _INTERVALS_BRIDGED * config.interval_seconds)
        self._fault: Fault | None = None
        self._was_read = False
        self._silent = 0
        self._due_at = float("-inf")
        for metric in (health.RECEIVED, health.ACCEPTED):
            ledger.add(metric, 0, _SIGNAL)

    def take_turn(self, now: float) -> bool:
        """Whether a read is due; the next one is then an interval later, also when the clock was set back."""
        interval = self.config.interval_seconds
        if self._due_at - interval <= now < self._due_at:
            return False
        self._due_at = self._due_at + interval if 0 <= now - self._due_at < interval else now + interval
        return True

    async def scrape(self, session: aiohttp.ClientSession, now: float) -> Reading:
        """Never raises for what an exporter can do; a fault of ours passes to the caller, who calls `failed`."""
        began = time.perf_counter()
        with self._ledger.steps.timed("scrape", self._where) as step:
            try:
                seen = await self.look(session, now)
            except Refused as refused:
                step.fail(refused.fault.value)
                return self.failed(refused.fault, refused.detail, now, time.perf_counter() - began)
        seconds = time.perf_counter() - began
        sightings = [one for observation in seen.observations for one in observation.sightings.values()]
        samples, gaps = self._readings.of(sightings, seen.silent, now)
        told = (*samples, *self._about(now, 1.0, seconds), *self._now_in(None, now), *self._of_page(seen, now))
        self._went_well(seen)
        return Reading(told, tuple(gaps), items=1)

    async def look(self, session: aiohttp.ClientSession, now: float) -> Seen:
        """:raises Refused: with what is wrong and what to do"""
        try:
            async with asyncio.timeout(self.config.timeout_seconds):
                answer = await fetch(
                    session, self.config.origin + self.config.page_path,
                    headers={**self.config.headers, **self._authorization()},
                    tls=self._certificates.context(), max_bytes=self.config.max_page_bytes,
                )  # fmt: skip
        except TimeoutError:
            detail = f"has not answered within {self.config.timeout_seconds:g} s"
            raise Refused(Fault.TIMED_OUT, detail) from None
        _judge(answer)
        return self._understand(answer.body, now)

    def failed(self, fault: Fault, detail: str, now: float, seconds: float) -> Reading:
        """This read brought nothing: the devices' gauges go stale, their totals wait."""
        self._ledger.add(health.RECEIVED, 1, _SIGNAL)
        self._ledger.add(health.REJECTED, 1, (*_SIGNAL, ("reason", fault.value)))
        samples, gaps = self._readings.failed(REASON[fault], now)
        told = (*samples, *self._about(now, 0.0, seconds), *self._now_in(fault, now))
        if self._fault is not fault:
            _log.warning("%s%s: %s", self.config.origin, self.config.page_path, detail)
        self._fault = fault
        of_page = (Gap(metric, REASON[fault], self._where) for metric in (vocabulary.UNMAPPED, vocabulary.SILENT))
        return Reading(told, (*gaps, *of_page))

    def _understand(self, body: bytes, now: float) -> Seen:
        fresh, stale = split(body, now, self.config.stale_after_seconds)
        page = parse(fresh, self.config.max_series)
        tables = tuple(table for table in self._tables if table.matches(page.families.keys()))
        if not tables:
            names = ", ".join(clean(name) for name in list(page.families)[:3]) or "nothing"
            raise Refused(
                Fault.UNKNOWN_ENGINE,
                f"a metrics page of no exporter known here (it has {names}); check the port and `path`",
            )
        observations = tuple(observe(page, table) for table in tables)
        return Seen(tables, observations, tuple(self._silent_devices(stale, tables, observations)))

    def _silent_devices(
        self, stale: bytes, tables: Sequence[Table], observations: Sequence[Observation]
    ) -> Sequence[Device]:
        if not stale:
            return ()
        try:
            old: Page = parse(stale, self.config.max_series)
        except Refused:
            return ()
        heard = {key for observation in observations for key in observation.sightings}
        return [
            sighting.device
            for table in tables
            for key, sighting in observe(old, table).sightings.items()
            if key not in heard
        ]

    def _authorization(self) -> Mapping[str, str]:
        path = self.config.bearer_token_file
        if not path:
            return {}
        try:
            token = Path(path).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is not ASCII"
            raise Refused(Fault.NOT_PERMITTED, f"bearer_token_file {path} cannot be read: {why}") from None
        if not token.isprintable():
            raise Refused(Fault.NOT_PERMITTED, f"bearer_token_file {path} must hold one line")
        return {"Authorization": f"Bearer {token}"}

    def _about(self, now: float, up: float, seconds: float) -> tuple[Sample, ...]:
        return (
            Sample(vocabulary.EXPORTER_UP, up, now, self._where),
            Sample(vocabulary.SCRAPE_DURATION, seconds, now, self._where),
        )

    def _of_page(self, seen: Seen, now: float) -> tuple[Sample, ...]:
        mapped = sum(one.mapped for one in seen.observations)
        whole = max(one.mapped + one.unmapped for one in seen.observations)
        return (
            Sample(vocabulary.UNMAPPED, float(max(0, whole - mapped)), now, self._where),
            Sample(vocabulary.SILENT, float(len(seen.silent)), now, self._where),
        )

    def _now_in(self, fault: Fault | None, now: float) -> tuple[Sample, ...]:
        """The fault that is, and the one that is over."""
        states = ((self._fault, 0.0), (fault, 1.0)) if fault is not self._fault else ((fault, 1.0),)
        return tuple(
            Sample(vocabulary.EXPORTER_FAULT, value, now, (*self._where, ("reason", known.value)))
            for known, value in states
            if known is not None
        )

    def _went_well(self, seen: Seen) -> None:
        self._ledger.add(health.RECEIVED, 1, _SIGNAL)
        self._ledger.add(health.ACCEPTED, 1, _SIGNAL)
        for field, count in _invalid(seen.observations).items():
            self._ledger.add(health.INVALID_VALUES, count, (("source", SOURCE), ("field", field)))
        where = f"{self.config.origin}{self.config.page_path}"
        if self._fault is not None or not self._was_read:
            back = "is back, " if self._fault is not None else ""
            _log.info("%s: %s%s, %d devices", where, back, seen.title, len(self._readings))
        if bool(seen.silent) != bool(self._silent):
            trouble = (
                f"{len(seen.silent)} devices have only numbers older than {self.config.stale_after_seconds:g} s; is "
                f"the exporter stuck, or its clock wrong?"
            )
            _log.warning("%s: %s", where, trouble if seen.silent else "all devices are told anew again")
        self._fault = None
        self._was_read = True
        self._silent = len(seen.silent)


def _invalid(observations: Sequence[Observation]) -> Mapping[str, int]:
    """What is wrong with the page counts once, however many tables read it."""
    fields = {field for one in observations for field in one.invalid}
    return {field: max(one.invalid.get(field, 0) for one in observations) for field in fields}


def _judge(answer: Answer) -> None:
    """:raises Refused: the status says that this is no page, with what to do about it"""
    status = answer.status
    if status == 200:
        return
    if status in (401, 403, 407):
        raise Refused(Fault.NOT_PERMITTED, f"answers {status}; give the token in `bearer_token_file` or `headers`")
    if status in (404, 405, 501):
        raise Refused(Fault.OFF, f"answers {status}: no metrics page here; set `path`, or check the port")
    if 300 <= status < 400:
        where = clean(answer.location) or "nowhere"
        raise Refused(Fault.REDIRECTED, f"answers {status}, moved to {where}; put that into `url` if it is right")
    if status >= 500:
        raise Refused(Fault.SERVER_ERROR, f"answers {status}; the exporter or the driver under it is in trouble")
    raise Refused(Fault.HTTP_ERROR, f"answers {status}; check `url` and `path`")
