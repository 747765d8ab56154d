"""Ports for tests."""

import socket


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody listens on now. For programs that cannot bind port 0 themselves; bind soon."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        port: int = listener.getsockname()[1]
        return port
