"""Ports for tests."""

import socket
from collections import deque
from pathlib import Path
from threading import Lock
from typing import Final

_GIVEN_TO_ANYBODY: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST: Final = 10_000
_BLOCK: Final = 250
_lock: Final = Lock()
_claims: Final[list[socket.socket]] = []
_mine: Final[deque[int]] = deque()


def free_port(host: str = "127.0.0.1") -> int:
    """
    A TCP port nobody listens on, for programs that cannot bind port 0 themselves, or at which nothing shall answer.
    The system gives it to nobody who asks for any port, and no other process that asks here gets it.
    """
    with _lock:
        if not _mine:
            _mine.extend(_claimed())
        for _ in range(len(_mine)):
            port = _mine[0]
            _mine.rotate(-1)
            if _is_free(host, port):
                return port
    with socket.socket() as listener:
        listener.bind((host, 0))
        anyone: int = listener.getsockname()[1]
        return anyone


def _claimed() -> range:
    """A block that no other process has: its first port, bound as long as we live, stands for them all."""
    for first in range(_LOWEST, _highest() - _BLOCK, _BLOCK):
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", first))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return range(first + 1, first + _BLOCK)
    return range(0)


def _highest() -> int:
    """From here on the system gives ports to who asks for any; 32768 where that cannot be read."""
    try:
        return int(_GIVEN_TO_ANYBODY.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True
