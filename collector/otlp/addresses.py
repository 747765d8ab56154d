"""Where the receivers listen."""

import socket

from collector.otlp.config import OtlpConfig
from watchkeeper.core import listening
from watchkeeper.core.errors import ConfigError


def http_listener(config: OtlpConfig) -> socket.socket:
    """:raises ConfigError: the port cannot be taken"""
    return _listener(config, config.http_port, "otlp.http_port")


def problems(config: OtlpConfig) -> tuple[str, ...]:
    """One line for each port that cannot be taken now."""
    found: list[str] = []
    for key, port in (("otlp.http_port", config.http_port), ("otlp.grpc_port", config.grpc_port)):
        try:
            _listener(config, port, key).close()
        except ConfigError as error:
            found.extend(error.problems)
    return tuple(dict.fromkeys(found))


def _listener(config: OtlpConfig, port: int, key: str) -> socket.socket:
    return listening.listening(config.host, port, host_key="otlp.host", port_key=key)
