"""How brokers are reached: settings that the exporter and the source share. Imports no client."""

import logging
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from watchkeeper.core.errors import ConfigError
from watchkeeper.core.hosts import is_host
from watchkeeper.core.password_file import PasswordFile, read

CONNECT_SECONDS: Final = 5.0
REQUEST_SECONDS: Final = 10.0
_PROBE_SECONDS: Final = 2.0
_CLIENT_LOG: Final = "kafka"
_TIMEOUT: Final = "KafkaTimeout"
_CAUSE_SECONDS: Final = 15.0


class Connection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Brokers, and how they know us."""

    servers: tuple[str, ...] = ()
    """addresses of a few brokers, host:port each; the others are learned from them"""
    client_id: str = "watchkeeper"
    """name in the brokers' logs and quotas"""
    tls: bool = False
    """speak TLS; off, messages can be read on the way"""
    tls_ca_file: str = ""
    """PEM certificates that may sign a broker's; empty: those that the system trusts"""
    tls_certificate_file: str = ""
    """PEM certificate of our own, where brokers ask for one"""
    tls_key_file: str = ""
    """PEM private key of tls_certificate_file"""
    tls_check_host: bool = True
    """False: a broker's certificate may be for another name; only for brokers reached by address"""
    sasl: Literal["none", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "none"
    """how the password is shown to brokers"""
    username: str = ""
    """of SASL"""
    password_file: str = ""
    """file that holds the password and nothing else: it stays out of this configuration; read for each connection"""

    def __post_init__(self) -> None:
        """:raises ValueError: two settings contradict each other"""
        if bool(self.tls_certificate_file) != bool(self.tls_key_file):
            raise ValueError("tls_certificate_file and tls_key_file must be set together")
        if not self.tls and (self.tls_ca_file or self.tls_certificate_file):
            raise ValueError("certificates are of no use without tls: true")
        if self.sasl != "none" and not (self.username and self.password_file):
            raise ValueError(f"sasl {self.sasl} needs username and password_file")


def problems(connection: Connection, path: str) -> Iterator[str]:
    """
    A line for each setting that cannot be used; opens no socket.

    :param path: to the section, such as `exporters.kafka.connection`
    """
    if not connection.servers:
        yield f"{path}.servers: is required; give a few brokers: [kafka-0:9092, kafka-1:9092]"
    for server in connection.servers:
        host, colon, port = server.rpartition(":")
        if not (is_host(host.strip("[]")) and colon and port.isdigit()):
            yield f"{path}.servers: '{server}' is no address; write host:port"
    if connection.password_file:
        try:
            read(connection.password_file, f"{path}.password_file")
        except ConfigError as error:
            yield from error.problems
    for key in ("tls_ca_file", "tls_certificate_file", "tls_key_file"):
        name: str = getattr(connection, key)
        try:
            if name:
                Path(name).read_bytes()
        except OSError as error:
            yield f"{path}.{key}: '{name}' cannot be read ({error.strerror}); give a readable file"


def settings(connection: Connection, path: str) -> dict[str, Any]:
    """
    What every client of kafka-python is made with.

    :raises ConfigError: a file cannot be read, or an address is none
    """
    found = tuple(problems(connection, path))
    if found:
        raise ConfigError(*found)
    _CAUSES.listen()
    sasl = connection.sasl != "none"
    chosen: dict[str, Any] = {
        "bootstrap_servers": list(connection.servers),
        "client_id": connection.client_id,
        "security_protocol": ("SASL_" if sasl else "") + ("SSL" if connection.tls else "PLAINTEXT"),
        "bootstrap_timeout_ms": int(CONNECT_SECONDS * 1000),
        "request_timeout_ms": int(REQUEST_SECONDS * 1000),
        "reconnect_backoff_max_ms": 2000,
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
    }
    if connection.tls:
        chosen |= {
            "ssl_check_hostname": connection.tls_check_host,
            "ssl_cafile": connection.tls_ca_file or None,
            "ssl_certfile": connection.tls_certificate_file or None,
            "ssl_keyfile": connection.tls_key_file or None,
        }
    if sasl:
        from watchkeeper.core.kafka_passwords import asked_for_each_time

        password = PasswordFile(connection.password_file, f"{path}.password_file")
        chosen["sasl_plain_username"] = connection.username
        chosen |= asked_for_each_time(connection.sasl, password.newest)
    return chosen


def end(producer: Any, seconds: float) -> None:
    """
    Closes a client that sends. kafka-python's own `close` raises, and closes nothing, when messages are on their way:
    its thread would go on sending what was given up here.
    """
    from kafka.errors import KafkaError

    try:
        producer.close(timeout=seconds)
    except KafkaError:
        producer._sender.force_close()


def kind_of(error: Exception) -> str:
    """A label value out of a short list: the client's own name of what went wrong, and `TlsHandshake`."""
    kind = _name(error)
    return _CAUSES.recent() or kind if kind == _TIMEOUT else kind


_WORDS: Final = {
    "NoBrokersAvailable": "none answers",
    "UnknownTopicOrPartition": "it is not there, or has too few partitions; make it as docs/fleet.md says",
    "TopicAuthorizationFailed": "the topic is forbidden to us; docs/fleet.md says who needs which",
    "GroupAuthorizationFailed": "the group is forbidden to us; allow Read of kafka.group",
    "ClusterAuthorizationFailed": "the cluster is forbidden to us; look at the brokers' log",
    "InvalidTimestamp": "the time of messages is refused; look at this machine's clock",
    "NotEnoughReplicas": "too few replicas are in sync (min.insync.replicas)",
    "NotEnoughReplicasAfterAppend": "too few replicas are in sync (min.insync.replicas)",
    "KafkaStorage": "a disk of a broker failed",
    "LeaderNotAvailable": "a partition has no leader",
    "NotLeaderForPartition": "a partition has no leader",
    "GroupMaxSizeReached": "raise the brokers' group.max.size, or run fewer members",
    "FencedInstanceId": "another member has the same kafka.member; give each its own",
    "SaslAuthenticationFailed": "user or password is wrong",
    "UnsupportedSaslMechanism": "they know no such connection.sasl",
    "TlsHandshake": "TLS failed, look at connection.tls_ca_file and their certificate",
}


def words(kind: str) -> str:
    """What a kind means to an operator, and what to do; its own name where nothing is known."""
    return _WORDS.get(kind, kind)


def advice(kind: str) -> str:
    """The same, to stand behind the name of the kind."""
    return f": {_WORDS[kind]}" if kind in _WORDS else ""


class _Causes(logging.Handler):
    """
    Why connections could not be made. The client logs it at every try and raises no more than that time ran out; ours
    is one line when the state changes. Names of errors are kept, never what they say.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._newest, self._at = "", float("-inf")

    def listen(self) -> None:
        log = logging.getLogger(_CLIENT_LOG)
        log.setLevel(logging.ERROR)
        log.propagate = False
        if self not in log.handlers:
            log.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        for said in record.args if isinstance(record.args, tuple) else ():
            if not isinstance(said, Exception) or _name(said) == _TIMEOUT:
                continue
            name = "TlsHandshake" if "Handshake failed" in str(said) else _name(said)
            self._newest = name if name == "TlsHandshake" or "Sasl" in name else ""
            self._at = time.monotonic()

    def recent(self) -> str:
        """Empty where no password and no certificate was refused of late."""
        return self._newest if time.monotonic() - self._at < _CAUSE_SECONDS else ""


_CAUSES: Final = _Causes()


def _name(error: Exception) -> str:
    return type(error).__name__.removesuffix("Error")


def probe(connection: Connection, path: str, problems: Sequence[str]) -> tuple[str, ...]:
    """
    For `watchkeeper doctor`: does anything listen at the first broker that answers?

    :param path: of the connection in the configuration
    :param problems: what is wrong with it already
    """
    if problems:
        return tuple(f"! {one}" for one in problems)
    for server in connection.servers:
        host, _, port = server.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_SECONDS).close()
        except OSError:
            continue
        return (f"something listens at {server}",)
    return (f"! nothing answers at {', '.join(connection.servers)}; start the brokers or set {path}.servers",)
