"""
SASL, with and without TLS, before a real broker that asks for none: what stands before it checks user and password as
RFC 4616 and RFC 5802 say, lets nobody by without, and then passes everything on.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from kafka.admin import KafkaAdminClient

from collector import kafka as reading
from collector.kafka import KafkaConfig as ReadConfig
from exporters import kafka as sending
from exporters.kafka import KafkaConfig
from watchkeeper.core.errors import Retryable
from watchkeeper.core.fleet import Told
from watchkeeper.core.kafka import Connection, settings
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Counted
from watchkeeper.core.records import Batch
from watchkeeper.core.testkit.kafka_broker import KafkaBroker

USER, PASSWORD = "sidecar", "a pass=word, with all"
_HANDSHAKE, _VERSIONS, _AUTHENTICATE = 17, 18, 36
_REFUSED, _OTHER_MECHANISM = 58, 33
_ITERATIONS = 4096


def plain(token: bytes, password: str) -> bytes:
    """What is answered. :raises ValueError: somebody else"""
    behalf, *who = token.split(b"\0")
    if behalf not in (b"", USER.encode()) or who != [USER.encode(), password.encode()]:
        raise ValueError
    return b""


class Scram:
    """The server's side of one conversation."""

    def __init__(self, digest: str, password: str) -> None:
        self._digest = digest
        self._password = password
        self._salt = secrets.token_bytes(16)
        self._first = b""

    def answer(self, token: bytes) -> bytes:
        """:raises ValueError: somebody else"""
        if not self._first:
            header, bare = token[:3], token[3:]
            fields = dict(one.split(b"=", 1) for one in bare.split(b","))
            if header != b"n,," or fields[b"n"] != USER.encode():
                raise ValueError
            self._nonce = fields[b"r"] + secrets.token_hex(8).encode()
            said = b"r=%s,s=%s,i=%d" % (self._nonce, base64.b64encode(self._salt), _ITERATIONS)
            self._first = bare + b"," + said
            return said
        bare, _, proof = token.rpartition(b",p=")
        if bare != b"c=biws,r=" + self._nonce:
            raise ValueError
        salted = hashlib.pbkdf2_hmac(self._digest, self._password.encode(), self._salt, _ITERATIONS)
        message = self._first + b"," + bare
        key = self._hmac(salted, b"Client Key")
        signature = self._hmac(hashlib.new(self._digest, key).digest(), message)
        if base64.b64decode(proof) != bytes(one ^ other for one, other in zip(key, signature, strict=True)):
            raise ValueError
        return b"v=" + base64.b64encode(self._hmac(self._hmac(salted, b"Server Key"), message))

    def _hmac(self, key: bytes, message: bytes) -> bytes:
        return hmac.new(key, message, self._digest).digest()


MECHANISMS: dict[str, Callable[[str], Callable[[bytes], bytes]]] = {
    "PLAIN": lambda password: lambda token: plain(token, password),
    "SCRAM-SHA-512": lambda password: Scram("sha512", password).answer,
}


class Gate:
    """Stands before a broker, in a thread of its own. `opened`: connections that knew the password."""

    def __init__(self, mechanism: str, context: ssl.SSLContext | None) -> None:
        self.to = self.opened = self.refused = 0
        self.password = PASSWORD
        self._mechanism = mechanism
        self._inside: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        starting = asyncio.start_server(self._join, "127.0.0.1", 0, ssl=context)
        server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self.port: int = server.sockets[0].getsockname()[1]

    def close(self) -> None:
        async def end() -> None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def ask_for(self, password: str) -> None:
        """From now on; who is connected is turned out."""

        async def turn_out() -> None:
            for writer in self._inside:
                writer.transport.abort()

        self.password = password
        asyncio.run_coroutine_threadsafe(turn_out(), self._loop).result(10)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.to)
        with suppress(OSError, asyncio.IncompleteReadError):
            if await self._open(reader, writer, inner_reader, inner_writer):
                self.opened += 1
                self._inside.append(writer)
                await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
        writer.close()
        inner_writer.close()

    async def _open(self, reader: Any, writer: Any, inner_reader: Any, inner_writer: Any) -> bool:
        answer = MECHANISMS[self._mechanism](self.password)
        steps = 1 if self._mechanism == "PLAIN" else 2
        while True:
            request = await _frame(reader)
            key, version, correlation, length = struct.unpack_from(">hhih", request)
            body = request[10 + max(0, length) :]
            if key == _VERSIONS:
                _send(inner_writer, request)
                _send(writer, await _frame(inner_reader))
                continue
            if key == _HANDSHAKE:
                error = 0 if body[2:] == self._mechanism.encode() else _OTHER_MECHANISM
                _send(writer, struct.pack(">ihi", correlation, error, 1) + _text(self._mechanism.encode()))
                continue
            if key != _AUTHENTICATE or version != 2:
                return False
            try:
                token = answer(body[3 if body[1] > 127 else 2 : -1])  # between tagged fields, of which there are none
            except ValueError:
                self.refused += 1
                _send(writer, struct.pack(">ibhbbqb", correlation, 0, _REFUSED, 0, 1, 0, 0))
                await asyncio.sleep(0.1)  # as Apache Kafka does
                return False
            _send(writer, struct.pack(">ibhb", correlation, 0, 0, 0) + _varied(token) + struct.pack(">qb", 0, 0))
            steps -= 1
            if not steps:
                return True


async def _frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))


def _send(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(len(frame).to_bytes(4, "big") + frame)


def _text(said: bytes) -> bytes:
    return struct.pack(">h", len(said)) + said


def _varied(said: bytes) -> bytes:
    """A compact array: its length and one, seven bits a byte."""
    length = len(said) + 1
    return (bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])) + said


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
def gated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Gate, broker, and how the gate is passed, with another password where one is given."""
    mechanism, is_tls = request.param
    context, tls = None, Connection()
    if is_tls:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(tmp_path / "ca"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        tls = Connection(tls=True, tls_ca_file=str(tmp_path / "ca"))
    gate = Gate(mechanism, context)

    def connection(password: str = PASSWORD, asked: Any = mechanism) -> Connection:
        file = tmp_path / "password"
        file.write_text(f"{password}\n")
        where, who = (f"127.0.0.1:{gate.port}",), {"username": USER, "password_file": str(file)}
        return msgspec.structs.replace(tls, servers=where, sasl=asked, **who)

    with KafkaBroker(advertised=gate.port) as broker:
        gate.to = broker.port
        yield gate, broker, connection
        gate.close()


def make_topics(connection: Connection) -> None:
    """Through the gate, too: the broker sends all its clients there."""
    known = KafkaAdminClient.DEFAULT_CONFIG
    admin = KafkaAdminClient(**{name: value for name, value in settings(connection, "").items() if name in known})
    for topic in ("watchkeeper.ticks", "watchkeeper.state"):
        admin.create_topics({topic: {"num_partitions": 4, "replication_factor": 1}})
    admin.close()


def told_by(connection: Connection) -> list[Told]:
    source: Any = reading.build(ReadConfig(True, connection, session_seconds=6.0), Ledger())
    told = next_told(source)
    source.close()
    source.finish()
    return told


def next_told(source: Any, at: float = 10.0) -> list[Told]:
    """Those of the first reading that has one of this tick; of a reader that lost its place all is told again."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        with suppress(Retryable):
            told = [event for event in source.read(time.time()).log if isinstance(event, Told)]
            found = [one for one in told if one.record.at == at]
            if found:
                return found
    raise TimeoutError


def batch(ticked: float) -> Batch:
    return Batch(ticked, counted=(Counted(ticked, "a/b/c", "x", "f" * 64, (1, 2)),), ticked=ticked)


BATCH = batch(10.0)
PLAIN, SCRAM = ("PLAIN", True), ("SCRAM-SHA-512", False)


@pytest.mark.parametrize("gated", [PLAIN, SCRAM], indirect=True, ids=lambda one: one[0])
def test_counts_are_sent_and_read_by_who_knows_the_password(gated: Any) -> None:
    gate, _, connection = gated
    make_topics(connection())
    one = sending.build(KafkaConfig(True, connection(), replica="pod"), Ledger())
    one.write(BATCH)
    [told] = told_by(connection())
    one.close()

    assert (told.record.segment, told.record.replica) == ("a/b/c", "pod")
    assert gate.opened >= 3
    assert gate.refused == 0


@pytest.mark.parametrize("gated", [SCRAM], indirect=True, ids=lambda one: one[0])
def test_a_wrong_password_is_said_in_a_line_that_holds_none(gated: Any) -> None:
    gate, _, connection = gated
    wrong = connection("another")
    one: Any = sending.build(KafkaConfig(True, wrong, replica="pod"), Ledger())
    one.write(BATCH)
    end = time.monotonic() + 60
    while "user or password is wrong; messages wait in the spool" not in one._sender.problem:
        assert time.monotonic() < end, one._sender.problem
        time.sleep(0.05)

    assert "another" not in one._sender.problem
    with suppress(Retryable):  # a try may be under way
        one.close()
    assert gate.opened == 0
    assert gate.refused > 0


@pytest.mark.parametrize("gated", [PLAIN, SCRAM], indirect=True, ids=lambda one: one[0])
def test_a_password_that_changes_is_read_from_its_file_by_clients_that_are_there(gated: Any) -> None:
    """One after the other: the brokers ask for another, the file has it, and what waited goes its way."""
    gate, _, connection = gated
    make_topics(connection())
    one: Any = sending.build(KafkaConfig(True, connection(), replica="pod"), Ledger())
    source: Any = reading.build(ReadConfig(True, connection(), session_seconds=6.0), Ledger())
    one.write(BATCH)
    [before] = next_told(source)

    gate.ask_for("another")
    with suppress(Retryable):
        one.write(batch(20.0))
    end = time.monotonic() + 60
    while not (one._sender.problem and gate.refused >= 3):
        assert time.monotonic() < end
        with suppress(Retryable):
            source.read(time.time())
    connection("another")
    [after] = next_told(source, 20.0)

    assert (before.record.at, after.record.at) == (10.0, 20.0)
    one.close()
    source.close()
    source.finish()
