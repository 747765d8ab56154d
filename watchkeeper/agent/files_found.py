"""For `watchkeeper doctor`: certificates, tokens, the state folder and references that the configuration names."""

import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from watchkeeper.agent.cautions import unusable
from watchkeeper.agent.config import is_on
from watchkeeper.agent.control import LOOPBACK
from watchkeeper.agent.remark import Remark
from watchkeeper.agent.wiring import references_folder
from watchkeeper.core import tls, tokens
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.tls import Tls

_RENEW_SECONDS: Final = 14 * 86_400.0
_LEAST_FREE_BYTES: Final = 64 << 20
_SECRET: Final = re.compile(r"^(token|headers|canaries|(\w+_)?(password|key|token))_file$")
"""keys that name a file with a secret in it"""


def examine_files(config: Any, plugins: Sequence[Plugin], now: float) -> Iterator[Remark]:
    """
    Changes nothing, and quotes nothing of what the files hold.

    :param plugins: sources; those that are off are left out
    :param now: unix seconds
    """
    for path, section in _listeners(config, plugins):
        yield from _certificate(path, section, now)
    yield from _tokens(config)
    yield from _modes(config)
    yield from _state(config.state_folder)
    yield from _references(config)


def _listeners(config: Any, plugins: Sequence[Plugin]) -> Iterator[tuple[str, Any]]:
    """What listens and can speak TLS, with its path."""
    yield "web", config.web
    if config.control.enabled and not config.control.socket:
        yield "control", config.control
    for plugin in plugins:
        section = getattr(config, plugin.name)
        if config.role in plugin.roles and is_on(section):
            many = enumerate(section) if isinstance(section, tuple) else ()
            for path, one in ((plugin.name, section), *((f"{plugin.name}[{at}]", one) for at, one in many)):
                if isinstance(getattr(one, "tls", None), Tls):
                    yield path, one


def _certificate(path: str, section: Any, now: float) -> Iterator[Remark]:
    secured: Tls = section.tls
    if not secured:
        if not LOOPBACK.fullmatch(section.host):
            text = f"no TLS at {section.host}: what is sent can be read on the way; set {path}.tls"
            yield Remark("note", path, text)
        return
    try:
        ends = tls.expiry(secured, f"{path}.tls")
    except ConfigError as error:
        yield from (Remark("bad", f"{path}.tls", problem) for problem in error.problems)
        return
    day = datetime.fromtimestamp(ends, UTC).date().isoformat()
    if ends <= now:
        yield Remark("bad", f"{path}.tls", f"{secured.certificate_file} is no longer valid since {day}; renew it")
    elif ends < now + _RENEW_SECONDS:
        yield Remark("note", f"{path}.tls", f"{secured.certificate_file} is valid until {day} only; renew it")
    else:
        yield Remark("ok", f"{path}.tls", f"{secured.certificate_file} is valid until {day}")


def _tokens(config: Any) -> Iterator[Remark]:
    """Those of OTLP and the control API are told of by their parts."""
    for path in ("web", "otlp", "control"):
        file: str = getattr(getattr(config, path), "token_file", "")
        named = path == "control"
        if not file or not is_on(getattr(config, path)):
            continue
        try:
            count = len(tokens.read(file, f"{path}.token_file", named=named))
        except ConfigError as error:
            yield from (Remark("bad", f"{path}.token_file", problem) for problem in error.problems)
        else:
            yield Remark("ok", f"{path}.token_file", f"{count} token{'s' if count > 1 else ''} in {file}")


def _modes(config: Any) -> Iterator[Remark]:
    for path, file in sorted(_secret_files(config, "")):
        try:
            mode = os.stat(file).st_mode
        except OSError as error:
            yield Remark("bad", path, f"{file}: {error.strerror}; give a readable file")
            continue
        if not os.access(file, os.R_OK):
            yield Remark("bad", path, f"{file} cannot be read by user {os.geteuid()}; change its owner, group or mode")
        elif mode & stat.S_IWOTH:
            yield Remark("bad", path, f"{file} can be changed by everybody on this machine; chmod o-rwx {file}")
        elif mode & stat.S_IROTH:
            yield Remark("note", path, f"{file} can be read by everybody on this machine; chmod o-rwx {file}")


def _secret_files(section: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(section, tuple):
        for at, one in enumerate(section):
            yield from _secret_files(one, f"{path}[{at}]")
    elif isinstance(section, msgspec.Struct) and is_on(section):
        for name in section.__struct_fields__:
            value, inner = getattr(section, name), f"{path}.{name}".lstrip(".")
            if isinstance(value, str) and value and _SECRET.match(name):
                yield inner, value
            else:
                yield from _secret_files(value, inner)


def _state(folder: str) -> Iterator[Remark]:
    if not folder:
        yield Remark("note", "state_folder", "not set: what is learned of calls does not survive a restart")
        return
    if problem := unusable(folder):
        yield Remark("bad", "state_folder", problem)
        return
    if not os.path.exists(folder):
        yield Remark("note", "state_folder", f"{folder} is not there yet; it is made when there is something to keep")
        return
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE_BYTES:
        yield Remark("bad", "state_folder", f"{folder}: {free >> 20} MiB are free; make room")
    elif os.stat(folder).st_mode & (stat.S_IROTH | stat.S_IXOTH):
        yield Remark("note", "state_folder", f"{folder} is open to everybody on this machine; chmod o-rwx {folder}")
    else:
        yield Remark("ok", "state_folder", f"{folder} can be written, {free >> 30} GiB are free")


def _references(config: Any) -> Iterator[Remark]:
    folder = references_folder(config)
    if not config.drift.enabled or folder is None or config.role == "node":
        return
    from watchkeeper.agent.references.store import References  # brings numpy

    references = References(folder)
    references.refresh()
    for problem in references.problems:
        yield Remark("bad", "references", f"{folder}: {problem}")
    if active := references.active():
        segments = len({segment for segment, _ in active})
        yield Remark("ok", "references", f"in force: {len(active)}, of services and models: {segments}, in {folder}")
    elif not references.problems:
        text = f"none in {folder}: nothing can drift from what is normal; see `watchkeeper reference propose`"
        yield Remark("note", "references", text)
