"""`watchkeeper ping`: what `helm test` runs."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from watchkeeper.agent.command_line import main
from watchkeeper.agent.ping import Ping, located, ping
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.testkit import RunningWatchkeeper, free_port

TOKEN = "0123456789abcdef-ping"  # noqa: S105 - of this test alone


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is asked here may stand still for a while."""
    for name in ("_WAIT_SECONDS", "_ANSWER_SECONDS"):
        monkeypatch.setattr(f"watchkeeper.agent.ping.{name}", 60.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A certificate for `gateway.obs.svc`, one for a client, their authority, and a token."""
    folder = tmp_path_factory.mktemp("files")
    authority = trustme.CA()
    server, client = authority.issue_cert("gateway.obs.svc"), authority.issue_cert("client@obs.svc")
    authority.cert_pem.write_to_path(folder / "ca.crt")
    for name, issued in (("server", server), ("client", client)):
        issued.cert_chain_pems[0].write_to_path(folder / f"{name}.crt")
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
    (folder / "token").write_text(f"prometheus: {TOKEN}\n")
    return folder


@contextmanager
def answering(said: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Address of a server that says the same to everything, and what it was told of who asks."""
    asked: list[bytes] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization", "").encode("latin-1"))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(said)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@contextmanager
def dripping() -> Iterator[str]:
    """Address of a server whose answer comes a byte each 20 ms, and never ends."""
    is_over = threading.Event()

    class Drips(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while not is_over.wait(0.02):
                    self.wfile.write(b"#")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Drips) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        is_over.set()
        server.shutdown()


def test_a_call_sent_is_found_in_the_metrics_time_and_again(tmp_path, capsys):
    with RunningWatchkeeper(tmp_path) as watchkeeper:
        otlp, metrics = f"http://127.0.0.1:{watchkeeper.http_port}", f"http://127.0.0.1:{watchkeeper.web_port}"
        asked = ["ping", "--otlp", otlp, "--metrics", metrics, "--seconds=120"]

        assert (main(asked), main(asked)) == (0, 0)
        assert watchkeeper.value("watchkeeper_requests_total", service_name="watchkeeper-ping") == 2
    assert capsys.readouterr().out.splitlines() == [f"a call sent to {otlp} is in {metrics}/metrics"] * 2


def test_it_asks_with_certificate_token_and_the_name_of_the_service(tmp_path, files, capsys):
    tls = {
        "certificate_file": str(files / "server.crt"),
        "key_file": str(files / "server.key"),
        "client_ca_file": str(files / "ca.crt"),
    }
    ports = {"web": free_port(), "otlp": free_port(), "grpc": free_port()}
    guarded = {"tls": tls, "token_file": str(files / "token")}
    config = tmp_path / "watchkeeper.yaml"
    web = {"port": ports["web"], **guarded}
    config.write_text(
        json.dumps({"web": web, "otlp": {"http_port": ports["otlp"], "grpc_port": ports["grpc"], **guarded}})
    )
    asked = [f"--otlp=https://127.0.0.1:{ports['otlp']}", f"--metrics=https://127.0.0.1:{ports['web']}"]
    asked += [f"--ca-file={files / 'ca.crt'}", f"--certificate-file={files / 'client.crt'}"]
    asked += [f"--key-file={files / 'client.key'}", f"--metrics-token-file={files / 'token'}"]
    asked += [f"--otlp-token-file={files / 'token'}"]

    command = [sys.executable, "-m", "watchkeeper", "run", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as watchkeeper:
        try:
            assert main(["ping", *asked, "--server-name=gateway.obs.svc", "--seconds=120"]) == 0
            assert main(["ping", *asked, "--server-name=other.obs.svc", "--seconds=0"]) == 1
        finally:
            watchkeeper.terminate()
    assert "certificate is not valid for 'other.obs.svc'" in capsys.readouterr().out


def test_where_it_runs_is_read_from_its_configuration_with_its_tokens_and_certificates(tmp_path, files, capsys):
    """The certificate is for another name than that of this machine, and its authority is nobody's here."""
    tls = {"certificate_file": str(files / "server.crt"), "key_file": str(files / "server.key")}
    guarded = {"host": "0.0.0.0", "tls": tls, "token_file": str(files / "token")}
    web, otlp, grpc = free_port(), free_port(), free_port()
    config = tmp_path / "watchkeeper.yaml"
    text = {"web": {"port": web, **guarded}, "otlp": {"http_port": otlp, "grpc_port": grpc, **guarded}}
    config.write_text(json.dumps(text))

    command = [sys.executable, "-m", "watchkeeper", "run", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as watchkeeper:
        try:
            codes = [main(["ping", f"--config={config}", "--seconds=120"])]
            other = tmp_path / "other.crt"
            other.write_text((files / "client.crt").read_text() + (files / "ca.crt").read_text())
            text["web"]["tls"] = tls | {"certificate_file": str(other)}
            config.write_text(json.dumps(text))
            codes.append(main(["ping", f"--config={config}", "--seconds=0"]))
        finally:
            watchkeeper.terminate()
    said = capsys.readouterr().out.splitlines()
    assert codes == [0, 1]
    assert said[0] == f"a call sent to https://127.0.0.1:{otlp} is in https://127.0.0.1:{web}/metrics"
    assert "certificate verify failed" in said[1]


def test_what_is_given_wins_over_the_configuration_whose_tokens_go_nowhere_else(tmp_path, files):
    config = tmp_path / "watchkeeper.yaml"
    config.write_text(json.dumps({"web": {"port": 1, "token_file": str(files / "token")}, "otlp": {"http_port": 2}}))
    given = Ping("", "http://elsewhere:9", 1.0)

    assert located(given, config, {"WATCHKEEPER__OTLP__HOST": "::"}) == Ping(
        "http://[::1]:2", "http://elsewhere:9", 1.0
    )
    assert located(Ping("http://h:1", "http://h:2", 1.0), None, {"WATCHKEEPER__WEB__PROT": "1"}).metrics == "http://h:2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("web: {port: 0}", "web.port: 0 is any free port, which nobody knows to ask; set web.port"),
        ("otlp: {http_port: 0}", "otlp.http_port: 0 is any free port, which nobody knows to ask; set otlp.http_port"),
        ("otlp: {enabled: false}", "otlp.enabled: false: no calls are taken; give --otlp URL of one that does"),
        ("role: node", "role: 'node' takes no calls; give --otlp URL of one that does"),
        ("otlp: {htp_port: 1}", "unknown field `htp_port` - at `$.otlp`; see watchkeeper check-config"),
    ],
)
def test_a_configuration_that_does_not_say_where_to_ask_is_exit_2(tmp_path, capsys, text, said):
    (tmp_path / "watchkeeper.yaml").write_text(text)
    code = main(["ping", "--config", str(tmp_path / "watchkeeper.yaml")])

    assert (code, said in capsys.readouterr().err) == (2, True)


def test_nobody_there_is_told_with_the_reason():
    wanted = Ping(f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}", 3.0)
    clock = iter(range(100))

    assert ping(wanted, lambda: next(clock), lambda _: None) == (
        False,
        "not within 3 s: [Errno 111] Connection refused",
    )


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (Ping("gateway:4318", "http://h:1", 1.0), "'gateway:4318' is no address"),
        (Ping("http://h:1", "http://h:99999", 1.0), "'http://h:99999' is no address"),
        (Ping("http://h:1", "http://[::1", 1.0), "is no address"),
        (Ping("http://h:1", "http://h:1", 1.0, otlp_token_file="/nowhere"), "'/nowhere' cannot be read"),
        (Ping("https://h:1", "http://h:1", 1.0, ca_file="/nowhere"), "certificates cannot be used"),
        (
            Ping("https://h:1", "http://h:1", 1.0, otlp_shown_file="/dev/null"),
            "used: it holds no certificate; look at '/d",
        ),
    ],
    ids=["address", "port", "brackets", "token", "certificates", "nothing"],
)
def test_what_cannot_be_used_is_refused_in_one_line(wanted, problem):
    with pytest.raises(ConfigError, match=problem):
        ping(wanted, lambda: 0.0, lambda _: None)


@pytest.mark.parametrize("number", ["", " ", " abc"])
def test_what_is_no_page_of_metrics_is_told_in_one_line(number):
    page = f'watchkeeper_requests_total{{service_name="watchkeeper-ping"}}{number}\n'.encode()
    with answering(page) as (url, _):
        clock = iter(range(100))
        told = ping(Ping(url, url, 1.0), lambda: next(clock), lambda _: None)

    assert told == (False, "not within 1 s: what answers at /metrics is no page of metrics")


def test_a_name_that_no_host_can_have_is_told_in_one_line():
    clock = iter(range(100))
    is_through, told = ping(Ping("http://h:1", "http://a..b:1", 1.0), lambda: next(clock), lambda _: None)

    assert (is_through, told.partition(": ")[0]) == (False, "not within 1 s")


def test_an_answer_that_drips_is_over_when_its_time_is(monkeypatch):
    monkeypatch.setattr("watchkeeper.agent.ping._ANSWER_SECONDS", 0.5)
    with dripping() as url:
        clock = iter(range(100))
        told = ping(Ping(url, url, 1.0), lambda: next(clock), lambda _: None)

    assert told == (False, "not within 1 s: no whole answer within 0.5 s")


def test_a_token_of_any_letters_is_sent(tmp_path):
    (tmp_path / "token").write_text("ann: 密码密码密码密码密码密码密码密码", encoding="utf-8")
    with answering(b"") as (url, asked):
        clock = iter(range(100))
        ping(Ping(url, url, 1.0, metrics_token_file=str(tmp_path / "token")), lambda: next(clock), lambda _: None)

    assert "Bearer 密码密码密码密码密码密码密码密码".encode() in b"".join(asked)
