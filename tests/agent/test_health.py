"""`watchkeeper health`, which probes run where nothing else can ask."""

import datetime
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme

from watchkeeper.agent.command_line import main
from watchkeeper.core.testkit import RunningWatchkeeper, free_port


@contextmanager
def answering(status: int, said: bytes, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Port of a server that gives the same answer to everything."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


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
