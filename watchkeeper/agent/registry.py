"""Every part there is, by kind. The packages' own lists are the truth; nothing registers itself."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import watchkeeper
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Plugin

PACKAGES: Final = ("collector", "detectors", "exporters", "dashboards")


def shadowed() -> tuple[str, ...]:
    """One line for each of our top-level packages that another package of the same name hides."""
    ours = Path(watchkeeper.__file__).resolve().parent.parent
    lines = []
    for name in PACKAGES:
        spec = find_spec(name)
        found = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if found != ours / name:
            lines.append(
                f"package `{name}`: {found or 'not found'} hides watchkeeper's own ({ours / name}); "
                "install watchkeeper into an environment of its own"
            )
    return tuple(lines)


def sources() -> tuple[Plugin, ...]:
    """:raises ConfigError: a foreign package hides one of ours"""
    _own_packages()
    import collector

    return collector.PLUGINS


def exporters() -> tuple[Plugin, ...]:
    """:raises ConfigError: a foreign package hides one of ours"""
    _own_packages()
    import exporters

    return exporters.PLUGINS


def signals() -> tuple[Plugin, ...]:
    """:raises ConfigError: a foreign package hides one of ours"""
    _own_packages()
    from detectors import signals

    return signals.PLUGINS


def checks() -> tuple[Plugin, ...]:
    """:raises ConfigError: a foreign package hides one of ours"""
    _own_packages()
    from detectors import checks

    return checks.PLUGINS


def _own_packages() -> None:
    problems = shadowed()
    if problems:
        raise ConfigError(*problems)
