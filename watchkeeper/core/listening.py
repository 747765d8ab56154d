"""Sockets to listen on, and what to tell the operator when an address cannot be taken."""

import errno
import os
import socket
from typing import Final

from watchkeeper.core.errors import ConfigError

ALL_ADDRESSES: Final = "::"
"""of both families"""
IN_USE: Final = "is in use by another process"


def listening(host: str, port: int, *, host_key: str, port_key: str, backlog: int = 1024) -> socket.socket:
    """
    A TCP socket that listens on the address; on a port of the kernel's choice when `port` is 0.

    :param host_key: of the configuration, to name to the operator; `port_key` likewise
    :raises ConfigError: names the address and the key to change
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        raise ConfigError(
            f"{host_key}: {host!r} is not an address; set {host_key} to one of this machine, such as 127.0.0.1"
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != ALL_ADDRESSES)
        listener.bind(address)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise ConfigError(_explain(error, shown(host, port), host_key, port_key)) from None
    return listener


def shown(host: str, port: int) -> str:
    """`host:port`, with the brackets that an IPv6 address needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _explain(error: OSError, address: str, host_key: str, port_key: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{port_key}: {address} {IN_USE}; stop it or set {port_key}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host_key}: {address} is not an address of this machine; set {host_key}, 0.0.0.0 for all addresses"
    if error.errno == errno.EACCES:
        return f"{port_key}: {address} needs more rights than this process has; set {port_key} to 1024 or higher"
    why = os.strerror(error.errno) if error.errno else str(error)
    return f"{port_key}: {address} cannot be bound ({why}); set {port_key} or {host_key}"
