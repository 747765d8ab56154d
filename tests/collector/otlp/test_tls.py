"""TLS of both protocols, and senders that must show a certificate."""

import base64
import ssl
import time
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
from watchkeeper.core.rereading import CHECK_SECONDS
from watchkeeper.core.tls import Tls


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A certificate for 127.0.0.1, its key and its authority, as PEM files; also a sender's own, of the same."""
    files = {name: str(tmp_path / name) for name in ("key", "certificate", "authority", "sender", "sender key")}
    write_pair(trustme.CA(), files)
    return files


def write_pair(authority: trustme.CA, files: dict[str, str]) -> None:
    certificate, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("sender")
    certificate.private_key_pem.write_to_path(files["key"])
    certificate.cert_chain_pems[0].write_to_path(files["certificate"])
    authority.cert_pem.write_to_path(files["authority"])
    client.private_key_pem.write_to_path(files["sender key"])
    client.cert_chain_pems[0].write_to_path(files["sender"])


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
        receiver.url().replace("http:", "https:"), certificate_file=files["authority"], timeout=60
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

    def export(credentials: grpc.ChannelCredentials, timeout: int) -> SpanExportResult:
        exporter = GrpcSpanExporter(f"https://{receiver.grpc_target}", credentials=credentials, timeout=timeout)
        try:
            return exporter.export(sdk_spans(3))
        finally:
            exporter.shutdown()

    assert export(grpc.ssl_channel_credentials(root), 2) is SpanExportResult.FAILURE
    assert receiver.items() == 0
    assert export(grpc.ssl_channel_credentials(root, key, certificate), 60) is SpanExportResult.SUCCESS
    assert receiver.items() == 3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_both_ports_show_a_new_certificate_and_know_a_new_authority_without_a_restart(
    receive: Any, files: dict[str, str], sdk_spans: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    receiver = receive(tls=Tls(files["certificate"], files["key"], files["authority"]))

    def sent(timeout: int = 60) -> tuple[bool, bool]:
        """By HTTP and by gRPC, with what the files say now."""
        given = {"certificate_file": files["authority"], "client_certificate_file": files["sender"]}
        given["client_key_file"] = files["sender key"]
        by_http = OTLPSpanExporter(receiver.url().replace("http:", "https:"), timeout=timeout, **given)
        read = [Path(files[name]).read_bytes() for name in ("authority", "sender key", "sender")]
        credentials = grpc.ssl_channel_credentials(*read)
        by_grpc = GrpcSpanExporter(f"https://{receiver.grpc_target}", credentials=credentials, timeout=timeout)
        try:
            exported = [exporter.export(sdk_spans(1)) is SpanExportResult.SUCCESS for exporter in (by_http, by_grpc)]
        finally:
            by_grpc.shutdown()
        return exported[0], exported[1]

    before = sent()
    write_pair(trustme.CA(), files)
    unknown = sent(timeout=1)
    receiver.source.read(time.time() + CHECK_SECONDS)

    assert (before, unknown, sent()) == ((True, True), (False, False), (True, True))


TOKEN = "a-token-that-nobody-guesses"  # noqa: S105


@pytest.mark.parametrize("sent", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {TOKEN[:-1]}"}])
def test_who_has_no_token_gets_401_with_nothing_in_it(receive: Any, tmp_path: Path, sent: dict[str, str]) -> None:
    (tmp_path / "tokens").write_text(f"shop: {TOKEN}")
    receiver = receive(token_file=str(tmp_path / "tokens"))

    status, headers, body = receiver.post(b"", {"Content-Type": "application/x-protobuf"} | sent)

    assert (status, body, headers["WWW-Authenticate"]) == (401, b"", "Bearer")
    receiver.wait_until_refused("unauthenticated")


def test_senders_with_the_token_are_heard_by_both_protocols_and_others_by_neither(
    receive: Any, tmp_path: Path, sdk_spans: Callable[[int], Any]
) -> None:
    (tmp_path / "tokens").write_text(TOKEN)
    receiver = receive(token_file=str(tmp_path / "tokens"))

    def exported(token: str) -> list[str]:
        """The codes of both protocols' answers."""
        headers = {"authorization": f"Bearer {token}"}
        said = []
        status, _, _ = receiver.post(b"", {"Content-Type": "application/x-protobuf"} | headers)
        said.append(str(status))
        with grpc.insecure_channel(receiver.grpc_target) as channel:
            call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            try:
                call(b"", timeout=30, metadata=tuple(headers.items()))
                said.append("OK")
            except grpc.RpcError as error:
                said.append(error.code().name)
        return said

    assert exported(TOKEN) == ["200", "OK"]
    assert exported("guess") == ["401", "UNAUTHENTICATED"]
    exporter = OTLPSpanExporter(receiver.url(), headers={"authorization": f"Bearer {TOKEN}"}, timeout=60)
    assert exporter.export(sdk_spans(2)) is SpanExportResult.SUCCESS
    exporter = OTLPSpanExporter(
        receiver.url("/api/public/otel/v1/traces"), headers={"Authorization": f"Basic {basic('pk', TOKEN)}"}, timeout=60
    )
    assert exporter.export(sdk_spans(1)) is SpanExportResult.SUCCESS
    assert receiver.items() == 3


def test_a_call_whose_token_is_a_mebibyte_is_refused_by_grpc_itself(receive: Any, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(TOKEN)
    receiver = receive(token_file=str(tmp_path / "tokens"))
    with grpc.insecure_channel(receiver.grpc_target) as channel:
        call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        with pytest.raises(grpc.RpcError) as refused:
            call(b"", timeout=30, metadata=(("authorization", "guess" * 200_000),))

    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()
