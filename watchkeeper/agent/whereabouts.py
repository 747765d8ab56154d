"""Where the watchkeeper of a configuration is to be asked, for the commands that ask one that runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from watchkeeper.agent import config as configuration
from watchkeeper.core.errors import ConfigError

_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with


class _WebAlone(msgspec.Struct):
    """What else is in the file is `watchkeeper run`'s to check: a probe that reads all of it takes twice the time."""

    web: configuration.WebConfig = configuration.WebConfig()


def web_of(path: Path | None, environment: Mapping[str, str]) -> configuration.WebConfig:
    """
    :param path: None for defaults and `environment`
    :raises ConfigError: the configuration does not say where to ask
    """
    web: configuration.WebConfig = _sections(path, environment, _WebAlone).web
    _expect_known("web.port", web.port)
    return web


def otlp_of(path: Path | None, environment: Mapping[str, str]) -> Any:
    """
    The section of who takes calls over OTLP/HTTP.

    :param path: None for defaults and `environment`
    :raises ConfigError: none does, or the configuration does not say where
    """
    import collector.otlp

    plugin = collector.otlp.PLUGIN
    wanted = msgspec.defstruct("OtlpAlone", [("otlp", plugin.config, plugin.config()), ("role", str, "run")])
    found: Any = _sections(path, environment, wanted)
    if found.role not in plugin.roles:
        raise ConfigError(f"role: '{found.role}' takes no calls; give --otlp URL of one that does")
    if not found.otlp.enabled:
        raise ConfigError("otlp.enabled: false: no calls are taken; give --otlp URL of one that does")
    _expect_known("otlp.http_port", found.otlp.http_port)
    return found.otlp


def reached(host: str) -> str:
    """Where one that listens on `host` is found: all addresses are also this machine's own."""
    return _LOOPBACK.get(host, host)


def _sections(path: Path | None, environment: Mapping[str, str], wanted: type[msgspec.Struct]) -> Any:
    """:raises ConfigError: what is wanted of the file is not as it should be"""
    document = configuration.read(path) if path else {}
    problems = list(configuration.override(document, environment, {}, wanted))
    if problems:
        raise ConfigError(*problems)
    try:
        return msgspec.convert(document, wanted)
    except msgspec.ValidationError as error:
        first = wanted.__struct_fields__[0]
        raise ConfigError(f"{path or first}: {error}; see watchkeeper check-config") from None


def _expect_known(key: str, port: int) -> None:
    """:raises ConfigError: the kernel chooses it"""
    if port == 0:
        raise ConfigError(f"{key}: 0 is any free port, which nobody knows to ask; set {key}")
