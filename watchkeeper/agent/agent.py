"""One running watchkeeper: the parts of a role, wired to a pipeline, started and drained in order."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from watchkeeper import __version__
from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.config import is_on
from watchkeeper.agent.pipeline import Pipeline
from watchkeeper.agent.process import ProcessMeter
from watchkeeper.agent.supervisor import ExporterGuard, Readings, SourceRunner
from watchkeeper.agent.web import Handler, WebServer
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Plugin, Served
from watchkeeper.core.ledger import Ledger

_LOG = logging.getLogger("watchkeeper")
_READINGS_HELD: Final = 64
"""readings waiting for the pipeline; past it sources wait, their inboxes fill and senders are refused"""


class Agent:
    """
    Builds every part that the role and the configuration ask for.

    :raises ConfigError: every part's problems at once; nothing keeps running
    """

    def __init__(self, config: Any, sources: tuple[Plugin, ...], exporters: tuple[Plugin, ...]) -> None:
        self._config = config
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
        try:
            self._web = WebServer(config.web.host, config.web.port, routes)
        except ConfigError as error:
            problems.extend(error.problems)
        if problems:
            for runner in self._runners:
                runner.source.close()
            raise ConfigError(*problems)
        aggregate = Aggregate(
            self._ledger,
            max_series=config.limits.max_series,
            max_values_per_label=config.limits.max_values_per_label,
        )
        self._pipeline = Pipeline(aggregate, self._ledger, [guard.write for guard in self._exporters])
        self._process = ProcessMeter(self._ledger, time.time(), __version__, config.role)
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)

    @property
    def url(self) -> str:
        return self._web.url

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
        deadline = time.monotonic() + self._config.shutdown_seconds
        self._web.set_ready(False)
        for runner in self._runners:
            runner.stop(max(0.1, deadline - time.monotonic()))
        self._stopping.set()
        self._thread.join(max(0.1, deadline - time.monotonic()))
        for guard in self._exporters:
            guard.close()
        self._web.stop()

    def _asked_for(self, plugins: tuple[Plugin, ...], sections: Any) -> list[tuple[Plugin, Any]]:
        pairs = [(plugin, getattr(sections, plugin.name)) for plugin in plugins]
        return [(plugin, section) for plugin, section in pairs if self._config.role in plugin.roles and is_on(section)]

    def _run(self) -> None:
        tick_at = time.monotonic() + self._config.tick_seconds
        while not (self._stopping.is_set() and self._readings.empty()):
            try:
                wait_seconds = max(0.0, tick_at - time.monotonic())
                self._pipeline.accept(*self._readings.get(timeout=wait_seconds), time.time())  # no name keeps the text
            except queue.Empty:
                pass
            if time.monotonic() >= tick_at:
                self._tick()
                tick_at = time.monotonic() + self._config.tick_seconds
        self._tick()

    def _tick(self) -> None:
        for runner in self._runners:
            runner.report(time.monotonic())
        self._process.report()
        self._pipeline.tick(time.time())


def _build(plugin: Plugin, section: Any, ledger: Ledger, problems: list[str]) -> Any:
    """The part, or None with its problems noted."""
    build: Callable[[Any, Ledger], Any] = plugin.build
    try:
        return build(section, ledger)
    except ConfigError as error:
        problems.extend(error.problems)
        return None
