"""`watchkeeper health`, which probes run where nothing else can ask."""

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme

from watchkeeper.agent.command_line import main
from watchkeeper.core.testkit import RunningWatchkeeper, free_port


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is asked here may stand still for a while."""
    monkeypatch.setattr("watchkeeper.agent.health._SECONDS", 60.0)


@contextmanager
def answering(
    status: int, said: bytes, context: ssl.SSLContext | None = None, server: str = "watchkeeper"
) -> Iterator[int]:
    """Port of a server that gives the same answer to everything."""
    name = server

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(said)

        def version_string(self) -> str:
            return name

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def saying(*parts: bytes, pause_seconds: float = 0.0) -> Iterator[int]:
    """Port of a server that says so to one, whatever is asked."""
    is_over = threading.Event()

    def say(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer, suppress(OSError):
            for part in parts:
                peer.sendall(part)
                if is_over.wait(pause_seconds):
                    return
            peer.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=say, args=(listener,))
        thread.start()
        yield listener.getsockname()[1]
        is_over.set()
        thread.join()


def dripping(begin: bytes) -> AbstractContextManager[int]:
    """A byte each 20 ms, for as long as it is listened to."""
    return saying(begin, *(bytes([letter]) for letter in b"H" * 10_000), pause_seconds=0.02)


def configuration(folder: Path, text: str) -> str:
    path = folder / "watchkeeper.yaml"
    path.write_text(text)
    return str(path)


def test_a_running_one_is_well_and_ready(tmp_path, capsys):
    with RunningWatchkeeper(tmp_path) as watchkeeper:
        asked = ["health", "--config", str(tmp_path / "watchkeeper.yaml")]

        assert (main(asked), main([*asked, "--ready"])) == (0, 0)
        assert capsys.readouterr().out.splitlines() == [
            f"127.0.0.1:{watchkeeper.web_port}/healthz: 200 ok",
            f"127.0.0.1:{watchkeeper.web_port}/readyz: 200 ok",
        ]


def test_one_that_stalls_is_not_well(tmp_path, capsys):
    with answering(503, b"stalled\n") as port:
        code = main(["health", "--config", configuration(tmp_path, f"web: {{port: {port}}}")])

    assert (code, capsys.readouterr().out) == (1, f"127.0.0.1:{port}/healthz: 503 stalled\n")


@pytest.mark.parametrize(
    ("server", "found"),
    [("nginx/1.27.3", "names itself 'nginx/1.27.3'"), ("", "does not say what it is")],
    ids=["named", "nameless"],
)
def test_another_program_that_says_200_is_not_well_and_told_by_its_name(tmp_path, capsys, server, found):
    with answering(200, b"ok\n", server=server) as port:
        code = main(["health", "--config", configuration(tmp_path, f"web: {{port: {port}}}")])

    said = f"127.0.0.1:{port}/healthz: no watchkeeper answers there, but what {found} (with 200)\n"
    assert (code, capsys.readouterr().out) == (1, said)


@pytest.mark.parametrize(
    "begin", [b"", b"HTTP/1.1 200 OK\r\nServer: watchkeeper\r\nContent-Length: 100000\r\n\r\n"], ids=["head", "body"]
)
def test_an_answer_that_drips_is_over_when_its_time_is(tmp_path, capsys, monkeypatch, begin):
    monkeypatch.setattr("watchkeeper.agent.health._SECONDS", 0.5)
    with dripping(begin) as port:
        code = main(["health", "--config", configuration(tmp_path, f"web: {{port: {port}}}")])

    assert (code, capsys.readouterr().out) == (1, f"127.0.0.1:{port}/healthz: no whole answer within 0.5 s\n")


def test_what_speaks_no_http_is_told_in_a_line_without_its_words(tmp_path, capsys):
    with saying(b"SSH-2.0-OpenSSH_9.2\x1b[31m\r\n") as port:
        code = main(["health", "--config", configuration(tmp_path, f"web: {{port: {port}}}")])

    assert (code, capsys.readouterr().out) == (1, f"127.0.0.1:{port}/healthz: what answers there speaks no HTTP\n")


def test_where_nobody_listens_it_is_one_line_and_exit_1(tmp_path, capsys):
    port = free_port()
    code = main(["health", "--config", configuration(tmp_path, f"web: {{port: {port}}}")])

    assert (code, capsys.readouterr().out) == (1, f"127.0.0.1:{port}/healthz: [Errno 111] Connection refused\n")


def test_a_name_that_no_host_can_have_is_one_line_and_exit_1(tmp_path, capsys):
    code = main(["health", "--config", configuration(tmp_path, "web: {host: a..b}")])

    said = capsys.readouterr().out
    assert (code, said.count("\n"), said.partition(": ")[0]) == (1, 1, "a..b:9464/healthz")


def test_all_addresses_are_asked_at_the_loopback(tmp_path, capsys):
    with answering(200, b"ok\n") as port:
        code = main(["health", "--config", configuration(tmp_path, f"web: {{host: 0.0.0.0, port: {port}}}")])

    assert (code, capsys.readouterr().out) == (0, f"127.0.0.1:{port}/healthz: 200 ok\n")


def test_the_environment_wins_over_the_file_as_it_does_for_run(tmp_path, monkeypatch):
    with answering(200, b"ok\n") as port:
        monkeypatch.setenv("WATCHKEEPER__WEB__PORT", str(port))

        assert main(["health", "--config", configuration(tmp_path, "web: {port: 1}")]) == 0


def test_a_port_with_tls_is_asked_with_tls_by_whatever_name_and_authority(tmp_path):
    authority = trustme.CA()
    long_over = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = authority.issue_cert("elsewhere.example", not_after=long_over)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    with answering(200, b"ok\n", context) as port:
        tls = f"{{certificate_file: {tmp_path}/cert.pem, key_file: {tmp_path}/key.pem}}"
        code = main(["health", "--config", configuration(tmp_path, f"web: {{port: {port}, tls: {tls}}}")])

    assert code == 0


def test_other_sections_of_the_file_are_not_its_business(tmp_path):
    with answering(200, b"ok\n") as port:
        text = f"web: {{port: {port}}}\nsection_of_a_newer_version: {{}}\n"

        assert main(["health", "--config", configuration(tmp_path, text)]) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("web: {port: 0}", "web.port: 0 is any free port, which nobody knows to ask; set web.port"),
        ("web: {port: many}", "Expected `int`, got `str` - at `$.web.port`; see watchkeeper check-config"),
        ("web: {prot: 1}", "Object contains unknown field `prot` - at `$.web`; see watchkeeper check-config"),
    ],
)
def test_a_configuration_that_does_not_say_where_to_ask_is_exit_2(tmp_path, capsys, text, said):
    code = main(["health", "--config", configuration(tmp_path, text)])

    assert (code, said in capsys.readouterr().err) == (2, True)
