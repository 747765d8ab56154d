"""Push of our metrics, findings and traces of ourselves to an OpenTelemetry collector: OTLP over HTTP, protobuf."""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from watchkeeper.core.errors import ConfigError
from watchkeeper.core.hosts import is_host
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary.health import EXPORTER_FAILURES

if TYPE_CHECKING:
    from exporters.otlp.push import OtlpExporter

_PROBE_SECONDS: Final = 2.0
_PORTS: Final = {"http": 80, "https": 443}
Positive = Annotated[float, msgspec.Meta(gt=0)]


class OtlpConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where our own metrics and findings are sent, and how often."""

    enabled: bool = False
    """send our metrics and findings to an OpenTelemetry collector"""
    endpoint: str = ""
    """base address of an OTLP/HTTP receiver (protobuf), needed when enabled; /v1/metrics and so on are appended"""
    headers_file: str = ""
    """file with one `name: value` a line, sent with every request: credentials stay out of this configuration"""
    ca_file: str = ""
    """PEM file of the authority that signed the receiver's certificate; empty uses those that requests brings"""
    client_cert_file: str = ""
    """PEM certificate to show to a receiver that asks for one"""
    client_key_file: str = ""
    """PEM private key of client_cert_file"""
    interval_seconds: Positive = 15.0
    """how often the newest totals are sent"""
    timeout_seconds: Positive = 5.0
    """how long one send may take, tries within it included; also the longest wait at shutdown"""
    compression: Literal["gzip", "none"] = "gzip"
    """compression of what is sent"""
    findings: bool = True
    """send findings as log records (event watchkeeper.finding)"""
    traces: bool = False
    """send traces of watchkeeper's own work (reads, ticks, sends, start and stop), to debug watchkeeper itself"""
    trace_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.01
    """share of that work which is sent; what is slow or fails always is"""
    trace_slow_seconds: Positive = 0.5
    """what takes as long is slow"""
    resource_attributes: dict[str, str] = {}
    """added to, or replacing, service.name (watchkeeper), service.version and service.instance.id (the host's name)"""

    def __post_init__(self) -> None:
        """:raises ValueError: a certificate without its key, or the other way round"""
        if bool(self.client_cert_file) != bool(self.client_key_file):
            raise ValueError("client_cert_file and client_key_file must be set together")


def build(config: OtlpConfig, ledger: Ledger) -> "OtlpExporter":
    """:raises ConfigError: the endpoint is no address, or a file cannot be used"""
    if found := problems(config):
        raise ConfigError(*found)
    endpoint = _endpoint(config).geturl().rstrip("/")
    headers = _headers(config.headers_file)
    from exporters.otlp.push import OtlpExporter

    if config.traces:
        ledger.steps.keep(config.trace_share, config.trace_slow_seconds)
    return OtlpExporter(config, endpoint, headers, ledger)


def problems(config: OtlpConfig) -> tuple[str, ...]:
    """An endpoint that is no address, files that cannot be used."""
    found: list[str] = []
    for look in (lambda: _endpoint(config), lambda: _headers(config.headers_file)):
        try:
            look()
        except ConfigError as error:
            found.extend(error.problems)
    for key in ("ca_file", "client_cert_file", "client_key_file"):
        file: str = getattr(config, key)
        if file and not os.access(file, os.R_OK):
            found.append(f"exporters.otlp.{key}: '{file}' cannot be read; give a readable PEM file")
    return tuple(found)


def probe(config: OtlpConfig) -> tuple[str, ...]:
    """Does anything listen at the endpoint?"""
    try:
        address = _endpoint(config)
        port = address.port or _PORTS[address.scheme]
        socket.create_connection((address.hostname or "", port), timeout=_PROBE_SECONDS).close()
    except ConfigError as error:
        return tuple(f"! {problem}" for problem in error.problems)
    except OSError as error:
        return (
            f"! nothing answers at {config.endpoint} ({error}); start the collector or set exporters.otlp.endpoint",
        )
    return (f"something listens at {config.endpoint}",)


def _endpoint(config: OtlpConfig) -> SplitResult:
    wanted = "give the base address of an OTLP/HTTP receiver, like http://collector:4318"
    try:
        address = urlsplit(config.endpoint)
        usable = address.scheme in _PORTS and is_host(address.hostname or "") and (address.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"exporters.otlp.endpoint: '{config.endpoint}' is no address; {wanted}")
    if "@" in address.netloc:
        raise ConfigError("exporters.otlp.endpoint: holds a password; headers belong in exporters.otlp.headers_file")
    if address.path.rstrip("/").endswith(("/v1/metrics", "/v1/logs", "/v1/traces")):
        raise ConfigError(f"exporters.otlp.endpoint: '{config.endpoint}' names one signal; {wanted}")
    return address


def _headers(file: str) -> dict[str, str]:
    """Header names in lower case. No value is ever shown."""
    if not file:
        return {}
    try:
        lines = Path(file).read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not plain ASCII"
        raise ConfigError(f"exporters.otlp.headers_file: '{file}': {reason}") from None
    headers = {}
    for number, line in enumerate(lines, 1):
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not (colon and name.strip() and value.strip()):
            raise ConfigError(f"exporters.otlp.headers_file: '{file}' line {number}: expected `name: value`")
        headers[name.strip().lower()] = value.strip()
    return headers


PLUGIN: Final = Plugin(
    name="otlp",
    summary="Push of metrics, findings and traces of itself to an OpenTelemetry collector over OTLP/HTTP.",
    config=OtlpConfig,
    build=build,
    metrics=(EXPORTER_FAILURES,),
    roles=("run", "node", "sidecar", "gateway", "detector"),
    problems=problems,
    probe=probe,
)
