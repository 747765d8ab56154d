"""TLS of both protocols, and senders that must show a certificate."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult

from collector.otlp.config import OtlpConfig
from collector.otlp.source import OtlpSource
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.tls import Tls


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A certificate for 127.0.0.1, its key and its authority, as PEM files; also a sender's own, of the same."""
    authority = trustme.CA()
    certificate, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("sender")
    certificate.private_key_pem.write_to_path(str(tmp_path / "key"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "certificate"))
    authority.cert_pem.write_to_path(str(tmp_path / "authority"))
    client.private_key_pem.write_to_path(str(tmp_path / "sender key"))
    client.cert_chain_pems[0].write_to_path(str(tmp_path / "sender"))
    return {name: str(tmp_path / name) for name in ("key", "certificate", "authority", "sender", "sender key")}


def test_an_sdk_sends_over_https(
    receive: Any,
    files: dict[str, str],
    sdk_spans: Callable[[int], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)  # would win over the exporter's own setting
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    receiver = receive(tls=Tls(files["certificate"], files["key"]))
    exporter = OTLPSpanExporter(
        receiver.url().replace("http:", "https:"), certificate_file=files["authority"], timeout=5
    )

    assert exporter.export(sdk_spans(3)) is SpanExportResult.SUCCESS
    assert receiver.items() == 3


def test_a_sender_without_the_certificate_asked_for_is_turned_away(receive: Any, files: dict[str, str]) -> None:
    receiver = receive(tls=Tls(files["certificate"], files["key"], files["authority"]))
    context = ssl.create_default_context(cafile=files["authority"])

    def post() -> bytes:
        try:
            with context.wrap_socket(receiver.raw(), server_hostname="127.0.0.1") as connection:
                connection.sendall(receiver.head("Content-Length: 0"))
                return connection.recv(100)
        except (ssl.SSLError, ConnectionError):
            return b""

    assert post() == b""
    context.load_cert_chain(files["sender"], files["sender key"])
    assert post().startswith(b"HTTP/1.1 200 ")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_before_1_2_is_refused(receive: Any, files: dict[str, str]) -> None:
    receiver = receive(tls=Tls(files["certificate"], files["key"]))
    context = ssl.create_default_context(cafile=files["authority"])
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1

    with pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(receiver.raw(), server_hostname="127.0.0.1")


def test_files_that_are_missing_or_no_pem_are_named(tmp_path: Path, files: dict[str, str]) -> None:
    def start(*settings: str) -> None:
        OtlpSource(OtlpConfig(http_port=0, grpc_port=0, tls=Tls(*settings)), Ledger(), 0.0)

    (tmp_path / "no pem").write_text("no pem")
    missing, no_pem = str(tmp_path / "missing"), str(tmp_path / "no pem")
    with pytest.raises(ConfigError, match=r"^otlp\.tls\.key_file: .*missing cannot be read"):
        start(files["certificate"], missing)
    with pytest.raises(ConfigError, match=r"^otlp\.tls\.certificate_file: .*no pem"):
        start(no_pem, files["key"])
    with pytest.raises(ConfigError, match=r"^otlp\.tls\.client_ca_file: .*no pem"):
        start(files["certificate"], files["key"], no_pem)


def test_an_sdk_sends_over_grpc_with_its_certificate_and_not_without(
    receive: Any, files: dict[str, str], sdk_spans: Callable[[int], Any]
) -> None:
    receiver = receive(tls=Tls(files["certificate"], files["key"], files["authority"]))
    root, key, certificate = (Path(files[name]).read_bytes() for name in ("authority", "sender key", "sender"))

    def export(credentials: grpc.ChannelCredentials) -> SpanExportResult:
        exporter = GrpcSpanExporter(f"https://{receiver.grpc_target}", credentials=credentials, timeout=2)
        try:
            return exporter.export(sdk_spans(3))
        finally:
            exporter.shutdown()

    assert export(grpc.ssl_channel_credentials(root)) is SpanExportResult.FAILURE
    assert receiver.items() == 0
    assert export(grpc.ssl_channel_credentials(root, key, certificate)) is SpanExportResult.SUCCESS
    assert receiver.items() == 3
