"""TLS with certificates on both sides, through a proxy before a real broker, which itself speaks none."""

import asyncio
import ssl
import threading
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from kafka.admin import KafkaAdminClient

from collector import kafka as reading
from collector.kafka import KafkaConfig as ReadConfig
from exporters import kafka as sending
from exporters.kafka import KafkaConfig
from watchkeeper.core.errors import Retryable
from watchkeeper.core.fleet import Reached, Resumed, Told
from watchkeeper.core.kafka import Connection, settings
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Counted
from watchkeeper.core.records import Batch
from watchkeeper.core.testkit.kafka_broker import KafkaBroker


class Proxy:
    """Takes TLS off, in a thread of its own."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.to = 0
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        server = self._run(asyncio.start_server(self._join, "127.0.0.1", 0, ssl=context))
        self.port: int = server.sockets[0].getsockname()[1]

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.to)
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Paths of PEM files, and the context of a server that asks for a certificate."""
    authority = trustme.CA()
    client = authority.issue_cert("sidecar")
    found = {name: str(tmp_path / name) for name in ("ca", "certificate", "key")}
    authority.cert_pem.write_to_path(found["ca"])
    client.cert_chain_pems[0].write_to_path(found["certificate"])
    client.private_key_pem.write_to_path(found["key"])
    server = authority.issue_cert("127.0.0.1")
    server.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server"))
    return found


@pytest.fixture
def proxied(files: dict[str, str]) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(files["ca"]).with_name("server"))
    context.load_verify_locations(files["ca"])
    context.verify_mode = ssl.CERT_REQUIRED
    proxy = Proxy(context)
    with KafkaBroker(advertised=proxy.port) as broker:
        proxy.to = broker.port
        yield f"127.0.0.1:{proxy.port}"
        proxy.close()


def make_topics(connection: Connection) -> None:
    known = KafkaAdminClient.DEFAULT_CONFIG
    chosen = {name: value for name, value in settings(connection, "").items() if name in known}
    admin = KafkaAdminClient(**chosen)
    for topic in ("watchkeeper.ticks", "watchkeeper.state"):
        admin.create_topics({topic: {"num_partitions": 4, "replication_factor": 1}})
    admin.close()


def test_counts_are_sent_and_read_over_tls_with_a_certificate_of_our_own(proxied: str, files: dict[str, str]) -> None:
    connection = Connection(
        (proxied,), tls=True, tls_ca_file=files["ca"], tls_certificate_file=files["certificate"],
        tls_key_file=files["key"],
    )  # fmt: skip
    make_topics(connection)
    one = sending.build(KafkaConfig(True, connection, replica="pod"), Ledger())
    one.write(Batch(1.0, counted=(Counted(10.0, "a/b/c", "x", "f" * 64, (1, 2)),), ticked=10.0))
    source: Any = reading.build(ReadConfig(True, connection, session_seconds=6.0), Ledger())
    events: list[Any] = []
    for _ in range(120):
        events += source.read(1.0).log
        if any(isinstance(event, Told) for event in events):
            break
    source.close()
    source.finish()
    one.close()

    [told] = [event for event in events if isinstance(event, Told)]
    assert (told.record.segment, told.record.replica) == ("a/b/c", "pod")
    kinds = [type(event) for event in events if event.place == told.place]
    assert kinds == [Resumed, Told, Reached]


def test_a_certificate_that_nobody_signed_is_said_in_a_line(proxied: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    trustme.CA().cert_pem.write_to_path(str(other))
    connection = Connection((proxied,), tls=True, tls_ca_file=str(other))
    source = reading.build(ReadConfig(True, connection), Ledger())

    with pytest.raises(Retryable, match=r"^brokers 127\.0\.0\.1:\d+: TlsHandshake: TLS failed, look .*; reading"):
        source.read(0.0)
