"""The web port under TLS and tokens: who is let in, who is not and why, and files that change while it runs."""

import logging
import os
import socket
import ssl
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from watchkeeper.agent.web import WebServer
from watchkeeper.core.bounded_http import Bounds
from watchkeeper.core.interfaces import Answer, Request
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.rereading import CHECK_SECONDS
from watchkeeper.core.tls import ServerTls, Tls
from watchkeeper.core.tokens import admission
from watchkeeper.core.vocabulary import listeners

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")

PATIENT = Bounds(max_connections=500, head_seconds=60, request_seconds=60, idle_seconds=60)
PAST = datetime(2020, 1, 1, tzinfo=UTC)
TOKEN = "a-token-that-nobody-guesses"  # noqa: S105
AUTHORITY, STRANGER = trustme.CA(), trustme.CA()


def write(folder: Path, certificate: trustme.LeafCert) -> tuple[str, str]:
    """Paths of the certificate and its key; replaced as a Secret's files are, all at once each."""
    for name, pem in (("certificate", certificate.cert_chain_pems[0]), ("key", certificate.private_key_pem)):
        pem.write_to_path(str(folder / f"{name}.new"))
        os.replace(folder / f"{name}.new", folder / name)
    return str(folder / "certificate"), str(folder / "key")


class Served:
    """A web port, what it counted, and clients of it. `pass_time` is what the agent's tick does."""

    def __init__(
        self, folder: Path, *, leaf: trustme.LeafCert, client_ca: str, token_file: str, bounds: Bounds
    ) -> None:
        self.ledger = Ledger()
        self.folder = folder
        self.tls = ServerTls(Tls(*write(folder, leaf), client_ca), "web", self.ledger, clients=ssl.CERT_OPTIONAL)
        tokens = admission(token_file, "web", self.ledger)
        self.server = WebServer(
            "127.0.0.1", 0, {"/metrics": page, "/large": large}, bounds, tls=self.tls, admission=tokens
        )
        self.server.start()
        self._now = time.time()
        self._totals: Counter[tuple[str, str]] = Counter()
        self._gauges: dict[str, Any] = {}

    def client(self, *trusted: trustme.CA, certificate: trustme.LeafCert | None = None) -> httpx.Client:
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.server.port}",
            verify=context(*trusted, certificate=certificate),
            timeout=60,
        )

    def pass_time(self) -> None:
        self._now += CHECK_SECONDS
        self.server.refresh(self._now)

    def _drain(self) -> None:
        for sample in self.ledger.drain(0.0):
            value: Any = sample.value
            if sample.metric in (listeners.HANDSHAKE_FAILURES, listeners.UNAUTHENTICATED):
                self._totals[sample.metric.name, dict(sample.labels)["reason"]] += int(value)
            else:
                self._gauges[sample.metric.name] = value

    def gauge(self, name: str) -> Any:
        self._drain()
        return self._gauges[name]

    def wait_until_counted(self, name: str, reason: str, at_least: int = 1) -> None:
        """A peer may hear of it before we count."""
        for _ in range(3000):
            self._drain()
            if self._totals[name, reason] >= at_least:
                return
            time.sleep(0.01)
        raise AssertionError(f"{name} {reason}: {dict(self._totals)}")


def page(_: Request) -> Answer:
    return Answer(b"numbers", "text/plain")


def large(_: Request) -> Answer:
    return Answer(bytes(24 << 20), "text/plain")


def context(*trusted: trustme.CA, certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for authority in trusted or (AUTHORITY,):
        authority.configure_trust(made)
    if certificate is not None:
        certificate.configure_cert(made)
    return made


def leaf(
    name: str = "127.0.0.1", authority: trustme.CA = AUTHORITY, not_after: datetime | None = None
) -> trustme.LeafCert:
    return authority.issue_cert(name, not_after=not_after)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    with ExitStack() as stack:

        def start(
            shown: trustme.LeafCert | None = None,
            client_ca: trustme.CA | None = None,
            token: str = "",
            bounds: Bounds = PATIENT,
        ) -> Served:
            if client_ca is not None:
                client_ca.cert_pem.write_to_path(str(tmp_path / "clients"))
            if token:
                (tmp_path / "tokens").write_text(token)
            served = Served(
                tmp_path,
                leaf=shown or leaf(),
                client_ca=str(tmp_path / "clients") if client_ca else "",
                token_file=str(tmp_path / "tokens") if token else "",
                bounds=bounds,
            )
            stack.callback(served.server.stop)
            return served

        yield start


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda one: one.name)
def test_it_serves_both_versions_of_tls_that_are_safe(serve: Callable[..., Served], version: ssl.TLSVersion) -> None:
    served = serve()
    with served.client() as client, socket.create_connection(("127.0.0.1", served.server.port)) as plain:
        chosen = context()
        chosen.minimum_version = chosen.maximum_version = version
        with chosen.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
            assert secured.version() == version.name.replace("_", ".")
        assert client.get("/metrics").text == "numbers"
        assert served.server.url.startswith("https://")


def test_tls_1_1_is_refused_and_counted(serve: Callable[..., Served]) -> None:
    served = serve()
    old = context()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1

    with (
        pytest.raises((ssl.SSLError, ConnectionError)),
        socket.create_connection(("127.0.0.1", served.server.port)) as plain,
    ):
        old.wrap_socket(plain, server_hostname="127.0.0.1")

    served.wait_until_counted("watchkeeper.tls.handshake.failures", "version")


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (leaf(not_after=PAST), "has expired"),
        (leaf("elsewhere.example"), "IP address mismatch"),
        (leaf(authority=STRANGER), "self-signed certificate|unable to get local issuer"),
    ],
    ids=["expired", "another name", "unknown authority"],
)
def test_a_certificate_that_a_client_refuses_is_counted_and_harms_nobody_else(
    serve: Callable[..., Served], shown: trustme.LeafCert, why: str
) -> None:
    served = serve(shown)

    with served.client() as client, pytest.raises(httpx.ConnectError, match=why):
        client.get("/metrics")

    served.wait_until_counted("watchkeeper.tls.handshake.failures", "certificate_refused")
    careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
    assert httpx.get(f"{served.server.url}healthz", verify=careless, timeout=60).text == "ok\n"


def test_plain_http_gets_no_answer_and_is_counted(serve: Callable[..., Served]) -> None:
    served = serve()
    connection = HTTPConnection("127.0.0.1", served.server.port, timeout=30)
    connection.request("GET", "/metrics")

    with pytest.raises((ConnectionError, OSError)):
        connection.getresponse()

    served.wait_until_counted("watchkeeper.tls.handshake.failures", "not_tls")


def test_without_a_certificate_asked_for_a_client_gets_health_alone(serve: Callable[..., Served]) -> None:
    served = serve(client_ca=AUTHORITY)
    with served.client() as stranger, served.client(certificate=leaf("prometheus")) as known:
        refused = stranger.get("/metrics")

        assert (refused.status_code, refused.content) == (403, b"")
        assert (stranger.get("/healthz").text, stranger.get("/readyz").status_code) == ("ok\n", 503)
        assert stranger.get("/nothing").status_code == 403
        assert known.get("/metrics").text == "numbers"
    served.wait_until_counted("watchkeeper.auth.failures", "no_certificate", 2)


@pytest.mark.parametrize(
    "shown",
    [leaf("prometheus", STRANGER), leaf("prometheus", not_after=PAST)],
    ids=["of an unknown authority", "expired"],
)
def test_a_clients_certificate_that_is_no_good_ends_the_handshake(
    serve: Callable[..., Served], shown: trustme.LeafCert
) -> None:
    served = serve(client_ca=AUTHORITY)

    with served.client(certificate=shown) as client, pytest.raises(httpx.TransportError):
        client.get("/healthz")

    served.wait_until_counted("watchkeeper.tls.handshake.failures", "bad_certificate")


def test_a_new_certificate_is_shown_from_the_next_handshake_on_and_what_stands_goes_on(
    serve: Callable[..., Served],
) -> None:
    served = serve()
    with served.client() as standing, served.client(STRANGER) as new:
        assert standing.get("/metrics").text == "numbers"
        write(served.folder, leaf(authority=STRANGER))
        with pytest.raises(httpx.ConnectError):
            new.get("/metrics")
        served.pass_time()

        assert new.get("/metrics").text == "numbers"
        assert standing.get("/metrics").text == "numbers"
        with served.client() as old, pytest.raises(httpx.ConnectError):
            old.get("/metrics")


def test_an_authority_that_is_taken_out_lets_nobody_in_from_then_on(serve: Callable[..., Served]) -> None:
    served = serve(client_ca=AUTHORITY)
    kept = context(certificate=leaf("prometheus"))
    kept.maximum_version = ssl.TLSVersion.TLSv1_2

    def handshake(session: ssl.SSLSession | None = None) -> ssl.SSLSession | None:
        with (
            socket.create_connection(("127.0.0.1", served.server.port)) as plain,
            kept.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as secured,
        ):
            secured.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert b"200 OK" in secured.recv(100)
            return secured.session

    session = handshake()
    STRANGER.cert_pem.write_to_path(str(served.folder / "clients"))
    served.pass_time()

    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(session)


def replace(folder: Path, *, certificate: bytes | None = None, key: bytes | None = None) -> None:
    for name, content in (("certificate", certificate), ("key", key)):
        if content is not None:
            (folder / name).write_bytes(content)


OTHER = leaf()
CERTIFICATE, KEY = OTHER.cert_chain_pems[0].bytes(), OTHER.private_key_pem.bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: replace(folder, certificate=b""),
        lambda folder: replace(folder, certificate=b"no pem"),
        lambda folder: replace(folder, certificate=CERTIFICATE[: len(CERTIFICATE) // 2], key=KEY),
        lambda folder: replace(folder, certificate=CERTIFICATE, key=KEY[: len(KEY) // 2]),
        lambda folder: replace(folder, certificate=CERTIFICATE),
        lambda folder: replace(folder, key=KEY),
        lambda folder: (folder / "key").unlink(),
    ],
    ids=["empty", "no pem", "half a certificate", "half a key", "new with the old key", "old with a new key", "gone"],
)
def test_files_that_cannot_be_used_leave_the_last_good_pair_until_they_can(
    serve: Callable[..., Served], damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    served = serve()
    damage(served.folder)
    with caplog.at_level(logging.WARNING):
        served.pass_time()
        served.pass_time()

    [said] = caplog.messages
    assert said.startswith("web.tls.")
    assert said.endswith("what was read before stays in use")
    assert served.gauge("watchkeeper.files.stale") == 1
    with served.client() as client:
        assert client.get("/metrics").text == "numbers"

    write(served.folder, leaf(authority=STRANGER))
    served.pass_time()
    assert served.gauge("watchkeeper.files.stale") == 0
    with served.client(STRANGER) as client:
        assert client.get("/metrics").text == "numbers"


def test_the_end_of_the_certificate_that_is_shown_is_told(serve: Callable[..., Served]) -> None:
    ends = datetime(2049, 3, 4, 5, 6, 7, tzinfo=UTC)
    served = serve(leaf(not_after=ends))
    served.pass_time()
    before = served.gauge("watchkeeper.tls.certificate_expiry.timestamp")
    write(served.folder, leaf(not_after=datetime(2051, 1, 1, tzinfo=UTC)))
    served.pass_time()

    assert before == ends.timestamp()
    assert served.gauge("watchkeeper.tls.certificate_expiry.timestamp") == datetime(2051, 1, 1, tzinfo=UTC).timestamp()


def test_handshakes_that_are_never_finished_crowd_out_each_other_and_nobody_else(serve: Callable[..., Served]) -> None:
    served = serve(bounds=Bounds(max_connections=80, head_seconds=60, request_seconds=60, idle_seconds=60))
    with ExitStack() as stack:
        for _ in range(200):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", served.server.port)))
            half.sendall(b"\x16\x03\x01")
        with served.client() as client:
            assert client.get("/metrics").text == "numbers"
        served.wait_until_counted("watchkeeper.tls.handshake.failures", "crowded_out", 100)


def test_a_handshake_that_is_not_finished_in_time_is_ended(serve: Callable[..., Served]) -> None:
    served = serve(bounds=Bounds(max_connections=80, head_seconds=0.3, request_seconds=60, idle_seconds=60))
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=30) as half:
        half.sendall(b"\x16\x03\x01")
        with suppress(ConnectionResetError):
            assert half.recv(100) == b""

    served.wait_until_counted("watchkeeper.tls.handshake.failures", "timeout")


def test_a_client_that_does_not_read_its_answer_makes_room_for_the_next(serve: Callable[..., Served]) -> None:
    served = serve(bounds=Bounds(max_connections=1, head_seconds=60, request_seconds=60, idle_seconds=0.2))
    with (
        socket.create_connection(("127.0.0.1", served.server.port), timeout=30) as plain,
        context().wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        secured.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")

        status = 0
        for _ in range(600):
            # told that it is one too many, or turned away before it could ask; and 0.2 s is short for a request, too
            with served.client() as client, suppress(httpx.TransportError):
                status = client.get("/metrics").status_code
            if status == 200:
                break
            time.sleep(0.1)
        assert status == 200


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "no_token"),
        ("Bearer", "wrong_token"),
        (f"Bearer {TOKEN}x", "wrong_token"),
        (f"Bearer {TOKEN[:-1]}", "wrong_token"),
        (f"Token {TOKEN}", "wrong_token"),
        ("Basic not base64!", "wrong_token"),
        ("Bearer \xff\xfe", "wrong_token"),
    ],
)
def test_without_the_token_there_is_health_alone(
    serve: Callable[..., Served], header: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(token=TOKEN)
    sent = [(b"Authorization", header.encode("latin-1"))] if header else []
    with served.client() as client, caplog.at_level(logging.DEBUG, "watchkeeper"):
        refused = client.get("/metrics", headers=sent)

        assert (refused.status_code, refused.content) == (401, b"")
        assert "Basic" in refused.headers["WWW-Authenticate"]
        assert client.get("/healthz", headers=sent).text == "ok\n"
    served.wait_until_counted("watchkeeper.auth.failures", reason)
    assert TOKEN[:-1] not in caplog.text


def test_a_token_of_a_mebibyte_is_refused_unread_and_unsaid(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(token=TOKEN)
    with (
        socket.create_connection(("127.0.0.1", served.server.port), timeout=30) as plain,
        context().wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        with suppress(ConnectionError, ssl.SSLError):
            secured.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + b"guess" * 200_000)
        assert b" 400 " in secured.recv(100)

    assert "guess" not in caplog.text
    with served.client() as client:
        assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text == "numbers"


@pytest.mark.parametrize("content", [TOKEN, f"{TOKEN}\n", f"# of Prometheus\nprometheus: {TOKEN}\nann: {TOKEN}-2\n"])
def test_the_token_is_taken_as_bearer_and_as_a_password(serve: Callable[..., Served], content: str) -> None:
    served = serve(token=content)
    with served.client() as client:
        assert client.get("/metrics", headers={"Authorization": f"bearer {TOKEN}"}).text == "numbers"
        assert client.get("/metrics", auth=("anybody", TOKEN)).text == "numbers"


def test_tokens_are_read_again_and_a_file_without_any_leaves_the_last(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(token=TOKEN)

    def status(token: str) -> int:
        with served.client() as client:
            return client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code

    (served.folder / "tokens").write_text(f"{TOKEN}-new")
    served.pass_time()
    assert (status(TOKEN), status(f"{TOKEN}-new")) == (401, 200)

    (served.folder / "tokens").write_text("short")
    served.pass_time()
    assert status(f"{TOKEN}-new") == 200
    assert served.gauge("watchkeeper.files.stale") == 1
    assert "web.token_file: " in caplog.text
    assert "short" not in caplog.text
