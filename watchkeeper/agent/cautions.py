"""What is wrong with a configuration, and hinders nothing: `run` goes on with it and loses something by it."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from watchkeeper.agent.config import is_on
from watchkeeper.agent.remark import Remark
from watchkeeper.core.interfaces import Plugin


def cautions(config: Any, exporters: Sequence[Plugin]) -> Iterator[Remark]:
    """All of them, by key. Makes nothing; what it says of folders is true of this machine and this user."""
    yield from narrower(config, exporters)
    if config.state_folder.startswith("~"):
        text = f"'{config.state_folder}': nobody's home is put in place of '~', which is a folder here; write it out"
        yield Remark("bad", "state_folder", text)
    elif problem := unusable(config.state_folder):
        text = f"{problem}; without it, what must survive a restart is lost. Do so where watchkeeper is to run"
        yield Remark("bad", "state_folder", text)


def narrower(config: Any, exporters: Sequence[Plugin]) -> Iterator[Remark]:
    """Exporters that take fewer series than are held."""
    held = config.limits.max_series
    for plugin in exporters:
        section = getattr(config.exporters, plugin.name)
        taken = getattr(section, "max_series", held)
        if config.role in plugin.roles and is_on(section) and taken < held:
            key = f"exporters.{plugin.name}.max_series"
            text = f"{held} series may be held, and {key} takes {taken} of them; raise that, or lower this"
            yield Remark("note", "limits.max_series", text)


def unusable(folder: str) -> str:
    """Why this user can neither write into the folder nor make it, and what to do; empty where nothing hinders."""
    if not folder:
        return ""
    path = Path(folder).absolute()
    there = next(
        one for one in (path, *path.parents) if os.path.exists(one)
    )  # Path.exists raises where it may not look
    if not there.is_dir():
        what = "is not a folder" if there == path else f"cannot be made: '{there}' is not a folder"
        return f"'{folder}' {what}; give another"
    if os.access(there, os.W_OK | os.X_OK | (os.R_OK if there == path else 0)):
        return ""
    if there == path:
        return f"'{folder}' cannot be written by user {os.geteuid()}; change its owner, or give another"
    return f"'{folder}' cannot be made in '{there}' by user {os.geteuid()}; make it for that user, or give another"
