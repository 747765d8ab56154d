"""Connections accepted, and their TLS handshakes: bounded in time and number, each that fails counted by its reason."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from watchkeeper.core.sparing_log import SparingLog
from watchkeeper.core.tls import ServerTls

_HANDSHAKES_SHARE: Final = 0.25
"""of the connections: as many TLS handshakes may be under way"""
_AT_ONCE: Final = 64
_AGAIN_SECONDS: Final = 1.0


class Acceptor:
    """
    Of one listening socket, on the running loop; each connection becomes a protocol. Not left to the loop: that tells
    nobody of handshakes that fail, and on running out of descriptors asyncio logs a traceback for each connection that
    waits, and multiplies its tries.
    """

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        listener: socket.socket,
        tls: ServerTls | None,
        log: SparingLog,
        *,
        max_connections: int,
        handshake_seconds: float,
        shutdown_seconds: float | None = None,
    ) -> None:
        """
        :param listener: is closed by `stop`
        :param max_connections: that the protocols allow
        :param handshake_seconds: after it a handshake that is not complete is ended
        :param shutdown_seconds: for the peer to take what is left, and to answer the end of TLS; None: the loop's own
        """
        self._make = make
        self._listener = listener
        self._tls = tls
        self._log = log
        self._handshake_seconds = handshake_seconds if tls is not None else None
        self._shutdown_seconds = shutdown_seconds if tls is not None else None
        self._loop = asyncio.get_running_loop()
        self._opening: dict[asyncio.Task[None], None] = {}  # the oldest first
        self._most_opening = max(_AT_ONCE, int(max_connections * _HANDSHAKES_SHARE))
        self._again: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._listener.setblocking(False)
        self._listen()

    async def stop(self) -> None:
        """Close the socket, and end the handshakes that are under way."""
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for task in tuple(self._opening):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._log.error("no connection can be accepted", _advice(error))
                self._loop.remove_reader(self._listener)
                self._again = self._loop.call_later(_AGAIN_SECONDS, self._listen)
                return
            task = self._loop.create_task(self._open(accepted))
            self._opening[task] = None
            task.add_done_callback(self._opened)
            if self._tls is not None and len(self._opening) > self._most_opening:
                self._crowd_out(self._tls)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.pop(task, None)

    def _crowd_out(self, tls: ServerTls) -> None:
        """End the oldest handshake: of those who mean it none takes long, and who floods holds the old ones."""
        oldest = next(iter(self._opening))
        del self._opening[oldest]
        oldest.cancel()
        tls.count("crowded_out")

    async def _open(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._make,
                accepted,
                ssl=self._tls.context if self._tls else None,
                ssl_handshake_timeout=self._handshake_seconds,
                ssl_shutdown_timeout=self._shutdown_seconds,
            )
        except OSError as error:  # the peer has gone, or TLS cannot be agreed on
            if self._tls is not None:
                self._tls.failed(error)
            accepted.close()


def _advice(error: OSError) -> str:
    why = os.strerror(error.errno or 0)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"{why}; raise the limit on open files (ulimit -n, LimitNOFILE=), or find who opens so many connections"
    return f"{why}; tried again every second"
