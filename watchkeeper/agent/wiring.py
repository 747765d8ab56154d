"""From a configuration to what judges: signals, checks and drift around one pipeline, live or replayed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.capture import Capture
from watchkeeper.agent.checks import Checks, Running
from watchkeeper.agent.config import is_on, price_list
from watchkeeper.agent.explain import Explainer
from watchkeeper.agent.once import Once
from watchkeeper.agent.pipeline import Pipeline, Write
from watchkeeper.agent.prices import PriceList
from watchkeeper.agent.signals import Watched
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Later, Plugin
from watchkeeper.core.ledger import Ledger

if TYPE_CHECKING:
    from watchkeeper.agent.drift.drift import Drift


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
) -> Wired:
    """
    :param is_tapped: calls may be seen by a tap and be reported by somebody else, too
    :raises ConfigError: the price list is no good
    """
    limits = config.limits
    aggregate = Aggregate(ledger, max_series=limits.max_series, max_values_per_label=limits.max_values_per_label)
    checks = Checks(aggregate, ledger, found.running) if found.running else None
    pipeline = Pipeline(
        aggregate,
        ledger,
        writes,
        prices=PriceList(price_list(config.cost)),
        once=Once(ledger) if is_tapped else None,
        signals=found.watched,
        checks=checks,
        drift=drift,
        explainer=Explainer(ledger) if found.watched or drift is not None else None,
        capture=capture,
    )
    return Wired(pipeline, checks, drift)


def configured_drift(config: Any, ledger: Ledger, now: float) -> "Drift | None":
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
    )
