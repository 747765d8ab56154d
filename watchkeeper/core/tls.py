"""TLS of the ports that watchkeeper listens on: settings, contexts, files that are read again when they change."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from watchkeeper.core import der
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.rereading import Reread
from watchkeeper.core.vocabulary import listeners

_KEYS: Final = ("certificate_file", "key_file", "client_ca_file")


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one port. TLS 1.2 is the oldest that is spoken; files that change are read again within 10 seconds."""

    certificate_file: str = ""
    """PEM certificate and those that lead to its authority; with `key_file` the port speaks TLS only"""
    key_file: str = ""
    """PEM private key of `certificate_file`, without a password"""
    client_ca_file: str = ""
    """PEM certificates, one of which must have signed a client's own; empty: clients need none"""

    def __post_init__(self) -> None:
        """:raises ValueError: two settings contradict each other"""
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("certificate_file and key_file must be set together")
        if self.client_ca_file and not self.certificate_file:
            raise ValueError("client_ca_file needs certificate_file and key_file")

    def __bool__(self) -> bool:
        return bool(self.certificate_file)


@dataclass(frozen=True, slots=True)
class Pair:
    """What the files held when they were read: PEM, and the context made of it."""

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes
    context: ssl.SSLContext
    expires_at: float
    """unix seconds"""


class ServerTls:
    """
    The TLS of one port. `context` is made of what the files held last; a server that can only be handed one at its
    start may keep that, as it gives way to the newer at each handshake. Connections that stand are left alone.
    """

    def __init__(
        self,
        tls: Tls,
        listener: str,
        ledger: Ledger,
        *,
        clients: ssl.VerifyMode = ssl.CERT_REQUIRED,
        protocols: tuple[str, ...] = (),
        oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    ) -> None:
        """
        :param listener: path of the port's section in the configuration; files are keys of its `tls`
        :param clients: with `client_ca_file`; CERT_OPTIONAL lets clients without a certificate in, to be told apart
        :param protocols: offered by ALPN
        :param oldest: version spoken. A context that is kept remembers sessions of TLS 1.2, and with them certificates
            that are trusted no longer
        :raises ConfigError: a file cannot be read, is no PEM, or the key is not the certificate's
        """
        self.listener = listener
        self._ledger = ledger
        self._labels = ((listeners.LISTENER, listener),)
        files = tuple(file for key in _KEYS if (file := getattr(tls, key)))
        self._pair: Reread[Pair] = Reread(
            files,
            lambda: _read(tls, f"{listener}.tls", clients, protocols, oldest),
            listener=listener,
            kind="tls",
            ledger=ledger,
        )
        self.context.sni_callback = self._give_way

    @property
    def pair(self) -> Pair:
        """As last read well."""
        return self._pair.value

    @property
    def context(self) -> ssl.SSLContext:
        """Of the newest files."""
        return self._pair.value.context

    def refresh(self, now: float) -> None:
        """Look at the files, if it is time to. :param now: unix seconds"""
        if self._pair.refresh(now):
            self._ledger.set(listeners.CERTIFICATE_EXPIRY, self.pair.expires_at, self._labels)

    def failed(self, error: BaseException) -> None:
        """Count a handshake that came to nothing."""
        self.count(_reason(error))

    def count(self, reason: str) -> None:
        self._ledger.add(listeners.HANDSHAKE_FAILURES, 1, (*self._labels, ("reason", reason)))

    def turned_away(self) -> None:
        """Count a request on a connection without the certificate that it needs."""
        self._ledger.add(listeners.UNAUTHENTICATED, 1, (*self._labels, ("reason", "no_certificate")))

    def _give_way(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self.context


def server_tls(
    tls: Tls,
    listener: str,
    ledger: Ledger,
    *,
    clients: ssl.VerifyMode = ssl.CERT_REQUIRED,
    protocols: tuple[str, ...] = (),
    oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
) -> ServerTls | None:
    """None: the port speaks no TLS. See ServerTls."""
    return ServerTls(tls, listener, ledger, clients=clients, protocols=protocols, oldest=oldest) if tls else None


def problems(tls: Tls, path: str) -> Iterator[str]:
    """
    What of the files cannot be used. Opens nothing but them.

    :param path: of the section in the configuration, such as `web.tls`
    """
    if tls:
        try:
            _read(tls, path, ssl.CERT_REQUIRED)
        except ConfigError as error:
            yield from error.problems


def expiry(tls: Tls, path: str) -> float:
    """Unix seconds. :raises ConfigError: the files cannot be used"""
    return _read(tls, path, ssl.CERT_REQUIRED).expires_at


def _read(
    tls: Tls,
    path: str,
    clients: ssl.VerifyMode,
    protocols: tuple[str, ...] = (),
    oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
) -> Pair:
    held = _contents(tls, path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = oldest
    if protocols:
        context.set_alpn_protocols(list(protocols))
    try:
        # the function is asked for an encrypted key's password; without it, OpenSSL would ask on the terminal
        context.load_cert_chain(tls.certificate_file, tls.key_file, password=lambda: b"")
    except OSError as error:
        why = "the key is another certificate's" if _mismatch(error) else "no PEM certificate and its key"
        raise ConfigError(
            f"{path}.certificate_file: {tls.certificate_file} and {tls.key_file}: {why}; set {path}.certificate_file "
            f"and {path}.key_file to a pair, the key without a password"
        ) from None
    if tls.client_ca_file:
        try:
            context.load_verify_locations(tls.client_ca_file)
        except OSError:
            raise ConfigError(
                f"{path}.client_ca_file: {tls.client_ca_file} holds no PEM certificate; give one"
            ) from None
        context.verify_mode = clients
        # a session that is taken up again shows no certificate: with a ticket, one would outlive its authority
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    if held != _contents(tls, path):
        raise ConfigError(f"{path}: the files change while they are read")
    certificate, key, client_ca = held
    return Pair(certificate, key, client_ca, context, _expires_at(certificate, path, tls.certificate_file))


def _contents(tls: Tls, path: str) -> tuple[bytes, bytes, bytes]:
    """:raises ConfigError: one line for each file that cannot be read"""
    found: list[bytes] = []
    unread: list[str] = []
    for key in _KEYS:
        name: str = getattr(tls, key)
        try:
            found.append(Path(name).read_bytes() if name else b"")
        except OSError as error:
            unread.append(
                f"{path}.{key}: {name} cannot be read ({error.strerror}); set {path}.{key} to a readable file"
            )
    if unread:
        raise ConfigError(*unread)
    certificate, private, client_ca = found
    return certificate, private, client_ca


def _expires_at(pem: bytes, path: str, file: str) -> float:
    try:
        return min(der.not_after(one) for one in der.certificates(pem))
    except ValueError:
        raise ConfigError(f"{path}.certificate_file: {file} holds a certificate without an end; give another") from None


def _mismatch(error: OSError) -> bool:
    return isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH"


_REASONS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no_certificate",
    "CERTIFICATE_VERIFY_FAILED": "bad_certificate",
    "UNSUPPORTED_PROTOCOL": "version",
    "TLSV1_ALERT_PROTOCOL_VERSION": "version",
    "NO_PROTOCOLS_AVAILABLE": "version",
    "HTTP_REQUEST": "not_tls",
    "HTTPS_PROXY_REQUEST": "not_tls",
    "WRONG_VERSION_NUMBER": "not_tls",
    "BAD_RECORD_TYPE": "not_tls",
    "TLSV1_ALERT_UNKNOWN_CA": "certificate_refused",
    "SSLV3_ALERT_BAD_CERTIFICATE": "certificate_refused",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "certificate_refused",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "certificate_refused",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "certificate_refused",
}
"""OpenSSL's names of what went wrong"""


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return _REASONS.get(error.reason or "", "other")
    if isinstance(error, ConnectionAbortedError):
        return "timeout"
    return "gone" if isinstance(error, ConnectionError) else "other"
