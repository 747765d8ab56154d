"""`watchkeeper doctor`: what is here, what is not, and what to do about it."""

import ctypes
import os
import platform
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from watchkeeper import __version__
from watchkeeper.agent import registry
from watchkeeper.agent.cautions import narrower
from watchkeeper.agent.config import WebConfig, is_on
from watchkeeper.agent.files_found import examine_files
from watchkeeper.agent.health import is_watchkeeper
from watchkeeper.agent.remark import Remark
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.hiding import without_credentials
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.listening import IN_USE, listening, shown

_TIME_ERROR: Final = 5
"""adjtimex(2): the clock is not synchronised"""


def examine(config: Any, sources: Sequence[Plugin], exporters: Sequence[Plugin]) -> Iterator[Remark]:
    """Look at this machine with this configuration. Changes nothing."""
    yield Remark("ok", "watchkeeper", f"{__version__} on Python {platform.python_version()}, {platform.platform()}")
    yield from _packages()
    yield from clock(time.time())
    web = _web_port(config.web)
    yield web
    yield from examine_files(config, sources, time.time())
    yield from narrower(config, exporters)
    for plugin, section in (
        *((plugin, getattr(config, plugin.name)) for plugin in sources),
        *(
            (msgspec.structs.replace(plugin, name=f"exporters.{plugin.name}"), getattr(config.exporters, plugin.name))
            for plugin in exporters
        ),
    ):
        if config.role not in plugin.roles:
            continue
        if not is_on(section):
            yield Remark(
                "note", plugin.name, f"off; `{plugin.name}` in the configuration turns it on. {plugin.summary}"
            )
            continue
        for line in plugin.probe(section) or ("on",):
            yield _probed(plugin.name, line, beside_another=web.mark == "note")


def verdict(remarks: Sequence[Remark]) -> str:
    """The last line: what asks for action, by subject."""
    subjects = dict.fromkeys(remark.subject for remark in remarks if remark.mark == "bad")
    return f"To act on: {', '.join(subjects)} (bad above)" if subjects else "Nothing to act on."


def _probed(subject: str, line: str, *, beside_another: bool) -> Remark:
    """A port in use is no fault where a watchkeeper runs already, which will be whose it is."""
    text = without_credentials(line.lstrip("! "))
    if not line.startswith("!"):
        return Remark("ok", subject, text)
    if beside_another and IN_USE in text:
        return Remark(
            "note",
            subject,
            f"{text.partition(IN_USE)[0]}is in use, by the watchkeeper that runs if it has this configuration",
        )
    return Remark("bad", subject, text)


def _packages() -> Iterator[Remark]:
    problems = registry.shadowed()
    for problem in problems:
        yield Remark("bad", "packages", problem)
    if not problems:
        yield Remark("ok", "packages", f"none hides ours ({', '.join(registry.PACKAGES)})")
    from google.protobuf.internal import api_implementation

    if (kind := api_implementation.Type()) != "upb":
        yield Remark(
            "bad",
            "protobuf",
            f"the {kind} backend is in use, hundreds of times slower; unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION",
        )


def clock(now: float) -> Iterator[Remark]:
    if now < 1_700_000_000:
        yield Remark("bad", "clock", "stands before 2023; records will be refused by Prometheus: set the clock")
        return
    buffer = ctypes.create_string_buffer(512)  # struct timex, all zero: read only
    try:
        state = ctypes.CDLL(None).adjtimex(buffer)
    except (AttributeError, OSError):
        yield Remark("note", "clock", "whether it is synchronised cannot be told on this system")
        return
    if state == _TIME_ERROR:
        yield Remark("note", "clock", "the kernel does not know it as synchronised; check chrony or systemd-timesyncd")
    else:
        yield Remark("ok", "clock", "synchronised" if state >= 0 else "read, state unknown")


def _web_port(web: WebConfig) -> Remark:
    try:
        listening(web.host, web.port, host_key="web.host", port_key="web.port").close()
    except ConfigError as error:
        if is_watchkeeper(web):
            scheme = "https" if web.tls else "http"
            return Remark("note", "web", f"a watchkeeper runs here already: {scheme}://{shown(web.host, web.port)}/")
        return Remark("bad", "web", str(error))
    return Remark("ok", "web", f"{shown(web.host, web.port)} is free")


_COLOURS: Final = {"ok": "32", "note": "33", "bad": "31"}


def show(remarks: Sequence[Remark]) -> str:
    """One line a remark, wrapped to the terminal, coloured on one."""
    colour, width = in_colour(), terminal_width()
    column = max((len(remark.subject) for remark in remarks), default=0)
    lines = []
    for remark in remarks:
        mark = f"\x1b[{_COLOURS[remark.mark]}m{remark.mark:<5}\x1b[0m" if colour else f"{remark.mark:<5}"
        first, *rest = wrap(remark.text, width - column - 8)
        lines.append(f"{mark} {remark.subject:<{column}} {first}")
        lines.extend(f"{'':<{column + 6}} {line}" for line in rest)
    return "\n".join(lines)


def in_colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def terminal_width() -> int:
    return max(40, shutil.get_terminal_size().columns)


def wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
