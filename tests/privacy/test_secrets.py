"""A marked secret in every place where one can stand; then everything that watchkeeper says is searched for it."""

import base64
import http.client
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
import yaml

from watchkeeper.agent.command_line import main
from watchkeeper.core.testkit import MarkedPeer, RunningWatchkeeper, free_port

MARK = "ZXQSECRET"


AWAITED = ("postgresql", "127.0.0.1", "watchkeeper_auth_failures_total", 'exporter="kafka"')


def secret(name: str) -> str:
    return f"{MARK}-{name}-0123456789"


class Secrets:
    """Files with a marked secret each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def file(self, name: str, content: str = "") -> str:
        path = self.folder / name
        path.write_text(content or secret(name))
        path.chmod(0o600)
        return str(path)


def settings(secrets: Secrets, peer: MarkedPeer, state: Path) -> dict[str, Any]:
    """Everything that takes a secret, and peers of which most are away or refuse."""
    away = f"127.0.0.1:{free_port()}"
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(secrets.folder / "certificate"))
    key = f"{MARK} not part of it\n{certificate.private_key_pem.bytes().decode()}"
    tls = {"certificate_file": str(secrets.folder / "certificate"), "key_file": secrets.file("tls-key", key)}
    asked = {"bearer_token_file": secrets.file("engine"), "headers": {"x-key": secret("header")}}
    kafka = {"servers": [away], "sasl": "PLAIN", "username": "w", "password_file": secrets.file("kafka")}
    return {
        "log_level": "debug",
        "state_folder": str(state),
        "web": {"token_file": secrets.file("web")},
        "otlp": {"token_file": secrets.file("otlp"), "tls": tls},
        "control": {"enabled": True, "port": free_port(), "token_file": secrets.file("ann", f"ann: {secret('ann')}")},
        "engines": [{"url": f"{peer.url}/x", **asked}, {"url": f"http://{away}", **asked}],
        "vendor_exporter": [{"url": peer.url, **asked}],
        "capture": {"share": 1.0, "path": str(state / "captured"), "patterns": [secret("pattern")]},
        "checks": {
            "classifier": {"enabled": True, "url": f"{peer.url}/judge", "key_file": secrets.file("key")}
            | {"key": secret("inline")},
            "secrets": {
                "canaries": [secret("canary")],
                "canaries_file": secrets.file("canaries"),
            },
        },
        "exporters": {
            "kafka": {"enabled": True, "connection": kafka},
            "otlp": {
                "enabled": True,
                "endpoint": peer.url,
                "headers_file": secrets.file("headers", f"authorization: {secret('headers')}"),
                "interval_seconds": 0.5,
            },
            "store": {
                "enabled": True,
                "url": f"postgresql://w@{away}/w",
                "password_file": secrets.file("store"),
            },
        },
    }


def ask(port: int, path: str, authorization: str = "", method: str = "GET") -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, headers={"Authorization": authorization} if authorization else {})
    answer = connection.getresponse()
    return str(answer.headers).encode() + answer.read()


def said(folder: Path) -> Iterator[tuple[str, bytes]]:
    """What each file holds."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes()


def test_no_secret_is_in_what_a_running_watchkeeper_says_writes_or_sends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WATCHKEEPER_CONTROL_TOKEN", secret("environment"))
    secrets, state = Secrets(tmp_path / "secrets"), tmp_path / "state"
    state.mkdir()
    with MarkedPeer() as peer:
        peer.answers = {"/judge": (401, "text/plain", b"who are you"), "/x/metrics": (403, "text/plain", b"no")}
        given = settings(secrets, peer, state)
        found: dict[str, bytes] = {}
        with RunningWatchkeeper(tmp_path, given) as running:
            wrong, basic = f"Bearer {secret('guess')}", base64.b64encode(f"w:{secret('guess')}".encode()).decode()
            control = given["control"]["port"]
            for port in (running.web_port, control):
                for sent in (wrong, f"Basic {basic}", secret("guess"), f"Bearer {secret('guess') * 1000}"):
                    found[f"{port} {sent[:9]}"] = ask(port, "/metrics", sent)
            found["post"] = ask(control, "/v1/findings/x/close", wrong, "POST")
            trusted = grpc.ssl_channel_credentials((secrets.folder / "certificate").read_bytes())
            with grpc.secure_channel(f"127.0.0.1:{running.grpc_port}", trusted) as channel:
                call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
                with suppress(grpc.RpcError):
                    call(b"", timeout=5, metadata=(("authorization", wrong),))
            end = time.monotonic() + 120
            while time.monotonic() < end:
                found["/metrics"] = ask(running.web_port, "/metrics", f"Bearer {secret('web')}")
                if len(peer.bodies) > 1 and all(word in running.log() + str(found["/metrics"]) for word in AWAITED):
                    break
                time.sleep(0.05)
            for path in ("/", "/data", "/findings", "/status", f"/{secret('path')}"):
                found[path] = ask(running.web_port, path, f"Bearer {secret('web')}")
            for path in ("/v1/health", "/v1/findings", "/v1/audit", "/openapi.json"):
                found[f"control {path}"] = ask(control, path, f"Bearer {secret('ann')}")
        found["log"] = running.log().encode()
        found |= {f"sent {place}": body for place, body in enumerate(peer.bodies)}
        found |= dict(said(state))
        for command in (["check-config"], ["doctor", "--config"]):
            main([*command, str(tmp_path / "watchkeeper.yaml")])
            printed = capsys.readouterr()
            found[command[0]] = (printed.out + printed.err).encode()

    assert b"exporters.store" in found["doctor"]
    assert len(peer.bodies) > 1
    assert all(word in str(found["log"] + found["/metrics"]) for word in AWAITED)
    assert [name for name, text in found.items() if MARK.encode() in text] == []


PEM = f"-----BEGIN PRIVATE KEY-----\n{MARK}"
STORE = "{enabled: true, state_folder: /tmp, url: '%s'}"


@pytest.mark.parametrize(
    "text",
    [
        f"exporters: {{store: {STORE % f'postgresql://w:{MARK}@h/d'}}}",
        f"exporters: {{store: {STORE % f'postgresql://w@h/d?password={MARK}'}}}",
        f"exporters: {{store: {STORE % f'w:{MARK}@h/d'}}}",
        f"exporters: {{store: {{enabled: true, url: [{MARK}]}}}}",
        f"exporters: {{otlp: {{enabled: true, endpoint: 'w:{MARK}@h:4318'}}}}",
        f"exporters: {{otlp: {{enabled: true, endpoint: 'http://w:{MARK}@h:4318/v1/metrics'}}}}",
        f"exporters: {{otlp: {{enabled: true, endpoint: http://h, headers_file: FILE[{MARK}]}}}}",
        f"exporters: {{kafka: {{enabled: true, connection: {{servers: ['w:{MARK}@h']}}}}}}",
        f"engines: [{{url: 'http://w:{MARK}@h:1'}}]",
        f"engines: [{{url: 'w:{MARK}@h:1'}}]",
        f"vendor_exporter: [{{url: 'ftp://w:{MARK}@h:1'}}]",
        f"tap: [{{port: 1, upstream: 'http://w:{MARK}@h:1'}}]",
        f"checks: {{classifier: {{enabled: true, url: 'http://h', key: [{MARK}]}}}}",
        f"checks: {{classifier: {{enabled: true, url: 'w:{MARK}@h', key: 7}}}}",
        f"checks: {{classifier: {{enabled: true, url: 'http://h', key: {{{MARK}: 1}}}}}}",
        f"checks: {{secrets: {{canaries: [{MARK}, 1]}}}}",
        f"web: {{token_file: FILE[{MARK[:8]}]}}",
        f"web: {{token_file: 'FILE[{MARK} has three words]'}}",
        f"otlp: {{token_file: 'FILE[{MARK}: a]'}}",
        f"control: {{enabled: true, token_file: FILE[{MARK}-0123456789-and-no-name]}}",
        f"web: {{tls: {{certificate_file: FILE[{MARK}], key_file: FILE[{MARK}]}}}}",
        f"web: {{tls: {{certificate_file: [{MARK}]}}}}",
        f"checks: {{classifier: {{keys: {MARK}}}}}",
    ],
)
def test_a_mistake_around_a_secret_is_named_and_not_quoted(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.yaml"
    while "FILE[" in text:
        before, _, rest = text.partition("FILE[")
        content, _, after = rest.partition("]")
        (tmp_path / "held").write_text(content)
        text = f"{before}{tmp_path / 'held'}{after}"
    file.write_text(text)
    yaml.safe_load(text)

    assert main(["check-config", str(file)]) == 2
    main(["doctor", "--config", str(file)])

    printed = capsys.readouterr()
    assert printed.err
    assert MARK[:8] not in printed.out + printed.err
