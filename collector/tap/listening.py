"""Where a tap listens and how its upstream is trusted; one line for what cannot be."""

import errno
import os
import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from collector.tap.config import TapTarget
from watchkeeper.core import tls
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.listening import IN_USE
from watchkeeper.core.tls import ServerTls

_BACKLOG: Final = 4096
_OWN_DESCRIPTORS: Final = 256
"""left to the rest of watchkeeper"""


def listener(target: TapTarget, path: str) -> socket.socket:
    """:raises ConfigError: the address cannot be taken"""
    shown = f"{target.host}:{target.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            target.host, target.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        raise ConfigError(f"{path}.host: '{target.host}' is not an address of this machine") from None
    taken = socket.socket(family, kind, protocol)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
        taken.listen(_BACKLOG)
        taken.setblocking(False)
    except OSError as error:
        taken.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"{path}.port: {shown} {IN_USE}; stop it or set another") from None
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigError(f"{path}.port: cannot listen on {shown} ({why}); set port or host") from None
    return taken


def server_tls(target: TapTarget, path: str, ledger: Ledger) -> ServerTls | None:
    """
    For clients; None: they speak plain HTTP.

    :raises ConfigError: the files are no good
    """
    asks = bool(target.tls.client_ca_file)
    oldest = ssl.TLSVersion.TLSv1_3 if asks else ssl.TLSVersion.TLSv1_2
    return tls.server_tls(target.tls, path, ledger, protocols=("http/1.1",), oldest=oldest)


def client_tls(target: TapTarget, path: str) -> ssl.SSLContext | None:
    """
    Towards the upstream; None: plain HTTP.

    :raises ConfigError: `ca_file` is no good
    """
    if not target.is_secure:
        return None
    try:
        context = ssl.create_default_context(cafile=target.ca_file or None)
    except OSError as error:
        why = (None if isinstance(error, ssl.SSLError) else error.strerror) or "not a PEM certificate"
        raise ConfigError(f"{path}.ca_file: {target.ca_file}: {why}; give a readable PEM file") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def problems(config: tuple[TapTarget, ...]) -> Iterator[str]:
    """Mistakes that can be told without opening a socket."""
    for index, target in enumerate(config):
        path = f"tap[{index}]"
        if target.upstream_port == target.port and _overlap(target.host, target.upstream_host):
            yield f"{path}.upstream: {target.upstream} is the tap itself; name the engine's port"
        yield from tls.problems(target.tls, f"{path}.tls")
        try:
            client_tls(target, path)
        except ConfigError as error:
            yield from error.problems


def connection_limit() -> int:
    """
    Client connections for which there are file descriptors, two for each, with those of the process's hard limit: the
    soft limit is raised to it, as the runtimes of other languages do.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    if soft == resource.RLIM_INFINITY:
        return 1 << 20
    return max(16, (soft - _OWN_DESCRIPTORS) // 2)


_ANY: Final = frozenset(("0.0.0.0", "::", ""))  # noqa: S104 - compared with
_HERE: Final = frozenset(("127.0.0.1", "localhost", "::1"))


def _overlap(one: str, other: str) -> bool:
    if one == other:
        return True
    said = {one, other}
    return said <= _ANY | _HERE and bool(said & {*_ANY, "localhost"})
