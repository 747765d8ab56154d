"""
One question over gRPC, asked on a connected socket: HTTP/2 by h2, and the little that gRPC puts into it.

gRPC's own library does the same with 14 MB of memory more; what it does besides, nobody here needs.
"""

import math
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from typing import Final
from urllib.parse import unquote_to_bytes

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from collector.accelerators.placement.allocation import KubeletError, Trouble

_RECEIVE_BYTES: Final = 1 << 16
_FRAME_HEAD_BYTES: Final = 9
_MAX_FRAME_BYTES: Final = 1 << 14
"""what h2 allows the other side"""
_SETTINGS: Final = {
    SettingCodes.ENABLE_PUSH: 0,
    SettingCodes.MAX_HEADER_LIST_SIZE: H2Connection.DEFAULT_MAX_HEADER_LIST_SIZE,
}
_PREFIX: Final = struct.Struct(">BI")
"""before a message: whether it is compressed, how many bytes it has"""
_MAX_TOLD: Final = 200
"""characters that are kept of the other side's words"""

_OK: Final = b"0"
_STATUS: Final = {
    str(code).encode(): name
    for code, name in enumerate(
        (
            "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
            "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
            "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
        )
    )
}  # fmt: skip
_TROUBLE: Final = {
    "DEADLINE_EXCEEDED": Trouble.TIMED_OUT,
    "UNIMPLEMENTED": Trouble.NOT_A_KUBELET,
    "PERMISSION_DENIED": Trouble.NOT_PERMITTED,
    "UNAUTHENTICATED": Trouble.NOT_PERMITTED,
}
_HTTP_TROUBLE: Final = {b"401": Trouble.NOT_PERMITTED, b"403": Trouble.NOT_PERMITTED}


def ask(peer: socket.socket, method: str, timeout_seconds: float, max_answer_bytes: int) -> bytes:
    """
    The answer to an empty message. `peer` is of no use to others afterwards.

    :param method: `/package.Service/Method`
    :raises KubeletError: in every case of no answer
    """
    deadline = time.monotonic() + timeout_seconds
    with closing(Call(method, timeout_seconds, max_answer_bytes)) as call:
        try:
            while call.answer is None:
                peer.settimeout(_left(deadline))
                with suppress(ConnectionError):  # it does not listen any more, and may yet have answered
                    peer.sendall(call.to_send())
                call.take(_receive(peer, deadline))
        except TimeoutError:
            raise KubeletError(Trouble.TIMED_OUT) from None
        return call.answer


def _receive(peer: socket.socket, deadline: float) -> bytes:
    """:raises TimeoutError: not in time; what comes late is none, as it may be no more than the deadline's echo"""
    peer.settimeout(_left(deadline))
    try:
        data = peer.recv(_RECEIVE_BYTES)
    except ConnectionError:
        data = b""
    _left(deadline)
    return data


def _left(deadline: float) -> float:
    """Seconds, more than 0."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class Call:
    """One call, without the socket: bytes in, bytes out. `answer` is None until it is complete."""

    def __init__(self, method: str, timeout_seconds: float, max_answer_bytes: int) -> None:
        self.answer: bytes | None = None
        self._max_answer_bytes = max_answer_bytes
        self._held = bytearray()
        self._body = bytearray()
        self._told: dict[bytes, bytes] = {}
        self._speaks_http2 = False
        self._http2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._http2.local_settings = Settings(client=True, initial_values=_SETTINGS)
        self._http2.initiate_connection()
        self._stream = self._http2.get_next_available_stream_id()
        headers = (
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "localhost"),  # a socket's path is none, and the kubelet refuses what is none
            (":path", method),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "watchkeeper"),
            ("grpc-timeout", f"{math.ceil(timeout_seconds * 1000)}m"),
        )
        self._http2.send_headers(self._stream, headers)
        self._http2.send_data(self._stream, _PREFIX.pack(0, 0), end_stream=True)

    def to_send(self) -> bytes:
        """What the other side has to be sent now."""
        return self._http2.data_to_send()

    def take(self, data: bytes) -> None:
        """
        What the other side sent; b"" when it closed the connection.

        :raises KubeletError: there will be no answer
        """
        if not data:
            raise self._broken(Trouble.FAILING, "it closed the connection before it had answered")
        for frame in self._frames(data):
            try:
                for event in self._http2.receive_data(frame):
                    self._on(event)
            except ProtocolError as error:
                raise self._broken(Trouble.MALFORMED, type(error).__name__) from None
            if self.answer is not None:
                return

    def close(self) -> None:
        """
        Take h2's connection apart, which refers to itself: the garbage collector, which runs seldom in this program,
        would find 20 KB of each call after hundreds of them.
        """
        vars(self._http2).clear()

    def _frames(self, data: bytes) -> Iterator[bytes]:
        """h2 gets one at a time: with a broken one it keeps to itself what the sound ones before it said."""
        self._held += data
        while len(self._held) >= _FRAME_HEAD_BYTES:
            length = int.from_bytes(self._held[:3], "big")
            if length > _MAX_FRAME_BYTES:
                raise self._broken(Trouble.MALFORMED, "a frame is too long")
            end = _FRAME_HEAD_BYTES + length
            if len(self._held) < end:
                return
            frame = bytes(self._held[:end])
            del self._held[:end]
            yield frame

    def _on(self, event: Event) -> None:
        if isinstance(event, RemoteSettingsChanged):
            self._speaks_http2 = True
        elif isinstance(event, ResponseReceived):
            self._begin(event.headers)
        elif isinstance(event, DataReceived):
            self._grow(event.data)
            self._http2.acknowledge_received_data(event.flow_controlled_length, self._stream)
        elif isinstance(event, TrailersReceived):
            self._told = _names(event.headers)
        elif isinstance(event, StreamEnded):
            self._end()
        elif isinstance(event, StreamReset):
            raise KubeletError(Trouble.FAILING, f"RST_STREAM {_name(event.error_code)}")
        elif isinstance(event, ConnectionTerminated):
            raise KubeletError(Trouble.FAILING, f"GOAWAY {_name(event.error_code)}")

    def _begin(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """gRPC answers 200 whatever comes of it; anything else is of somebody who does not speak it."""
        self._told = _names(headers)
        if b"grpc-status" in self._told:
            return
        status = self._told.get(b":status", b"")
        if status != b"200" or not self._told.get(b"content-type", b"").startswith(b"application/grpc"):
            raise KubeletError(_HTTP_TROUBLE.get(status, Trouble.NOT_A_KUBELET), f"HTTP status {_words(status)}")

    def _grow(self, data: bytes) -> None:
        self._body += data
        if len(self._body) < _PREFIX.size:
            return
        compressed, length = _PREFIX.unpack_from(self._body)
        if compressed:
            raise KubeletError(Trouble.MALFORMED, "compressed, which was not asked for")
        if length > self._max_answer_bytes:
            raise KubeletError(Trouble.TOO_LARGE, f"more than {self._max_answer_bytes} bytes")
        if len(self._body) > _PREFIX.size + length:
            raise KubeletError(Trouble.MALFORMED, "more than one message")

    def _end(self) -> None:
        status = self._told.get(b"grpc-status")
        if status is None:
            raise KubeletError(Trouble.MALFORMED, "it ends without a status")
        if status != _OK:
            name = _STATUS.get(status) or f"status {_words(status)}"
            message = _words(unquote_to_bytes(self._told.get(b"grpc-message", b"")))
            raise KubeletError(_TROUBLE.get(name, Trouble.FAILING), f"{name}: {message}" if message else name)
        if len(self._body) < _PREFIX.size or len(self._body) < _PREFIX.size + _PREFIX.unpack_from(self._body)[1]:
            raise KubeletError(Trouble.MALFORMED, "it ends before the message does")
        self.answer = bytes(self._body[_PREFIX.size :])

    def _broken(self, trouble: Trouble, detail: str) -> KubeletError:
        return KubeletError(trouble, detail) if self._speaks_http2 else KubeletError(Trouble.NOT_A_KUBELET)


def _names(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    return {name: value for name, value in headers}  # noqa: C416 - as they are, for mypy


def _name(code: ErrorCodes | int | None) -> str:
    return code.name if isinstance(code, ErrorCodes) else str(code)


def _words(raw: bytes) -> str:
    """Fit for one line of a log."""
    text = raw[: 4 * _MAX_TOLD].decode("utf-8", "replace")[:_MAX_TOLD]
    return "".join(letter if letter.isprintable() else "?" for letter in text)
