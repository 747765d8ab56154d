"""`watchkeeper health`: ask the watchkeeper of this machine whether it is well, for who has no other way of asking."""

import http.client
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from watchkeeper.agent import config as configuration
from watchkeeper.agent.whereabouts import reached, web_of
from watchkeeper.agent.within import within
from watchkeeper.core.listening import shown

_SECONDS: Final = 3.0
"""for the whole of it"""
_MOST_BYTES: Final = 200
_NAME: Final = "watchkeeper"
"""in `Server` of all that its port answers"""
_MOST_NAME: Final = 60


class Health(NamedTuple):
    """`text`: one line for a person."""

    is_well: bool
    text: str


class _Answer(NamedTuple):
    status: int
    server: str
    said: str


def ask(path: Path | None, environment: Mapping[str, str], question: str = "/healthz") -> Health:
    """
    :param path: the configuration of the one that is asked; None for defaults and `environment`
    :param question: /healthz or /readyz
    :raises ConfigError: the configuration does not say where to ask
    """
    web = web_of(path, environment)
    host = reached(web.host)
    where = f"{shown(host, web.port)}{question}"
    try:
        answer = _answer(host, web, question)
    except (OSError, http.client.HTTPException, UnicodeError) as error:  # the last: no name of a host
        return Health(False, f"{where}: {_why(error)}")
    if answer.server != _NAME:
        other = f"names itself {answer.server[:_MOST_NAME]!a}" if answer.server else "does not say what it is"
        return Health(False, f"{where}: no watchkeeper answers there, but what {other} (with {answer.status})")
    return Health(answer.status == http.client.OK, f"{where}: {answer.status} {answer.said}")


def is_watchkeeper(web: configuration.WebConfig) -> bool:
    """Whether what answers there is one."""
    try:
        return _answer(web.host, web, "/healthz").server == _NAME
    except (OSError, http.client.HTTPException, UnicodeError):
        return False


def _answer(host: str, web: configuration.WebConfig, question: str) -> _Answer:
    """:raises OSError, HTTPException, UnicodeError: there is none"""

    def asked() -> _Answer:
        connection = _connection(host, web)
        try:
            connection.request("GET", question)
            answer = connection.getresponse()
            said = answer.read(_MOST_BYTES).decode(errors="replace").strip()
            return _Answer(answer.status, answer.getheader("Server", ""), said)
        finally:
            connection.close()

    return within(_SECONDS, asked)


def _why(error: Exception) -> str:
    if isinstance(error, http.client.BadStatusLine) and not isinstance(error, http.client.RemoteDisconnected):
        return "what answers there speaks no HTTP"
    return str(error) or type(error).__name__


def _connection(host: str, web: configuration.WebConfig) -> http.client.HTTPConnection:
    if not web.tls:
        return http.client.HTTPConnection(host, web.port, timeout=_SECONDS)
    context = ssl.create_default_context()
    context.check_hostname = False  # its certificate is for the name that others know it by
    context.verify_mode = ssl.CERT_NONE  # nothing is told to it, and nothing but "ok" believed
    return http.client.HTTPSConnection(host, web.port, timeout=_SECONDS, context=context)
