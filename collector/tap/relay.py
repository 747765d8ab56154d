"""
The two ends of a connection: what one receives the other sends, untouched, at the pace of whoever reads.

An end of either side is passed on as it is: no more to send (FIN) as that, a reset as a reset, so that the upstream
learns that its client has gone when it would have learnt it without a tap.
"""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from collector.tap.exchange import UPSTREAM_RESET
from collector.tap.heads import HeadRewriter
from collector.tap.observer import Observer
from collector.tap.refusals import Refusal

if TYPE_CHECKING:
    from collector.tap.tap import Tap

_EARLY_BYTES: Final = 64 << 10
"""taken from a client before its upstream is there"""
_PATIENCE_SECONDS: Final = 10.0
"""for a refused client to ask, and to read the answer"""
_FLUSH_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.02
_RESET: Final = struct.pack("ii", 1, 0)


class Client(asyncio.Protocol):
    """The end towards the client. It opens its own connection to the upstream."""

    def __init__(self, tap: "Tap") -> None:
        self._tap = tap
        self._early: list[bytes] = []
        self._early_bytes = 0
        self._connecting: asyncio.Task[None] | None = None
        self._refusal: Refusal | None = None
        self._has_ended = False
        self._upstream_has_ended = False
        self._rewriter: HeadRewriter | None = None
        self._to: asyncio.Transport | None = None
        self.transport: asyncio.Transport
        self.observer: Observer | None = None
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        _keep_alive(transport)
        refusal = self._tap.admit(self)
        if refusal is not None:
            self.refuse(refusal)
            return
        self._rewriter = self._tap.rewriter()
        self._connecting = asyncio.get_running_loop().create_task(self._tap.connect(self))

    def upstream_made(self, upstream: "Upstream", transport: asyncio.Transport) -> None:
        """The upstream has accepted: it gets what came meanwhile."""
        self._to = transport
        self._connecting = None
        for data in self._early:
            transport.write(data)
        self._early.clear()
        if self._early_bytes > _EARLY_BYTES:
            self.transport.resume_reading()
        if self._has_ended:
            self._pass_end_on()

    def refuse(self, refusal: Refusal) -> None:
        """Answer the first request, or the one that is there, and end the connection."""
        self._refusal = refusal
        self._connecting = None
        self._early.clear()
        if self.is_lost:
            return
        asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self.transport.abort)
        if self._early_bytes > _EARLY_BYTES:
            self.transport.resume_reading()
        if self._early_bytes:
            self._answer(refusal)
            self._tap.call_refused(self, refusal)
        elif self._has_ended:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        tap = self._tap
        tap.request_bytes += len(data)
        to = self._to
        if to is not None and self._rewriter is None:
            to.write(data)
        else:
            self._pass_on(data)
        if self.observer is not None:
            tap.watch(self, self.observer.request, data)
            if self._refusal is not None:
                tap.call_refused(self, self._refusal)

    def eof_received(self) -> bool:
        self._has_ended = True
        self._tap.client_done(self)
        if self._upstream_has_ended or self._refusal is not None:
            self.transport.close()
        elif self._to is not None:
            self._pass_end_on()
        return self.transport.can_write_eof()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        self._tap.client_lost(self)
        if self._connecting is not None:
            self._connecting.cancel()
        to, self._to = self._to, None
        if to is not None and self._has_ended and self._upstream_has_ended:
            to.close()
        elif to is not None:
            reset(to)

    def pause_writing(self) -> None:
        if self._to is not None:
            self._to.pause_reading()

    def resume_writing(self) -> None:
        if self._to is not None:
            self._to.resume_reading()

    def upstream_ended(self) -> None:
        """The upstream sends no more."""
        self._upstream_has_ended = True
        if self._has_ended or not self.transport.can_write_eof():
            self.transport.close()
        elif not self.is_lost:
            self.transport.write_eof()

    def upstream_lost(self, was_whole: bool) -> None:
        """The upstream's connection is gone; what it sent before still reaches the client."""
        self._to = None
        if self.is_lost:
            return
        if was_whole:
            self.transport.close()
        else:
            self._reset_when_flushed(asyncio.get_running_loop().time() + _FLUSH_SECONDS)

    def heard(self, data: bytes) -> None:
        """What the upstream sends, for the rewriter."""
        if self._rewriter is not None:
            self._rewriter.hear(data)

    def _pass_on(self, data: bytes) -> None:
        if self._refusal is not None:
            if not self._early_bytes:
                self._answer(self._refusal)
            self._early_bytes += len(data)
            return
        if self._rewriter is not None:
            data = self._rewriter.feed(data)
        if self._to is not None:
            if data:
                self._to.write(data)
            return
        was_full = self._early_bytes > _EARLY_BYTES
        self._early.append(data)
        self._early_bytes += len(data)
        if self._early_bytes > _EARLY_BYTES and not was_full:
            self.transport.pause_reading()

    def _pass_end_on(self) -> None:
        to = self._to
        if to is None:
            return
        if self._rewriter is not None and (rest := self._rewriter.rest()):
            to.write(rest)
        if to.can_write_eof():
            to.write_eof()
        else:
            reset(to)

    def _answer(self, refusal: Refusal) -> None:
        self.transport.write(refusal.encode())
        if self._has_ended or not self.transport.can_write_eof():
            self.transport.close()
        else:
            self.transport.write_eof()  # not closed: what the client still sends would cost it the answer

    def _reset_when_flushed(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        if self.is_lost:
            return
        if self.transport.get_write_buffer_size() and loop.time() < deadline:
            loop.call_later(_POLL_SECONDS, self._reset_when_flushed, deadline)
        else:
            reset(self.transport)


class Upstream(asyncio.Protocol):
    """The end towards the upstream."""

    def __init__(self, tap: "Tap", client: Client) -> None:
        self._tap = tap
        self._client = client
        self._to = client.transport
        self._has_ended = False
        self._rewrites = tap.target.rewrites
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        _keep_alive(transport)
        if self._client.is_lost:
            reset(transport)
        else:
            self._client.upstream_made(self, transport)

    def data_received(self, data: bytes) -> None:
        tap = self._tap
        tap.response_bytes += len(data)
        self._to.write(data)
        client = self._client
        if self._rewrites:
            client.heard(data)
        if client.observer is not None:
            tap.watch(client, client.observer.response, data)

    def eof_received(self) -> bool:
        self._has_ended = True
        self._tap.upstream_lost(self._client, "upstream_closed")
        self._client.upstream_ended()
        return self._transport.can_write_eof()

    def connection_lost(self, error: Exception | None) -> None:
        self._tap.upstream_lost(self._client, UPSTREAM_RESET if error is not None else "upstream_closed")
        self._client.upstream_lost(was_whole=self._has_ended)

    def pause_writing(self) -> None:
        self._client.transport.pause_reading()

    def resume_writing(self) -> None:
        self._client.transport.resume_reading()


def reset(transport: asyncio.Transport) -> None:
    """End a connection so that the other side learns at once that nobody is there."""
    plain = transport.get_extra_info("socket")
    if plain is not None and not transport.is_closing():
        with suppress(OSError):  # it is closed already
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def _keep_alive(transport: asyncio.Transport) -> None:
    """A peer that vanished without a word is noticed in the end, as the upstream would have noticed."""
    plain = transport.get_extra_info("socket")
    if plain is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
