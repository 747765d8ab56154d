"""TLS of both ports, from the same PEM files."""

import ssl
from pathlib import Path

import grpc

from collector.otlp.config import OtlpConfig
from watchkeeper.core.errors import ConfigError


def http_context(config: OtlpConfig) -> ssl.SSLContext | None:
    """
    None: no certificate is set, the port speaks plain HTTP.

    :raises ConfigError: a file cannot be read, is not PEM, or the key is not the certificate's
    """
    problems = file_problems(config)
    if problems:
        raise ConfigError(*problems)
    if not config.tls_certificate_file:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tls_certificate_file, config.tls_key_file)
    except ssl.SSLError as error:
        raise ConfigError(
            f"otlp.tls_certificate_file: {config.tls_certificate_file} and {config.tls_key_file} are not a PEM "
            f"certificate and its key ({error.reason}); set otlp.tls_certificate_file and otlp.tls_key_file"
        ) from None
    if config.client_ca_file:
        try:
            context.load_verify_locations(config.client_ca_file)
        except ssl.SSLError as error:
            raise ConfigError(
                f"otlp.client_ca_file: {config.client_ca_file} holds no PEM certificate ({error.reason})"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def grpc_credentials(config: OtlpConfig) -> grpc.ServerCredentials | None:
    """None: no certificate is set. The files are known to be good; gRPC speaks TLS 1.2 and newer only."""
    if not config.tls_certificate_file:
        return None
    pair = (Path(config.tls_key_file).read_bytes(), Path(config.tls_certificate_file).read_bytes())
    authorities = Path(config.client_ca_file).read_bytes() if config.client_ca_file else None
    return grpc.ssl_server_credentials([pair], authorities, require_client_auth=authorities is not None)


def file_problems(config: OtlpConfig) -> tuple[str, ...]:
    """One line for each TLS file that cannot be read."""
    problems = []
    for key in ("tls_certificate_file", "tls_key_file", "client_ca_file"):
        name: str = getattr(config, key)
        if not name:
            continue
        try:
            Path(name).read_bytes()
        except OSError as error:
            problems.append(f"otlp.{key}: {name} cannot be read ({error.strerror}); set otlp.{key} to a readable file")
    return tuple(problems)
