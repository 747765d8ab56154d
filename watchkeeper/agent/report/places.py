"""Where a report reads: references, what was observed, the store."""

import argparse
import os
from pathlib import Path
from typing import Any

import msgspec

from exporters.store import FILE, StoreConfig
from watchkeeper.agent import config as configuration
from watchkeeper.agent import registry
from watchkeeper.agent.references.observations import FOLDER
from watchkeeper.core.errors import ConfigError

_REFERENCES = "references"


class Places(msgspec.Struct, frozen=True):
    references: Path
    observed: Path | None
    store: StoreConfig | None
    """None: none is kept"""
    days_per_alarm: float


def places(options: argparse.Namespace) -> Places:
    """:raises ConfigError: nothing says where references are"""
    root = configuration.root_type(registry.sources(), registry.exporters(), registry.signals(), registry.checks())
    settings: Any = configuration.load(options.config, os.environ, root)
    state = options.state_folder or (Path(settings.state_folder) if settings.state_folder else None)
    if options.state_folder is None and settings.drift.references_folder:
        references = Path(settings.drift.references_folder)
    elif state is not None:
        references = state / _REFERENCES
    else:
        raise ConfigError("state_folder: is not set; give --config FILE or --state-folder FOLDER")
    observed = state / FOLDER if state is not None and (state / FOLDER).is_dir() else None
    return Places(references, observed, _store(settings.exporters.store, state), settings.drift.false_alarm_days)


def _store(config: StoreConfig, state: Path | None) -> StoreConfig | None:
    """What is configured, or the file that lies in the state folder."""
    if not config.url and not config.state_folder and state is not None:
        config = msgspec.structs.replace(config, state_folder=str(state))
    if config.url:
        return config
    return config if config.state_folder and (Path(config.state_folder) / FILE).exists() else None
