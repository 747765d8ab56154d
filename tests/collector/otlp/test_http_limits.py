"""Bodies too large, senders too slow, too much at once: the limits of OTLP/HTTP."""

import gzip
import json
import select
import socket
import time
import zlib
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
MIB = 1 << 20


def status_line(connection: socket.socket) -> bytes:
    return connection.makefile("rb").readline()


def zeros(mebibytes: int, wbits: int) -> bytes:
    """That many MiB of zeros, compressed without ever holding them."""
    stream = zlib.compressobj(9, wbits=wbits)
    return b"".join(stream.compress(bytes(MIB)) for _ in range(mebibytes)) + stream.flush()


def varint(value: int) -> bytes:
    head, rest = value & 0x7F, value >> 7
    return bytes([head | 0x80]) + varint(rest) if rest else bytes([head])


def post_to(port: int, body: Any, coding: str) -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/v1/traces", body, {**PROTOBUF, "Content-Encoding": coding})
    return connection.getresponse()


@pytest.mark.usefixtures("patient")
class TestSize:
    def test_a_body_of_the_limit_passes_and_one_byte_more_does_not(self, receive: Any) -> None:
        receiver = receive(max_body_bytes=2000)

        assert receiver.post(b"{}".ljust(2000), JSON)[0] == 200
        assert receiver.post(b"{}".ljust(2001), JSON)[0] == 413
        compressed = {**JSON, "Content-Encoding": "gzip"}
        assert receiver.post(gzip.compress(b"{}".ljust(2000)), compressed)[0] == 200
        assert receiver.post(gzip.compress(b"{}".ljust(2001)), compressed)[0] == 413

    def test_a_length_over_the_limit_is_refused_before_the_body_is_sent(self, receiver: Any) -> None:
        with receiver.raw() as connection:
            connection.sendall(receiver.head(f"Content-Length: {65 * MIB}", "Expect: 100-continue"))
            assert status_line(connection).startswith(b"HTTP/1.1 413 ")

    def test_16_mib_and_one_byte_are_refused_and_the_sender_reads_the_answer(self, receiver: Any) -> None:
        body = bytes(16 * MIB + 1)

        assert receiver.post(body)[0] == 413
        assert receiver.post(iter([body]))[0] == 413
        assert receiver.refusals() == {"too_large": 2}

    def test_endless_chunks_are_refused_when_the_limit_is_passed(self, receive: Any) -> None:
        receiver = receive(max_body_bytes=100_000)
        with receiver.raw() as connection:
            connection.sendall(receiver.head("Transfer-Encoding: chunked"))
            for _ in range(3):
                connection.sendall(b"%x\r\n%s\r\n" % (50_000, bytes(50_000)))
            assert status_line(connection).startswith(b"HTTP/1.1 413 ")

    def test_a_body_longer_than_its_length_is_malformed(self, receiver: Any, traces: Any) -> None:
        body = traces(1).SerializeToString()
        with receiver.raw() as connection:
            connection.sendall(receiver.head(f"Content-Length: {len(body)}") + body + b"\0" * 1000)
            assert receiver.all_from(connection).split()[1] == b"400"

        assert receiver.refusals() == {"malformed": 1}

    def test_a_body_shorter_than_its_length_is_not_taken(self, receiver: Any, traces: Any) -> None:
        body = traces(1).SerializeToString()
        with receiver.raw() as connection:
            connection.sendall(receiver.head(f"Content-Length: {len(body) + 1}") + body)
            connection.shutdown(socket.SHUT_WR)
            receiver.all_from(connection)

        assert receiver.items() == 0
        receiver.wait_until_refused("incomplete")

    def test_a_body_in_broken_chunks_is_malformed(self, receiver: Any) -> None:
        with receiver.raw() as connection:
            connection.sendall(receiver.head("Transfer-Encoding: chunked", "Expect: 100-continue"))
            assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"  # the head is read, and alone
            connection.sendall(b"no number\r\n")
            answer = receiver.all_from(connection)

        assert answer.startswith(b"HTTP/1.1 400 ")
        assert receiver.refusals() == {"malformed": 1}

    @pytest.mark.parametrize(("coding", "wbits"), [("gzip", 31), ("deflate", 15), ("deflate", -15)])
    def test_a_bomb_of_512_mib_is_refused_within_32_mib(self, own_process: Any, coding: str, wbits: int) -> None:
        before = own_process.peak_bytes()

        answer = post_to(own_process.http_port, zeros(512, wbits), coding)

        assert answer.status == 413
        assert own_process.peak_bytes() - before < 32 * MIB

    def test_65_mib_in_chunks_are_refused_within_32_mib(self, own_process: Any) -> None:
        before = own_process.peak_bytes()

        answer = post_to(own_process.http_port, iter([bytes(MIB)] * 65), "identity")

        assert answer.status == 413
        assert own_process.peak_bytes() - before < 32 * MIB

    @pytest.mark.parametrize(
        ("path_to_objects", "status"), [((1, 2, 2), 413), ((1, 2, 2, 9), 200)], ids=["spans", "attributes of one span"]
    )
    def test_millions_of_empty_objects_are_not_taken_and_stay_within_32_mib(
        self, own_process: Any, path_to_objects: tuple[int, ...], status: int
    ) -> None:
        before = own_process.peak_bytes()
        body = bytes([path_to_objects[-1] << 3 | 2, 0]) * (2 << 20)
        for number in reversed(path_to_objects[:-1]):
            body = bytes([number << 3 | 2]) + varint(len(body)) + body

        answer = post_to(own_process.http_port, gzip.compress(body, 1), "gzip")

        assert answer.status == status
        if status == 200:
            assert ExportTraceServiceResponse.FromString(answer.read()).partial_success.rejected_spans == 1
        assert own_process.peak_bytes() - before < 32 * MIB


class TestPatience:
    def test_a_slow_body_is_answered_408_and_the_connection_closed(self, receive: Any) -> None:
        receiver = receive(request_timeout_seconds=0.3)
        with receiver.raw() as connection:
            connection.sendall(receiver.head("Content-Length: 100") + b"slow")
            answer = receiver.all_from(connection)

        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"Connection: close" in answer
        receiver.wait_until_refused("timeout")

    def test_a_dripping_body_does_not_renew_its_deadline(self, receive: Any) -> None:
        receiver = receive(request_timeout_seconds=0.5)
        with receiver.raw() as connection:
            connection.sendall(receiver.head("Content-Length: 1000000"))
            connection.settimeout(0.05)
            answer = b""
            while not answer:
                connection.sendall(b"x")
                try:
                    answer = connection.recv(1000)
                except TimeoutError:
                    continue

        assert answer.startswith(b"HTTP/1.1 408 ")

    def test_a_dripping_head_is_cut_off(self, receive: Any) -> None:
        receiver = receive(head_timeout_seconds=0.3)
        with receiver.raw() as connection:
            connection.sendall(b"POST /v1/traces HTTP/1.1\r\nX-Slow: ")
            connection.settimeout(0.05)
            answer: bytes | None = None
            while answer is None:
                try:
                    connection.sendall(b"x")
                    answer = connection.recv(1000)
                except TimeoutError:
                    continue
                except ConnectionError:
                    answer = b""

        assert answer == b""
        receiver.wait_until_refused("timeout")

    def test_an_idle_connection_is_closed_without_a_word(self, receive: Any) -> None:
        receiver = receive(idle_timeout_seconds=0.3)
        with receiver.raw() as connection:
            assert receiver.all_from(connection) == b""

        assert receiver.refusals() == {}


class TestOverload:
    def test_past_the_bytes_in_flight_senders_are_told_to_come_back_soon(self, receive: Any) -> None:
        receiver = receive(max_body_bytes=100_000, max_in_flight_bytes=100_000)
        half_sent = receiver.head("Content-Length: 90000") + bytes(80_000)
        with receiver.raw() as first, receiver.raw() as second:
            first.sendall(half_sent)
            second.sendall(half_sent)
            refused = next(iter(select.select([first, second], [], [], 30)[0]))
            answer = HTTPResponse(refused)
            answer.begin()
            body = answer.read()

        assert answer.status == 503
        assert 1 <= int(answer.headers["Retry-After"]) <= 3
        assert Status.FromString(body).details[0].type_url.endswith("RetryInfo")
        assert receiver.refusals()["overloaded"] == 1

    def test_bytes_no_longer_in_flight_make_room(self, receive: Any) -> None:
        receiver = receive(max_body_bytes=100_000, max_in_flight_bytes=100_000)
        for _ in range(3):
            with receiver.raw() as connection:
                connection.sendall(receiver.head("Content-Length: 90000", "Connection: close"))
                time.sleep(0.05)
                connection.sendall(bytes(90_000))
                assert receiver.all_from(connection).startswith(b"HTTP/1.1 400 ")

    def test_one_connection_more_than_allowed_is_told_to_come_back(self, receive: Any, traces: Any) -> None:
        receiver = receive(max_connections=2)
        with receiver.raw(), receiver.raw(), receiver.raw() as third:
            answer = receiver.all_from(third)

        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: " in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 14
        receiver.wait_until_refused("overloaded")

    def test_room_comes_back_when_connections_end(self, receive: Any, traces: Any) -> None:
        receiver = receive(max_connections=2)
        with receiver.raw(), receiver.raw():
            assert receiver.post(b"")[0] == 503

        def is_taken() -> bool:
            try:
                return bool(receiver.post(traces(1).SerializeToString())[0] == 200)
            except ConnectionError:  # turned away before it had sent its body
                return False

        receiver.wait(is_taken, "room")
        assert receiver.items() == 1
