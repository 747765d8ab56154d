"""From a configuration to what judges: signals, checks and drift around one pipeline, live or replayed."""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from exporters.store import missing_package
from watchkeeper.agent import control
from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.capture import Capture
from watchkeeper.agent.checks import Checks, Running
from watchkeeper.agent.config import is_on, price_list
from watchkeeper.agent.explain import Explainer
from watchkeeper.agent.once import Once
from watchkeeper.agent.pipeline import Pipeline, Write
from watchkeeper.agent.prices import PriceList
from watchkeeper.agent.record import Record, of_configuration
from watchkeeper.agent.signals import Watched
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.fleet import Checkpoint
from watchkeeper.core.interfaces import Later, Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.memory import Recalling
from watchkeeper.core.tls import server_tls

if TYPE_CHECKING:
    from watchkeeper.agent.control.server import ControlServer
    from watchkeeper.agent.drift.drift import Drift
    from watchkeeper.agent.fleet.fleet import Fleet


class Judges(msgspec.Struct, frozen=True):
    """The parts that say something of what sources bring."""

    watched: tuple[Watched, ...]
    running: tuple[Running, ...]

    def close(self) -> None:
        """End the threads of those that have one."""
        for one in self.running:
            if isinstance(one.check, Later):
                one.check.close()


class Wired(msgspec.Struct, frozen=True):
    pipeline: Pipeline
    checks: Checks | None
    drift: "Drift | None"
    fleet: "Fleet | None"


def asked_for(plugins: Sequence[Plugin], sections: Any, role: str) -> list[tuple[Plugin, Any]]:
    """Those that the role and the configuration ask for, each with its section."""
    pairs = [(plugin, getattr(sections, plugin.name)) for plugin in plugins]
    return [(plugin, section) for plugin, section in pairs if role in plugin.roles and is_on(section)]


def built(plugin: Plugin, section: Any, ledger: Ledger, problems: list[str]) -> Any:
    """The part, or None with its problems noted."""
    build: Callable[[Any, Ledger], Any] = plugin.build
    try:
        with ledger.steps.timed(f"build {plugin.name}"):
            return build(section, ledger)
    except ConfigError as error:
        problems.extend(error.problems)
        return None


def judges(
    config: Any, signals: Sequence[Plugin], checks: Sequence[Plugin], ledger: Ledger, problems: list[str]
) -> Judges:
    """Signals and checks that are on; what hinders one is added to `problems`."""
    return Judges(
        tuple(
            Watched(plugin.name, part, plugin.reads, plugin.interval_seconds(section), ledger)
            for plugin, section in asked_for(signals, config.signals, config.role)
            if (part := built(plugin, section, ledger, problems))
        ),
        tuple(
            Running(plugin.name, part, plugin.reads_logprobs)
            for plugin, section in asked_for(checks, config.checks if checks else (), config.role)
            if (part := built(plugin, section, ledger, problems))
        ),
    )


def wire(
    config: Any,
    found: Judges,
    drift: "Drift | None",
    ledger: Ledger,
    writes: Sequence[Write],
    *,
    is_tapped: bool,
    capture: Capture | None = None,
    is_recorded: bool = False,
    fleet: "Fleet | None" = None,
) -> Wired:
    """
    :param is_tapped: calls may be seen by a tap and be reported by somebody else, too
    :param is_recorded: an exporter keeps a record of changes and of what runs
    :raises ConfigError: the price list is no good
    """
    limits = config.limits
    aggregate = Aggregate(ledger, max_series=limits.max_series, max_values_per_label=limits.max_values_per_label)
    checks = Checks(aggregate, ledger, found.running) if found.running else None
    is_judged = bool(found.watched) or drift is not None or fleet is not None
    explainer = Explainer(ledger) if is_judged or is_recorded else None
    pipeline = Pipeline(
        aggregate,
        ledger,
        writes,
        prices=PriceList(price_list(config.cost)),
        once=Once(ledger) if is_tapped else None,
        signals=found.watched,
        checks=checks,
        drift=drift,
        explainer=explainer,
        capture=capture,
        record=_record(config, explainer) if is_recorded else None,
        fleet=fleet,
        pod=config.pod if config.pod.name else None,
    )
    return Wired(pipeline, checks, drift, fleet)


def configured_control(config: Any, environment: Mapping[str, str], ledger: Ledger) -> "ControlServer | None":
    """
    None where it is off.

    :raises ConfigError: it cannot be served as it is configured
    """
    section = config.control
    if not section.enabled:
        return None
    has_store = is_on(config.exporters.store)
    if found := tuple(control.problems(section, has_store=has_store, has_token=control.TOKEN_VARIABLE in environment)):
        raise ConfigError(*found)
    try:
        from watchkeeper.agent.control import tokens
        from watchkeeper.agent.control.handlers import Handlers
        from watchkeeper.agent.control.server import ControlServer
    except ModuleNotFoundError as error:
        raise ConfigError(missing_package(error)) from None

    handlers = Handlers(config.exporters.store, references_folder(config), config.role, config.drift.false_alarm_days)
    admission = tokens.admission(section, environment, ledger)
    return ControlServer(section, admission, handlers.of, tls=server_tls(section.tls, "control", ledger))


def let_recall(parts: Iterable[object], store: Any) -> None:
    """Where the control API is served: parts that show findings ask its store, too. The first copy is read at once."""
    from watchkeeper.agent.control.memory import Memory

    asking = [part for part in parts if isinstance(part, Recalling)]
    if asking:
        memory = Memory(store)
        memory.recall(time.time())
        for part in asking:
            part.recall(memory.recall)


def _record(config: Any, explainer: Explainer | None) -> Record:
    started = of_configuration(config, config.exporters.store.name, time.time())
    return Record([started], references_folder(config), explainer)


def references_folder(config: Any) -> Path | None:
    """Where references are; None where nothing says so."""
    if config.drift.references_folder:
        return Path(config.drift.references_folder)
    return Path(config.state_folder) / "references" if config.state_folder else None


def configured_drift(config: Any, ledger: Ledger, now: float, *, sampled_rows: int = 0) -> "Drift | None":
    """
    None where no folder says what is normal, and none takes what was seen.

    :param sampled_rows: of each segment and hour, for a record that is kept
    """
    section, state = config.drift, Path(config.state_folder) if config.state_folder else None
    folder = references_folder(config)
    if not section.enabled or folder is None:
        return None
    from watchkeeper.agent.drift.drift import Drift  # numpy takes 16 MB
    from watchkeeper.agent.drift.recorder import Recorder
    from watchkeeper.agent.drift.sampler import Sampler
    from watchkeeper.agent.references.store import References

    recorder = None
    if state is not None and section.observed_mebibytes:
        recorder = Recorder(state / "observed", section.observed_mebibytes << 20, ledger)
    return Drift(
        References(folder),
        recorder,
        state / "evidence" if state is not None else None,
        ledger,
        now=now,
        days=section.false_alarm_days,
        tick_seconds=section.tick_seconds,
        max_segments=section.max_segments,
        judges=section.judged == "here" and config.role != "detector",
        sampler=Sampler(sampled_rows, random.Random()) if sampled_rows else None,  # noqa: S311 - which rows is no secret
    )


def configured_fleet(config: Any, ledger: Ledger, keep: Callable[[Checkpoint], None]) -> "Fleet | None":
    """What a detector judges by. None in every other role, and where no folder says what is normal."""
    section, folder = config.drift, references_folder(config)
    if config.role != "detector" or not section.enabled or folder is None:
        return None
    from watchkeeper.agent.fleet.fleet import Fleet
    from watchkeeper.agent.references.store import References

    return Fleet(
        References(folder),
        keep,
        ledger,
        days=section.false_alarm_days,
        tick_seconds=section.tick_seconds,
        grace_seconds=section.grace_seconds,
        kept_every_seconds=section.kept_every_seconds,
    )
