import select
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest

from watchkeeper.agent.web import WebServer, default_bounds
from watchkeeper.core.bounded_http import Bounds
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Answer, Request
from watchkeeper.core.testkit import free_port


def hello(request: Request) -> Answer:
    return Answer(f"{request.query.get('lang')} {request.headers['accept']}".encode(), "text/plain; charset=utf-8")


def broken(request: Request) -> Answer:
    raise RuntimeError("a page with a mistake")


@pytest.fixture
def server() -> object:
    server = WebServer("127.0.0.1", 0, {"/": hello, "/broken": broken})
    server.start()
    yield server
    server.stop()


def get(server: WebServer, path: str) -> tuple[int, str]:
    request = urllib.request.Request(server.url.rstrip("/") + path, headers={"Accept": "a/b"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def wait_until_well(server: WebServer) -> None:
    """
    /healthz answers: where the limits of a connection are short, or its place is not free yet, in the end. Who is
    turned away may hear of it before the request is sent.
    """
    status = 0
    while status != 200:
        with suppress(ConnectionError, urllib.error.URLError):
            status, _ = get(server, "/healthz")


def test_a_served_page_gets_query_and_headers(server: WebServer) -> None:
    assert get(server, "/?lang=zh") == (200, "zh a/b")


def test_ready_follows_what_it_is_told_and_health_does_not(server: WebServer) -> None:
    before = get(server, "/readyz")
    server.set_ready(True)
    ready = get(server, "/readyz")
    server.set_ready(False)

    assert (before[0], ready[0], get(server, "/readyz")[0], get(server, "/healthz")[0]) == (503, 200, 503, 200)


def test_a_page_that_breaks_answers_500_without_its_traceback_and_the_next_request_works(server: WebServer) -> None:
    status, body = get(server, "/broken")

    assert status == 500
    assert "mistake" not in body
    assert get(server, "/healthz")[0] == 200


def test_an_unknown_path_is_404_and_names_no_library(server: WebServer) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(server.url + "nothing", timeout=60)

    assert (caught.value.code, caught.value.headers["Server"]) == (404, "watchkeeper")


def test_a_port_in_use_is_one_line_that_names_the_key() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match=r"^web\.port: .* is in use"):
        WebServer("127.0.0.1", taken.getsockname()[1], {})


@pytest.mark.parametrize(("host", "refused"), [("::", []), ("::1", ["127.0.0.1"])])
def test_all_addresses_are_those_of_both_families(host: str, refused: list[str]) -> None:
    running = WebServer(host, free_port(), {})
    running.start()
    try:
        for peer in ("::1", "127.0.0.1"):
            connection = HTTPConnection(peer, running.port, timeout=30)
            if peer in refused:
                with pytest.raises(ConnectionRefusedError):
                    connection.request("GET", "/healthz")
            else:
                connection.request("GET", "/healthz")
                assert connection.getresponse().status == 200
            connection.close()
    finally:
        running.stop()


def patient(**changed: float) -> Bounds:
    """Bounds that no test waits for, but for those `changed`."""
    return Bounds(**{"max_connections": 100, "head_seconds": 60, "request_seconds": 60, "idle_seconds": 60} | changed)


@pytest.fixture
def serve() -> Iterator[Callable[..., WebServer]]:
    started: list[WebServer] = []

    def start(bounds: Bounds) -> WebServer:
        started.append(WebServer("127.0.0.1", 0, {"/large": large}, bounds))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.stop()


def large(_: Request) -> Answer:
    return Answer(bytes(64 << 20), "text/plain")


def connect(server: WebServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def received(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    parts = []
    with suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


class TestBounds:
    def test_a_head_that_stays_half_open_is_closed(self, serve: Callable[..., WebServer]) -> None:
        server = serve(patient(head_seconds=0.2))
        with connect(server) as connection:
            connection.sendall(b"GET /healthz HT")
            assert received(connection) == b""

        wait_until_well(server)

    def test_a_connection_that_asks_nothing_is_closed(self, serve: Callable[..., WebServer]) -> None:
        server = serve(patient(idle_seconds=0.2))
        with connect(server) as connection:
            assert received(connection) == b""

    def test_a_connection_whose_peer_does_not_read_is_closed(self, serve: Callable[..., WebServer]) -> None:
        server = serve(patient(request_seconds=0.2))
        with connect(server) as connection:
            connection.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            hung_up = select.poll()
            hung_up.register(connection, 0)  # POLLERR and POLLHUP alone: nothing is read
            assert hung_up.poll(60_000)

        wait_until_well(server)

    def test_one_connection_too_many_is_told_so_and_room_comes_back(self, serve: Callable[..., WebServer]) -> None:
        server = serve(patient(max_connections=2))
        with connect(server), connect(server), connect(server) as third:
            answer = received(third)

        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nServer: watchkeeper\r\n" in answer
        assert answer.endswith(b"\r\n\r\ntoo many connections; retry later\n")
        wait_until_well(server)

    def test_a_method_that_changes_things_is_refused(self, server: WebServer) -> None:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(server.url, data=b"x", timeout=60)

        assert (caught.value.code, caught.value.headers["Allow"]) == (405, "GET, HEAD")

    def test_head_has_the_headers_of_get_and_no_body(self, server: WebServer) -> None:
        with connect(server) as connection:
            connection.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            head, _, body = received(connection).partition(b"\r\n\r\n")

        assert b"Content-Length: 3" in head
        assert body == b""

    def test_bytes_that_are_not_http_are_answered_400_without_quoting_them(self, server: WebServer) -> None:
        with connect(server) as connection:
            connection.sendall(b"canary canary canary\r\n\r\n")
            answer = received(connection)

        assert answer.split()[1] == b"400"
        assert b"canary" not in answer

    def test_a_page_that_keeps_breaking_is_one_line_without_its_words(
        self, server: WebServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(5):
            get(server, "/broken")

        [line] = [record.getMessage() for record in caplog.records]
        assert line.startswith("/broken failed: RuntimeError at ")
        assert "mistake" not in caplog.text

    def test_at_most_half_of_the_descriptors_are_for_this_port(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("resource.getrlimit", lambda _: (200, 200))

        assert default_bounds().max_connections == 100


OUT_OF_DESCRIPTORS = """
import logging, resource, sys
from watchkeeper.agent.web import WebServer
from watchkeeper.core.bounded_http import Bounds

logging.basicConfig(stream=sys.stderr)
server = WebServer("127.0.0.1", 0, {}, Bounds(1000, 0.5, 0.5, 60.0))
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
server.start()
print(server.port, flush=True)
sys.stdin.read()
"""


def test_without_descriptors_one_line_says_what_to_do_and_the_port_recovers(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-c", OUT_OF_DESCRIPTORS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        ) as process,
        ExitStack() as stack,
    ):
        stack.callback(process.kill)
        assert process.stdout is not None
        port = int(process.stdout.readline())
        for _ in range(60):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            connection.sendall(b"GET /hea")
        while b"ulimit -n" not in log.read_bytes():
            time.sleep(0.01)

        status = 0
        while status != 200:  # half a second is short for a request of a machine that stands still
            with (
                suppress(ConnectionError, urllib.error.URLError),
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60) as answer,
            ):
                status = answer.status

    assert len(log.read_text().splitlines()) == 1


def test_probes_tell_when_the_pipeline_stands_still() -> None:
    alive = True
    server = WebServer("127.0.0.1", 0, {}, is_alive=lambda: alive)
    server.start()
    server.set_ready(True)
    try:
        before = [get(server, path)[0] for path in ("/healthz", "/readyz")]
        alive = False
        after = [get(server, path)[0] for path in ("/healthz", "/readyz")]
    finally:
        server.stop()

    assert (before, after) == ([200, 200], [503, 503])
