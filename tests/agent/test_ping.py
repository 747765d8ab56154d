"""`watchkeeper ping`: what `helm test` runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from watchkeeper.agent.command_line import main
from watchkeeper.agent.ping import Ping, ping
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.testkit import RunningWatchkeeper, free_port

TOKEN = "0123456789abcdef-ping"  # noqa: S105 - of this test alone


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


def test_a_call_sent_is_found_in_the_metrics_time_and_again(tmp_path, capsys):
    with RunningWatchkeeper(tmp_path) as watchkeeper:
        otlp, metrics = f"http://127.0.0.1:{watchkeeper.http_port}", f"http://127.0.0.1:{watchkeeper.web_port}"
        asked = ["ping", "--otlp", otlp, "--metrics", metrics]

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
            assert main(["ping", *asked, "--server-name=gateway.obs.svc"]) == 0
            assert main(["ping", *asked, "--server-name=other.obs.svc", "--seconds=0"]) == 1
        finally:
            watchkeeper.terminate()
    assert "certificate is not valid for 'other.obs.svc'" in capsys.readouterr().out


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
        (Ping("http://h:1", "http://h:1", 1.0, otlp_token_file="/nowhere"), "'/nowhere' cannot be read"),
        (Ping("https://h:1", "http://h:1", 1.0, ca_file="/nowhere"), "certificates cannot be used"),
    ],
    ids=["address", "token", "certificates"],
)
def test_what_cannot_be_used_is_refused_in_one_line(wanted, problem):
    with pytest.raises(ConfigError, match=problem):
        ping(wanted, lambda: 0.0, lambda _: None)
