"""
A proxy before a broker that answers what a test wants: the errors that brokers of tests never give.

It takes the protocol apart with kafka-python's own classes, which know each version of each message.
"""

import socket
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Thread
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

_HEADER: Final = struct.Struct(">hhi")
_SIZE: Final = struct.Struct(">i")


class ClosedError(Exception):
    """Raised by a fault: the connection ends here, without an answer. Or its peer ended it."""


class Call(NamedTuple):
    """One request of a client."""

    request: Any
    forward: Callable[[Any], Any]
    """takes a request to the broker, and gives its response"""
    response: Any
    """class of responses of the request's version"""


Fault = Callable[[Call], Any]
"""gives the response that the client gets, or bytes to send in its place"""


class KafkaFaults:
    """
    with KafkaFaults() as faults, KafkaBroker(advertised=faults.port) as broker:
        faults.stand_before(broker.port)
        faults.on(ProduceRequest, refused({"watchkeeper.ticks": 29}))
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.seen: Counter[int] = Counter()
        """requests by their api key"""
        self._broker = 0
        self._faults: dict[int, tuple[Any, Fault]] = {}

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def stand_before(self, port: int) -> None:
        self._broker = port

    def on(self, request: Any, fault: Fault) -> None:
        """From now on requests of this class are the fault's to answer."""
        self._faults[request.API_KEY] = (request, fault)

    def off(self, request: Any) -> None:
        self._faults.pop(request.API_KEY, None)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with (
            client,
            suppress(OSError, ClosedError),
            socket.create_connection(("127.0.0.1", self._broker or 0)) as broker,
        ):
            while True:
                asked = _frame(client)
                key, version, number = _HEADER.unpack_from(asked)
                self.seen[key] += 1
                answer = self._answer(broker, asked, key, version, number)
                client.sendall(_SIZE.pack(len(answer)) + answer)

    def _answer(self, broker: socket.socket, asked: bytes, key: int, version: int, number: int) -> bytes:
        if key not in self._faults:
            return _ask(broker, asked)
        request_class, fault = self._faults[key]
        request = request_class.decode(asked, version=version, header=True)
        response_class = request.header.get_response_class()

        def forward(changed: Any) -> Any:
            return response_class.decode(_ask(broker, _encoded(changed, version, number)), header=True)

        response = fault(Call(request, forward, response_class))
        if isinstance(response, bytes):
            return response
        return _encoded(response, version, number)


def refused(codes: Mapping[str, int], times: float = float("inf"), only: bytes = b"") -> Fault:
    """
    For ProduceRequest: records that broker refuses, which it then does not have.

    :param codes: error by topic
    :param times: how many requests are answered so
    :param only: that have this in a value
    """
    left = times

    def fault(call: Call) -> Any:
        nonlocal left
        wrong: dict[str, dict[int, int]] = {}
        for topic in call.request.topic_data:
            parts = [one.index for one in topic.partition_data if only in _values(one.records)]
            if topic.name in codes and left > 0 and parts:
                wrong[topic.name] = dict.fromkeys(parts, codes[topic.name])
        left -= bool(wrong)
        return _produced(call, wrong)

    return fault


def failing(make: Callable[[Any], Any], times: float = float("inf")) -> Fault:
    """
    The broker is not asked.

    :param make: a response out of the class of responses
    :param times: how many requests are answered so
    """
    left = times

    def fault(call: Call) -> Any:
        nonlocal left
        left -= 1
        return make(call.response) if left >= 0 else call.forward(call.request)

    return fault


def changed(change: Callable[[Any], Any], times: float = float("inf")) -> Fault:
    """
    The broker is asked, and its answer changed.

    :param change: of a response; may give bytes in its place, or raise `ClosedError`
    :param times: how many requests are answered so
    """
    left = times

    def fault(call: Call) -> Any:
        nonlocal left
        left -= 1
        response = call.forward(call.request)
        if left >= 0:
            response = change(response) or response
        return response

    return fault


def _produced(call: Call, wrong: Mapping[str, Mapping[int, int]]) -> Any:
    """What is wrong is not sent on; the answer tells of both."""
    request = call.request
    for topic in request.topic_data:
        topic.partition_data = [one for one in topic.partition_data if one.index not in wrong.get(topic.name, {})]
    request.topic_data = [topic for topic in request.topic_data if topic.partition_data]
    response = call.forward(request) if request.topic_data else call.response(responses=[], throttle_time_ms=0)
    told = type(response).TopicProduceResponse
    for name, codes in wrong.items():
        parts = [
            told.PartitionProduceResponse(index=index, error_code=code, base_offset=-1, record_errors=[])
            for index, code in codes.items()
        ]
        response.responses = [*response.responses, told(name=name, partition_responses=parts)]
    return response


def _encoded(message: Any, version: int, number: int) -> bytes:
    if version != message.API_VERSION:
        message.API_VERSION = version
    message.with_header(correlation_id=number)
    encoded: bytes = message.encode(header=True)
    return encoded


def _values(records: Any) -> bytes:
    from kafka.record.memory_records import MemoryRecords

    found: Sequence[bytes] = [record.value or b"" for batch in MemoryRecords(bytes(records)) for record in batch]
    return b"\0".join(found)


def _ask(broker: socket.socket, asked: bytes) -> bytes:
    broker.sendall(_SIZE.pack(len(asked)) + asked)
    return _frame(broker)


def _frame(peer: socket.socket) -> bytes:
    """:raises ClosedError: by the peer"""
    (size,) = _SIZE.unpack(_read(peer, _SIZE.size))
    return _read(peer, size)


def _read(peer: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        more = peer.recv(size - len(parts))
        if not more:
            raise ClosedError
        parts += more
    return bytes(parts)
