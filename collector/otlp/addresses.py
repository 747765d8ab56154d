"""Where the receivers listen, and what to tell the operator when they cannot."""

import errno
import socket
from typing import Final

from collector.otlp.config import OtlpConfig
from watchkeeper.core.errors import ConfigError

_BACKLOG: Final = 1024


def listening(host: str, port: int, key: str) -> socket.socket:
    """
    A TCP socket that listens on the address; on a port of the kernel's choice when `port` is 0.

    :raises ConfigError: names the address and the key to change
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        raise ConfigError(
            f"otlp.host: {host!r} is not an address; set otlp.host to one of this machine, such as 127.0.0.1"
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(_explain(error, shown(host, port), key)) from None
    return listener


def shown(host: str, port: int) -> str:
    """`host:port`, with the brackets that an IPv6 address needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def problems(config: OtlpConfig) -> tuple[str, ...]:
    """One line for each port that cannot be taken now."""
    found: list[str] = []
    for key, port in (("otlp.http_port", config.http_port), ("otlp.grpc_port", config.grpc_port)):
        try:
            listening(config.host, port, key).close()
        except ConfigError as error:
            found.extend(error.problems)
    return tuple(dict.fromkeys(found))


def _explain(error: OSError, address: str, key: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{key}: {address} is in use by another process; stop it or set {key}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"otlp.host: {address} is not an address of this machine; set otlp.host, 0.0.0.0 for all addresses"
    if error.errno == errno.EACCES:
        return f"{key}: {address} needs more rights than this process has; set {key} to 1024 or higher"
    return f"{key}: {address} cannot be bound ({error.strerror}); set {key} or otlp.host"
