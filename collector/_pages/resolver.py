"""Host names to addresses, so that a name server that hangs holds up nothing but the names it was asked for."""

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

_Question = tuple[str, int, int]
_Found = list[ResolveResult] | OSError


class ThreadPerNameResolver(AbstractResolver):
    """
    One daemon thread a name at most. The event loop's own threads would be used up by a few hanging look-ups, and both
    closing the loop and leaving the program would wait for them.
    """

    def __init__(self) -> None:
        self._running: dict[_Question, asyncio.Future[_Found]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """:raises OSError: there is no such name, or nobody to ask"""
        question = (host, port, int(family))
        answer = self._running.get(question)
        if answer is None:
            loop = asyncio.get_running_loop()
            answer = self._running[question] = loop.create_future()
            threading.Thread(target=self._look_up, args=(loop, question), name=f"resolve-{host}", daemon=True).start()
        found = await asyncio.shield(answer)
        if isinstance(found, OSError):
            raise found
        return found

    async def close(self) -> None:
        """A look-up still running ends unheard."""

    def _look_up(self, loop: asyncio.AbstractEventLoop, question: _Question) -> None:
        found = _ask(*question)
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(self._settle, question, found)

    def _settle(self, question: _Question, found: _Found) -> None:
        answer = self._running.pop(question)
        if not answer.done():
            answer.set_result(found)


def _ask(host: str, port: int, family: int) -> _Found:
    try:
        entries = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
    except UnicodeError:
        return OSError(f"{host} is no host name")
    except OSError as error:
        return error
    return [_result(host, *entry) for entry in entries]


def _result(host: str, family: int, _type: int, proto: int, _name: str, address: tuple[Any, ...]) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=str(address[0]),
        port=int(address[1]),
        family=family,
        proto=proto,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
