"""TLS between clients and the tap: clients that must show a certificate, files that change while it runs."""

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from watchkeeper.core.rereading import CHECK_SECONDS
from watchkeeper.core.tls import Tls
from watchkeeper.core.vocabulary import listeners

Make = Callable[..., Any]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def write(authority: trustme.CA, folder: Path) -> Tls:
    names = {name: str(folder / name) for name in ("certificate", "key", "clients")}
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(names["certificate"])
    certificate.private_key_pem.write_to_path(names["key"])
    authority.cert_pem.write_to_path(names["clients"])
    return Tls(names["certificate"], names["key"], names["clients"])


def shakes_hands(
    signer: trustme.CA | None = None, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Callable[[socket.socket, trustme.CA], None]:
    """:param signer: of the client's certificate; None: it has none"""

    def shake(connection: socket.socket, authority: trustme.CA) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.maximum_version = newest
        authority.configure_trust(context)
        if signer is not None:
            signer.issue_cert("client").configure_cert(context)
        with suppress(ssl.SSLError, ConnectionError):
            context.wrap_socket(connection, server_hostname="127.0.0.1").recv(1)

    return shake


def says(what: bytes) -> Callable[[socket.socket, trustme.CA], None]:
    return lambda connection, _: connection.sendall(what)


def half_a_greeting(connection: socket.socket, _: trustme.CA) -> None:
    connection.sendall(b"\x16\x03\x01")
    connection.close()


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        (shakes_hands(), "no_certificate"),
        (shakes_hands(signer=trustme.CA()), "bad_certificate"),
        (shakes_hands(newest=ssl.TLSVersion.TLSv1_2), "version"),
        (says(REQUEST), "not_tls"),
        (half_a_greeting, "gone"),
        (says(b"\x16\x03\x01"), "timeout"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_handshakes_that_come_to_nothing_are_counted_by_why(
    upstream: Make, tap: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: Any, reason: str
) -> None:
    monkeypatch.setattr("collector.tap.source._HANDSHAKE_SECONDS", 0.5 if reason == "timeout" else 30.0)
    authority = trustme.CA()
    between = tap(upstream(ANSWER), tls=write(authority, tmp_path))

    with between.connect() as connection:
        client(connection, authority)
        between.wait_for(listeners.HANDSHAKE_FAILURES, listener="tap[0]", reason=reason)

    assert between.count(listeners.HANDSHAKE_FAILURES) == 1


def test_a_new_certificate_and_authority_hold_from_the_next_handshake_on(
    upstream: Make, tap: Make, tmp_path: Path
) -> None:
    first, second = trustme.CA(), trustme.CA()
    between = tap(upstream(ANSWER), tls=write(first, tmp_path))

    def answered(server: trustme.CA, client: trustme.CA | None = None) -> bool:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["h2", "http/1.1"])
        server.configure_trust(context)
        if client is not None:
            client.issue_cert("client").configure_cert(context)
        try:
            with context.wrap_socket(between.connect(), server_hostname="127.0.0.1") as secured:
                assert (secured.version(), secured.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
                secured.sendall(REQUEST)
                return secured.recv(1000) == ANSWER
        except (ssl.SSLError, ConnectionError):
            return False

    before = answered(first, first), answered(first), answered(first, second)
    write(second, tmp_path)
    between.source.read(time.time() + CHECK_SECONDS)
    after = answered(second, second), answered(second, first), answered(first, first)

    assert before == (True, False, False)
    assert after == (True, False, False)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("asks", "oldest"), [(False, "TLSv1_2"), (True, "TLSv1_3")])
def test_the_oldest_version_spoken_depends_on_whether_clients_show_certificates(
    upstream: Make, tap: Make, tmp_path: Path, asks: bool, oldest: str
) -> None:
    authority = trustme.CA()
    tls = write(authority, tmp_path)
    between = tap(upstream(ANSWER), tls=tls if asks else Tls(tls.certificate_file, tls.key_file))
    spoken = []
    for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        authority.configure_trust(context)
        authority.issue_cert("client").configure_cert(context)
        try:
            with context.wrap_socket(between.connect(), server_hostname="127.0.0.1"):
                spoken.append(version.name)
        except (ssl.SSLError, ConnectionError):
            continue

    assert spoken[0] == oldest
