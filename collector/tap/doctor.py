"""What `watchkeeper doctor` finds of the taps: can the port be taken, does the upstream accept a connection."""

import socket
import ssl
from collections.abc import Iterator
from typing import Final

from collector.tap import listening
from collector.tap.config import TapTarget
from watchkeeper.core.errors import ConfigError

_MAX_SECONDS: Final = 3.0


def examine(config: tuple[TapTarget, ...]) -> tuple[str, ...]:
    """One line for each thing found; one that asks for action begins with `! `."""
    found = [f"! {problem}" for problem in listening.problems(config)]
    for index, target in enumerate(config):
        found.extend(_lines(target, f"tap[{index}]"))
    return tuple(found)


def _lines(target: TapTarget, path: str) -> Iterator[str]:
    try:
        listening.listener(target, path).close()
        yield f"{target.host}:{target.port} is free; point clients at it instead of at {target.upstream}"
    except ConfigError as error:
        yield from (f"! {problem}" for problem in error.problems)
    try:
        _reach(target, path)
        yield f"{target.upstream} accepts connections"
    except ssl.SSLError as error:
        yield f"! {path}.upstream: {target.upstream} cannot be trusted ({error.reason}); set ca_file"
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        yield f"! {path}.upstream: {target.upstream} cannot be reached ({why}); is it running, on this port?"
    except ConfigError:
        return  # told before


def _reach(target: TapTarget, path: str) -> None:
    tls = listening.client_tls(target, path)
    address = (target.upstream_host, target.upstream_port)
    with socket.create_connection(address, min(_MAX_SECONDS, target.connect_timeout_seconds)) as plain:
        if tls is not None:
            tls.wrap_socket(plain, server_hostname=target.upstream_host).close()
