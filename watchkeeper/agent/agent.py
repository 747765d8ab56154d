"""One running watchkeeper: the parts of a role, wired to a pipeline, started and drained in order."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from watchkeeper import __version__
from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.checks import Checks, Running
from watchkeeper.agent.config import is_on, price_list
from watchkeeper.agent.explain import Explainer
from watchkeeper.agent.once import Once
from watchkeeper.agent.pipeline import Pipeline
from watchkeeper.agent.prices import PriceList
from watchkeeper.agent.process import ProcessMeter
from watchkeeper.agent.signals import Watched
from watchkeeper.agent.supervisor import ExporterGuard, Failures, Readings, SourceRunner
from watchkeeper.agent.web import Handler, WebServer
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Later, Plugin, Served
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import health

if TYPE_CHECKING:
    from watchkeeper.agent.drift.drift import Drift

_LOG = logging.getLogger("watchkeeper")
_SOURCES_SHARE: Final = 0.5
_PIPELINE_SHARE: Final = 0.7
"""of shutdown_seconds: by then the sources, and by then the pipeline, have to be done"""
_STALLED_SECONDS: Final = 60.0
_READINGS_HELD: Final = 64
"""readings waiting for the pipeline; past it sources wait, their inboxes fill and senders are refused"""


class Agent:
    """
    Builds every part that the role and the configuration ask for.

    :raises ConfigError: every part's problems at once; nothing keeps running
    """

    def __init__(
        self,
        config: Any,
        sources: tuple[Plugin, ...],
        exporters: tuple[Plugin, ...],
        signals: tuple[Plugin, ...] = (),
        checks: tuple[Plugin, ...] = (),
    ) -> None:
        self._config = config
        prices = PriceList(price_list(config.cost))
        self._ledger = Ledger()
        self._readings: Readings = queue.Queue(_READINGS_HELD)
        self._stopping = threading.Event()
        problems: list[str] = []
        self._exporters = [
            ExporterGuard(plugin.name, part, self._ledger)
            for plugin, section in self._asked_for(exporters, config.exporters)
            if (part := _build(plugin, section, self._ledger, problems))
        ]
        routes: dict[str, Handler] = {}
        for guard in self._exporters:
            if isinstance(guard.exporter, Served):
                routes.update(guard.exporter.routes())
        self._runners = [
            SourceRunner(plugin.name, part, plugin.interval_seconds(section), self._readings, self._ledger)
            for plugin, section in self._asked_for(sources, config)
            if (part := _build(plugin, section, self._ledger, problems))
        ]
        watched = [
            Watched(plugin.name, part, plugin.reads, plugin.interval_seconds(section), self._ledger)
            for plugin, section in self._asked_for(signals, config.signals)
            if (part := _build(plugin, section, self._ledger, problems))
        ]
        running = [
            Running(plugin.name, part, plugin.reads_logprobs)
            for plugin, section in self._asked_for(checks, config.checks if checks else ())
            if (part := _build(plugin, section, self._ledger, problems))
        ]
        try:
            self._web = WebServer(config.web.host, config.web.port, routes, is_alive=self.is_alive)
        except ConfigError as error:
            problems.extend(error.problems)
        if problems:
            for runner in self._runners:
                runner.source.close()
            for one in running:
                if isinstance(one.check, Later):
                    one.check.close()
            raise ConfigError(*problems)
        aggregate = Aggregate(
            self._ledger,
            max_series=config.limits.max_series,
            max_values_per_label=config.limits.max_values_per_label,
        )
        writes = [guard.write for guard in self._exporters]
        has_tap = any(runner.name == "tap" for runner in self._runners)
        once = Once(self._ledger) if has_tap else None
        self._drift = _drift(config, self._ledger, time.time())
        self._checks = Checks(aggregate, self._ledger, running) if running else None
        self._pipeline = Pipeline(
            aggregate,
            self._ledger,
            writes,
            prices=prices,
            once=once,
            signals=watched,
            checks=self._checks,
            drift=self._drift,
            explainer=Explainer(self._ledger) if watched or self._drift else None,
        )
        self._process = ProcessMeter(self._ledger, time.time(), __version__, config.role)
        self._failures = Failures("agent", "pipeline", self._count)
        self._ticked_at = time.monotonic()
        self._tick_seconds: float = config.tick_seconds
        self._shutdown_seconds: float = config.shutdown_seconds
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)

    @property
    def url(self) -> str:
        return self._web.url

    def is_alive(self) -> bool:
        """Whether the pipeline still moves: what liveness probes ask for."""
        return time.monotonic() - self._ticked_at < _STALLED_SECONDS + self._tick_seconds

    def start(self) -> None:
        """Take traffic. Ready once everything listens and the first tick is out."""
        self._tick()
        self._web.start()
        for runner in self._runners:
            runner.start()
        self._thread.start()
        self._web.set_ready(True)

    def stop(self) -> None:
        """Refuse new work, carry what was acknowledged to the exporters, close. Bounded by shutdown_seconds."""
        started, budget = time.monotonic(), self._shutdown_seconds

        def left(share: float) -> float:
            return max(0.05, started + share * budget - time.monotonic())

        self._web.set_ready(False)
        for runner in self._runners:
            runner.stop()
        late = [runner.name for runner in self._runners if not runner.join(left(_SOURCES_SHARE))]
        self._stopping.set()
        self._thread.join(left(_PIPELINE_SHARE))
        if self._checks is not None:
            self._checks.close()
        if self._drift is not None:
            self._drift.close(time.time())
        late += [guard.name for guard in self._exporters if not guard.close(left(1.0))]
        if late:
            _LOG.warning("stopped without waiting for %s: shutdown_seconds (%g) were over", ", ".join(late), budget)
        self._web.stop()

    def _asked_for(self, plugins: tuple[Plugin, ...], sections: Any) -> list[tuple[Plugin, Any]]:
        pairs = [(plugin, getattr(sections, plugin.name)) for plugin in plugins]
        return [(plugin, section) for plugin, section in pairs if self._config.role in plugin.roles and is_on(section)]

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._readings.empty()):
            self._failures.attempt(self._accept)
            if time.monotonic() >= self._ticked_at + self._tick_seconds:
                self._failures.attempt(self._tick)
        self._failures.attempt(lambda: self._pipeline.settle(time.time()))
        self._failures.attempt(self._tick)

    def _accept(self) -> None:
        wait_seconds = self._ticked_at + self._tick_seconds - time.monotonic()
        try:
            name, reading = self._readings.get(timeout=max(0.0, wait_seconds))
        except queue.Empty:
            return
        self._pipeline.accept(name, reading, time.time())

    def _tick(self) -> None:
        self._ticked_at = time.monotonic()
        for runner in self._runners:
            runner.report(time.monotonic())
        self._process.report()
        self._pipeline.tick(time.time())

    def _count(self, reason: str) -> None:
        self._ledger.add(health.PIPELINE_FAILURES, 1, (("reason", reason),))


def _drift(config: Any, ledger: Ledger, now: float) -> "Drift | None":
    """None where no folder says what is normal, and none takes what was seen."""
    section, state = config.drift, Path(config.state_folder) if config.state_folder else None
    if not section.enabled or not (state or section.references_folder):
        return None
    from watchkeeper.agent.drift.drift import Drift  # numpy takes 16 MB
    from watchkeeper.agent.drift.recorder import Recorder
    from watchkeeper.agent.references.store import References

    folder = Path(section.references_folder or f"{config.state_folder}/references")
    recorder = None
    if state is not None and section.observed_mebibytes:
        recorder = Recorder(state / "observed", section.observed_mebibytes << 20, ledger, now)
    return Drift(
        References(folder),
        recorder,
        state / "evidence" if state is not None else None,
        ledger,
        now=now,
        days=section.false_alarm_days,
        tick_seconds=section.tick_seconds,
        max_segments=section.max_segments,
    )


def _build(plugin: Plugin, section: Any, ledger: Ledger, problems: list[str]) -> Any:
    """The part, or None with its problems noted."""
    build: Callable[[Any, Ledger], Any] = plugin.build
    try:
        return build(section, ledger)
    except ConfigError as error:
        problems.extend(error.problems)
        return None
