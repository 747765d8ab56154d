"""Ports taken and given back; senders sent away in time."""

import socket
import threading
from http.client import HTTPConnection
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from collector.otlp.config import OtlpConfig
from collector.otlp.source import OtlpSource, probe
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.listening import shown
from watchkeeper.core.testkit import free_port

PROTOBUF = {"Content-Type": "application/x-protobuf"}


class TestShutdown:
    def test_senders_are_sent_away_during_the_grace_and_what_was_acknowledged_is_kept(
        self, receive: Any, traces: Any, grace: Any
    ) -> None:
        receiver = receive(shutdown_grace_seconds=grace.seconds, http_port=free_port())
        kept = receiver.connect()
        kept.request("POST", "/v1/traces", traces(2).SerializeToString(), PROTOBUF)
        assert kept.getresponse().read() == b""
        closing = threading.Thread(target=receiver.source.close)
        closing.start()
        assert grace.begun.wait(60)

        kept.request("POST", "/v1/traces", traces(1).SerializeToString(), PROTOBUF)
        answer = kept.getresponse()

        assert (answer.status, answer.headers["Connection"]) == (503, "close")
        assert 1 <= int(answer.headers["Retry-After"]) <= 3
        grace.over.set()
        closing.join(60)
        assert not closing.is_alive()
        assert receiver.items() == 2
        assert receiver.refusals() == {"shutting_down": 1}
        with pytest.raises(ConnectionRefusedError):
            receiver.post(b"")

    def test_closing_twice_is_closing_once(self, receive: Any, traces: Any) -> None:
        receiver = receive(http_port=free_port())
        assert receiver.post(traces(2).SerializeToString())[0] == 200
        receiver.source.close()
        receiver.source.close()

        assert receiver.items() == 2
        with pytest.raises(ConnectionRefusedError):
            receiver.post(b"")


class TestPorts:
    def test_ports_in_use_are_both_named_with_what_to_do(self, receiver: Any) -> None:
        taken = OtlpConfig(http_port=receiver.source.http_port, grpc_port=receiver.source.grpc_port)

        with pytest.raises(ConfigError) as raised:
            OtlpSource(taken, Ledger(), 0.0)

        assert set(raised.value.problems) == {
            f"{key}: 127.0.0.1:{port} is in use by another process; stop it or set {key}"
            for key, port in (("otlp.http_port", taken.http_port), ("otlp.grpc_port", taken.grpc_port))
        }
        assert set(probe(taken)) == {f"! {problem}" for problem in raised.value.problems}

    @pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
    def test_an_address_of_another_machine_is_named(self, host: str) -> None:
        with pytest.raises(ConfigError, match=r"^otlp\.host: .*set otlp\.host"):
            OtlpSource(OtlpConfig(host=host, http_port=0, grpc_port=0), Ledger(), 0.0)

    def test_a_source_that_cannot_start_leaves_no_port_behind(self, receiver: Any) -> None:
        port = free_port()
        with pytest.raises(ConfigError):
            OtlpSource(OtlpConfig(http_port=port, grpc_port=receiver.source.grpc_port), Ledger(), 0.0)

        socket.create_server(("127.0.0.1", port)).close()

    def test_the_probe_says_that_free_ports_are_free(self) -> None:
        assert [line for line in probe(OtlpConfig(http_port=0, grpc_port=0)) if "can be listened on" in line]


@pytest.mark.parametrize("peer", ["::1", "127.0.0.1"])
def test_all_addresses_are_those_of_both_families(receive: Any, traces: Any, peer: str) -> None:
    receiver = receive(host="::")
    connection = HTTPConnection(peer, receiver.source.http_port, timeout=30)
    connection.request("POST", "/v1/traces", traces(1).SerializeToString(), PROTOBUF)
    assert connection.getresponse().status == 200
    connection.close()
    with grpc.insecure_channel(shown(peer, receiver.source.grpc_port)) as channel:
        TraceServiceStub(channel).Export(traces(2), timeout=30)

    assert receiver.items() == 3
