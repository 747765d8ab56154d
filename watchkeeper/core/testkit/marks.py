"""Marks to put wherever text can stand, and the search for them in what leaves."""

import http.server
import re
import threading
from typing import Final, Self

_MARK: Final = re.compile(rb"zqx-[a-z0-9_]*", re.IGNORECASE)


def mark(place: str) -> str:
    """A text that is nowhere else, and says where it was put."""
    return f"zqx-{re.sub('[^a-z0-9]', '_', place.lower())}-xqz and more of it"


def marks(data: bytes) -> set[str]:
    """
    The places whose marks are in it, also where a mark was cut or put into other letters.

    >>> marks(f"said: {mark('Tool.result')}".encode())
    {'tool_result'}
    """
    return {found.decode().lower().removeprefix("zqx-") for found in _MARK.findall(data)}


class MarkedPeer(http.server.ThreadingHTTPServer):
    """
    Keeps what is sent to it in `bodies`. Answers by path out of `answers`: status, type of the content, body; else 200
    and nothing. Its headers are marked.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, str, bytes]] = {}
        self.bodies: list[bytes] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: MarkedPeer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, kind, body = self.server.answers.get(self.path.partition("?")[0], (200, "text/plain", b""))
        self.send_response(status, mark("reason"))
        self.send_header("Content-Type", kind)
        self.send_header("X-Said", mark("header of an answer"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing: the tests' output is not the place."""
