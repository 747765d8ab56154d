"""The control API: what people and their tools ask of the record, and do to it. See docs/control-api.md."""

import re
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec

from watchkeeper.core import tls
from watchkeeper.core.tls import Tls

TOKEN_VARIABLE: Final = "WATCHKEEPER_CONTROL_TOKEN"  # noqa: S105 - the name of a variable
LOOPBACK: Final = re.compile(r"localhost|127\.[0-9.]+|::1")


class ControlConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A port of its own for findings, references, inventory and the audit log. Needs the store."""

    enabled: bool = False
    """serve the control API"""
    host: str = "127.0.0.1"
    """address to listen on; any but this machine's own loopback needs a token"""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 9465
    """0 takes any free port and logs it"""
    socket: str = ""
    """path of a unix socket to listen on, instead of host and port; its owner alone may use it"""
    token_file: str = ""
    """file with a line `name: token` for each who may write; or WATCHKEEPER_CONTROL_TOKEN in the environment has one"""
    tls: Tls = Tls()
    """TLS of host and port"""
    max_connections: Annotated[int, msgspec.Meta(ge=1)] = 64
    """open at once; further ones are told to come again"""
    request_seconds: Annotated[float, msgspec.Meta(ge=1, le=600)] = 30.0
    """how long a request may take to arrive, and its answer to be made, and to be taken"""

    @property
    def is_local(self) -> bool:
        """Nobody from another machine gets here."""
        return bool(self.socket) or LOOPBACK.fullmatch(self.host) is not None


def is_loopback(host: str) -> bool:
    """
    Whether a `Host` is a name of loopback. A page of another origin that had its name point here would send that name.

    >>> is_loopback("[::1]:9464"), is_loopback("localhost"), is_loopback("rebound.example:9465")
    (True, True, False)
    """
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return LOOPBACK.fullmatch(name) is not None


def problems(config: ControlConfig, *, has_store: bool, has_token: bool) -> Iterator[str]:
    """
    What must be changed before it can be served.

    :param has_token: in the environment
    """
    if not config.enabled:
        return
    if not has_store:
        yield "control.enabled: what it answers from is the store; set exporters.store.enabled: true"
    if config.socket and config.tls:
        yield "control.tls: control.socket speaks no TLS; its owner alone may use it: leave control.tls out"
    yield from tls.problems(config.tls, "control.tls")
    if not config.is_local and not config.token_file and not has_token:
        yield (
            f"control.host: {config.host} can be reached from elsewhere and no token is set; set control.token_file or "
            f"{TOKEN_VARIABLE}, or listen on 127.0.0.1"
        )
