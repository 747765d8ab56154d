import socket
import urllib.error
import urllib.request

import pytest

from watchkeeper.agent.web import WebServer
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Answer, Request


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
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


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
        urllib.request.urlopen(server.url + "nothing", timeout=5)

    assert (caught.value.code, caught.value.headers["Server"]) == (404, "watchkeeper")


def test_a_port_in_use_is_one_line_that_names_the_key() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match=r"^web\.port: .* is in use"):
        WebServer("127.0.0.1", taken.getsockname()[1], {})
