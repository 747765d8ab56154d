"""One engine: its state from scrape to scrape, and what one scrape brings."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from collector._pages.fault import REASON, Fault, Refused
from collector._pages.fetch import Answer, fetch
from collector._pages.page import parse
from collector._pages.tls import Certificates
from collector.engines.answers import judge
from collector.engines.config import EngineTarget
from collector.engines.deltas import Deltas
from collector.engines.mapping import MODEL, Observation, labelled, names_model, samples
from collector.engines.paths import Paths
from collector.engines.recognise import Recognised, observe_all, recognise
from collector.engines.table import Question, Table
from watchkeeper.core.labels import clean
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Gap, Labels, Reading, Reason, Sample, SeriesKey
from watchkeeper.core.vocabulary import engines, health

SOURCE: Final = "engines"
_SIGNAL: Final[Labels] = (("source", SOURCE), ("signal", "pages"))
_QUESTIONS_AT_MOST: Final = 3
"""tries to learn the model's name after each start of the engine"""
_ANSWER_BYTES: Final = 1 << 20
_READS_WATCHED: Final = 10
_RESTARTS_AT_MOST: Final = 2
"""within these reads: no engine loads its model more often"""
NOBODY: Final = (Fault.UNREACHABLE, Fault.TIMED_OUT, Fault.BAD_CERTIFICATE)
"""no answer at all: another path would not get one either"""
_ELSEWHERE: Final = (Fault.OFF, Fault.HTML, Fault.JSON, Fault.UNKNOWN_ENGINE)
"""answers that show another server, at a path that had the page before"""

_log = logging.getLogger(f"watchkeeper.source.{SOURCE}")


class Scraped(msgspec.Struct, frozen=True):
    """A page that was understood."""

    recognised: Recognised
    incarnation: float | None


class Target:
    """One task at a time calls `scrape`; everything here belongs to the source's thread."""

    def __init__(self, config: EngineTarget, tables: Sequence[Table], ledger: Ledger) -> None:
        """:raises CertificateError: a certificate of the configuration's cannot be used"""
        self.config = config
        self._tables = tables
        self._ledger = ledger
        self._certificates = Certificates(config)
        self._labels = {
            "service.name": config.name,
            "server.address": config.host,
            "server.port": str(config.port),
            "gen_ai.operation.name": config.operation,
        }
        self._address: Labels = (("server.address", config.host), ("server.port", str(config.port)))
        self.paths = Paths(config.fixed_path, tables)
        self._deltas: Deltas | None = None
        self._fault: Fault | None = None
        self._was_read = False
        self._gauges: frozenset[SeriesKey] = frozenset()
        self._model = config.model
        self._questions = 0
        self._incarnation: float | None = None
        self._anew: deque[bool] = deque(maxlen=_READS_WATCHED)
        self._is_shared = False
        self._due_at = float("-inf")
        for metric in (health.RECEIVED, health.ACCEPTED):
            ledger.add(metric, 0, _SIGNAL)

    def take_turn(self, now: float) -> bool:
        """Whether a scrape is due; the next one is then an interval later, also when the clock was set back."""
        interval = self.config.interval_seconds
        if self._due_at - interval <= now < self._due_at:
            return False
        self._due_at = self._due_at + interval if 0 <= now - self._due_at < interval else now + interval
        return True

    async def scrape(self, session: aiohttp.ClientSession, now: float) -> Reading:
        """Never raises for what an engine can do; a fault of ours passes through to the caller, who calls `failed`."""
        if self._deltas is None:
            self._deltas = Deltas(now, self.config.max_series)
        began = time.perf_counter()
        with self._ledger.steps.timed("scrape", self._address) as step:
            try:
                scraped, cpu_seconds = await self.look(session)
            except Refused as refused:
                step.fail(refused.fault.value)
                return self.failed(refused.fault, refused.detail, now, time.perf_counter() - began)
        seconds = time.perf_counter() - began
        await self._learn_model(session, scraped)
        began_cpu = time.thread_time()
        recognised = scraped.recognised
        observation = observe_all(recognised, {**self._labels, MODEL: self._model})
        advance = self._deltas.advance(observation.totals, now, recognised.families, scraped.incarnation)
        brought = samples(observation, advance.increments, now)
        if advance.reset:
            self._questions = 0
        self._watch_for_several(advance.reset)
        cpu_seconds += time.thread_time() - began_cpu
        fault = self._now_in(None, now)
        self._count(observation)
        self._went_well(recognised, observation)
        return Reading(
            (
                *brought,
                *self._about(now, 1.0, seconds),
                *fault,
                Sample(engines.SCRAPE_CPU, cpu_seconds, now, self._where(engines.SCRAPE_CPU)),
                Sample(engines.UNMAPPED, float(observation.unmapped), now, self._where(engines.UNMAPPED)),
                Sample(engines.RESETS, float(advance.reset), now, self._where(engines.RESETS)),
            ),
            self._vanished(frozenset(observation.gauges)),
            items=1,
        )

    async def look(self, session: aiohttp.ClientSession) -> tuple[Scraped, float]:
        """
        The page, understood, and the processor seconds that took.

        :raises Refused: with what is wrong and what to do
        """
        refusals = []
        for path in self.paths.candidates():
            try:
                found = await self._try(session, path)
            except Refused as refused:
                # what was said, not the error: its traceback would hold this frame, and it the page
                refusals.append(Refused(refused.fault, refused.detail, refused.engine))
                if refused.fault in NOBODY or (self.paths.is_proven(path) and refused.fault not in _ELSEWHERE):
                    break
            else:
                self.paths.found(path)
                return found
        if refusals and refusals[-1].fault in NOBODY:
            self.paths.forget()
        refusal = _most_telling((*self.paths.shunned(), *refusals))
        raise Refused(refusal.fault, refusal.detail, refusal.engine)

    async def _try(self, session: aiohttp.ClientSession, path: str) -> tuple[Scraped, float]:
        try:
            async with asyncio.timeout(self.config.timeout_seconds):
                answer = await self._get(session, path, self.config.max_page_bytes)
        except TimeoutError:
            detail = f"has not answered within {self.config.timeout_seconds:g} s"
            raise Refused(Fault.TIMED_OUT, detail) from None
        shunned = self.paths.shun(path, answer.body) if answer.status == 200 else None
        if shunned is not None:
            raise shunned
        began_cpu = time.thread_time()
        return self._understand(answer), time.thread_time() - began_cpu

    async def ask(self, session: aiohttp.ClientSession, questions: Sequence[Question]) -> str:
        """The first answer that the engine gives to one of `questions`; empty when it gives none."""
        for question in questions:
            try:
                async with asyncio.timeout(self.config.timeout_seconds):
                    answer = await self._get(session, question.path, _ANSWER_BYTES)
                found = question.answer(msgspec.json.decode(answer.body)) if answer.status == 200 else ""
            except (Refused, TimeoutError, msgspec.DecodeError, LookupError, TypeError, RecursionError):
                continue
            if found:
                return clean(found)
        return ""

    def failed(self, fault: Fault, detail: str, now: float, seconds: float) -> Reading:
        """This scrape brought nothing: the engine's gauges go stale, its totals wait."""
        self._ledger.add(health.RECEIVED, 1, _SIGNAL)
        self._ledger.add(health.REJECTED, 1, (*_SIGNAL, ("reason", fault.value)))
        about = (*self._about(now, 0.0, seconds), *self._now_in(fault, now))
        if self._fault is not fault:
            _log.warning("%s%s: %s", self.config.origin, self.paths.current, detail)
        self._fault = fault
        self._questions = 0
        stale = self._gauges or {(engines.RUNNING, self._where(engines.RUNNING))}
        return Reading(about, _gaps(stale, REASON[fault]))

    async def _get(self, session: aiohttp.ClientSession, path: str, max_bytes: int) -> Answer:
        headers = {**self.config.headers, **self._authorization()}
        url = self.config.origin + path
        tls = self._certificates.context()
        try:
            return await fetch(session, url, headers=headers, tls=tls, max_bytes=max_bytes)
        except Refused as refused:
            if refused.fault is not Fault.UNREACHABLE or self.config.names_port:
                raise
            detail = f"{refused.detail} `url` names none, so {self.config.port} was tried"
        raise Refused(Fault.UNREACHABLE, detail)

    def _authorization(self) -> Mapping[str, str]:
        if not self.config.bearer_token_file:
            return {}
        try:
            token = Path(self.config.bearer_token_file).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is not ASCII"
            detail = f"bearer_token_file {self.config.bearer_token_file} cannot be read: {why}"
            raise Refused(Fault.NOT_PERMITTED, detail) from None
        if not token.isprintable():
            detail = f"bearer_token_file {self.config.bearer_token_file} must hold one line"
            raise Refused(Fault.NOT_PERMITTED, detail)
        return {"Authorization": f"Bearer {token}"}

    def _understand(self, answer: Answer) -> Scraped:
        page = parse(judge(answer, self._tables), self.config.max_series)
        recognised = recognise(page, self._tables)
        if recognised is None:
            names = ", ".join(clean(name) for name in list(page.families)[:3]) or "nothing"
            raise Refused(
                Fault.UNKNOWN_ENGINE,
                f"a metrics page of no engine known here (it has {names}); check the port, or switch the engine's own "
                f"metrics on: `watchkeeper engines` says how for each",
            )
        return Scraped(recognised, answer.incarnation)

    async def _learn_model(self, session: aiohttp.ClientSession, scraped: Scraped) -> None:
        if scraped.incarnation != self._incarnation:
            self._questions = 0
        self._incarnation = scraped.incarnation
        views = scraped.recognised.views
        told = self.config.model or any(names_model(view.page, view.table) for view in views)
        if told or self._questions >= _QUESTIONS_AT_MOST:
            return
        self._questions += 1
        model = await self.ask(session, [question for view in views for question in view.table.model])
        if model:
            self._model = model
            self._questions = _QUESTIONS_AT_MOST

    def _about(self, now: float, up: float, seconds: float) -> tuple[Sample, ...]:
        return (
            Sample(engines.ENGINE_UP, up, now, self._where(engines.ENGINE_UP)),
            Sample(engines.SCRAPE_DURATION, seconds, now, self._where(engines.SCRAPE_DURATION)),
        )

    def _now_in(self, fault: Fault | None, now: float) -> tuple[Sample, ...]:
        """The fault that is, and the one that is over."""
        metric = engines.ENGINE_FAULT
        states = ((self._fault, 0.0), (fault, 1.0)) if fault is not self._fault else ((fault, 1.0),)
        return tuple(
            Sample(metric, value, now, labelled(metric, {**self._labels, "reason": known.value}))
            for known, value in states
            if known is not None
        )

    def _where(self, metric: Metric) -> Labels:
        """Labels that hold whether the engine answers or not: a series of the target, not of what it serves."""
        return labelled(metric, self._labels)

    def _vanished(self, gauges: frozenset[SeriesKey]) -> tuple[Gap, ...]:
        """Gaps for gauges that the page no longer has."""
        gone = self._gauges - gauges
        self._gauges = gauges
        return _gaps(gone, Reason.LOST)

    def _watch_for_several(self, reset: bool) -> None:
        """Say it when engines take turns behind one address: what each has counted then passes for new."""
        self._anew.append(reset)
        times = sum(self._anew)
        if times > _RESTARTS_AT_MOST and not self._is_shared:
            _log.warning(
                "%s%s: its totals began anew %d times in %d reads; if several engines share this address, list each "
                "under its own `url`, else their numbers are wrong",
                self.config.origin, self.paths.current, times, len(self._anew),
            )  # fmt: skip
        self._is_shared = times > _RESTARTS_AT_MOST or (self._is_shared and times > 0)

    def _count(self, observation: Observation) -> None:
        self._ledger.add(health.RECEIVED, 1, _SIGNAL)
        self._ledger.add(health.ACCEPTED, 1, _SIGNAL)
        for field, count in observation.invalid.items():
            self._ledger.add(health.INVALID_VALUES, count, (("source", SOURCE), ("field", field)))

    def _went_well(self, recognised: Recognised, observation: Observation) -> None:
        if self._fault is not None or not self._was_read:
            back = "is back, " if self._fault is not None else ""
            _log.info(
                "%s%s: %s%s, %d series mapped, %d not",
                self.config.origin, self.paths.current, back, recognised.title, observation.mapped,
                observation.unmapped,
            )  # fmt: skip
        self._fault = None
        self._was_read = True


def _most_telling(refusals: Sequence[Refused]) -> Refused:
    """That nobody answers, else one by which the engine is known, else one that says more than `nothing is there`."""
    nobody = [refused for refused in refusals if refused.fault in NOBODY]
    by_engine = [refused for refused in refusals if refused.engine]
    telling = [refused for refused in refusals if refused.fault is not Fault.OFF]
    return (*nobody, *by_engine, *telling, *refusals)[0]


def _gaps(gauges: Set[SeriesKey], reason: Reason) -> tuple[Gap, ...]:
    ordered = sorted(gauges, key=lambda key: (key[0].name, key[1]))
    return tuple(Gap(metric, reason, labels, is_one_series=True) for metric, labels in ordered)
