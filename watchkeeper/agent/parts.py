"""The parts that a role and a configuration ask for; what hinders any of them is told at once."""

import os
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from watchkeeper.agent import runbooks
from watchkeeper.agent.capture import Capture, configured_capture
from watchkeeper.agent.supervisor import ExporterGuard, Readings, SourceRunner
from watchkeeper.agent.web import Handler, WebServer
from watchkeeper.agent.wiring import Judges, asked_for, built, configured_control, judges, let_recall
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Plugin, Served
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.tls import server_tls
from watchkeeper.core.tokens import admission

if TYPE_CHECKING:
    from watchkeeper.agent.control.server import ControlServer


class Parts(msgspec.Struct, frozen=True):
    """Built, none started."""

    exporters: tuple[ExporterGuard, ...]
    runners: tuple[SourceRunner, ...]
    judges: Judges
    web: WebServer
    control: "ControlServer | None"
    capture: Capture | None

    @property
    def names(self) -> set[str]:
        """Of sources and exporters."""
        return {guard.name for guard in self.exporters} | {runner.name for runner in self.runners}


def parts_of(
    config: Any,
    sources: Sequence[Plugin],
    exporters: Sequence[Plugin],
    signals: Sequence[Plugin],
    checks: Sequence[Plugin],
    ledger: Ledger,
    readings: Readings,
    is_alive: Callable[[], bool],
) -> Parts:
    """
    :param readings: where sources put what they read
    :param is_alive: whether the pipeline moves, for probes
    :raises ConfigError: every part's problems; nothing keeps running
    """
    problems: list[str] = []
    guards = tuple(
        ExporterGuard(plugin.name, part, ledger)
        for plugin, section in asked_for(exporters, config.exporters, config.role)
        if (part := built(plugin, section, ledger, problems))
    )
    runners = tuple(
        SourceRunner(plugin.name, part, plugin.interval_seconds(section), readings, ledger)
        for plugin, section in asked_for(sources, config, config.role)
        if (part := built(plugin, section, ledger, problems))
    )
    found = judges(config, signals, checks, ledger, problems)
    web = control = capture = None
    with _noted(problems):
        web = _web(config, guards, ledger, is_alive)
    with _noted(problems):
        control = configured_control(config, os.environ, ledger)
    with _noted(problems):
        capture = configured_capture(config.capture, config.checks.secrets if checks else None, ledger)
    if problems or web is None:
        for runner in runners:
            runner.source.close()
        found.close()
        raise ConfigError(*problems)
    if control is not None:
        let_recall([guard.exporter for guard in guards], config.exporters.store)
    return Parts(guards, runners, found, web, control, capture)


def _web(config: Any, guards: Sequence[ExporterGuard], ledger: Ledger, is_alive: Callable[[], bool]) -> WebServer:
    """:raises ConfigError: its address, its certificate or its tokens are no good"""
    routes: dict[str, Handler] = {}
    for guard in guards:
        if isinstance(guard.exporter, Served):
            routes.update(guard.exporter.routes())
    if "/" in routes:  # the page, whose findings name them
        routes.update(runbooks.routes())
    return WebServer(
        config.web.host,
        config.web.port,
        routes,
        is_alive=is_alive,
        tls=server_tls(config.web.tls, "web", ledger, clients=ssl.CERT_OPTIONAL),
        admission=admission(config.web.token_file, "web", ledger),
    )


@contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    """What hinders a part is added to `problems`."""
    try:
        yield
    except ConfigError as error:
        problems.extend(error.problems)
