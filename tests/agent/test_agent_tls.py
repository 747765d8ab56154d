"""A whole watchkeeper under TLS: its ticks and reads are what looks at the files again."""

import base64
import os
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
import yaml

from watchkeeper.agent import registry
from watchkeeper.agent.agent import Agent
from watchkeeper.agent.config import load, root_type
from watchkeeper.core import rereading
from watchkeeper.core.testkit import free_port

AUTHORITY, CLIENTS = trustme.CA(), trustme.CA()
TOKEN = "a-token-that-nobody-guesses"  # noqa: S105


def write(folder: Path, authority: trustme.CA, token: str) -> None:
    issued = authority.issue_cert("127.0.0.1")
    for name, content in (
        ("certificate", issued.cert_chain_pems[0].bytes()),
        ("key", issued.private_key_pem.bytes()),
        ("token", f"ann: {token}".encode()),
    ):
        (folder / f"{name}.new").write_bytes(content)
        os.replace(folder / f"{name}.new", folder / name)


@pytest.fixture
def ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Of a watchkeeper that looks at its files all the time, by name."""
    monkeypatch.setattr(rereading, "CHECK_SECONDS", 0.0)
    found = {"web": free_port(), "control": free_port(), "otlp": free_port()}
    tls = {"certificate_file": str(tmp_path / "certificate"), "key_file": str(tmp_path / "key")}
    settings: dict[str, Any] = {
        "role": "gateway",
        "state_folder": str(tmp_path),
        "web": {
            "port": found["web"],
            "tls": tls | {"client_ca_file": str(tmp_path / "clients")},
            "token_file": str(tmp_path / "token"),
        },
        "control": {"enabled": True, "port": found["control"], "tls": tls, "token_file": str(tmp_path / "token")},
        "otlp": {
            "http_port": found["otlp"], "grpc_port": free_port(), "tls": tls, "token_file": str(tmp_path / "token"),
            "shutdown_grace_seconds": 0,
        },
        "exporters": {"store": {"enabled": True}},
    }  # fmt: skip
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    parts = registry.sources(), registry.exporters(), registry.signals(), registry.checks()
    write(tmp_path, AUTHORITY, TOKEN)
    CLIENTS.cert_pem.write_to_path(str(tmp_path / "clients"))
    agent = Agent(load(tmp_path / "c.yaml", {}, root_type(*parts)), *parts)
    agent.start()
    yield found
    agent.stop()


def statuses(ports: dict[str, int], authority: trustme.CA, header: str) -> list[int]:
    """Of metrics, the control API and OTLP; 0 where TLS cannot be agreed on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    CLIENTS.issue_cert("client").configure_cert(context)
    asked = (("GET", "web", "/metrics"), ("GET", "control", "/v1/findings"), ("POST", "otlp", "/v1/traces"))
    found = []
    with httpx.Client(verify=context, timeout=60) as client:
        for method, port, path in asked:
            headers = {"Content-Type": "application/x-protobuf", "Authorization": header}
            try:
                found.append(
                    client.request(method, f"https://127.0.0.1:{ports[port]}{path}", headers=headers).status_code
                )
            except httpx.ConnectError:
                found.append(0)
    return found


def test_every_port_speaks_tls_and_asks_for_a_token_and_takes_up_new_ones_while_it_runs(
    ports: dict[str, int], tmp_path: Path
) -> None:
    other = trustme.CA()
    basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    bearer, new = f"Bearer {TOKEN}", f"Bearer {TOKEN}-new"

    assert statuses(ports, AUTHORITY, bearer) == [200, 200, 200]
    assert statuses(ports, AUTHORITY, f"Basic {basic}") == [200, 401, 200]
    assert statuses(ports, AUTHORITY, new) == [401, 401, 401]
    assert statuses(ports, other, bearer) == [0, 0, 0]
    kubelet = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    kubelet.check_hostname, kubelet.verify_mode = False, ssl.CERT_NONE
    with httpx.Client(base_url=f"https://127.0.0.1:{ports['web']}", verify=kubelet, timeout=60) as probe:
        assert [probe.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 403]

    write(tmp_path, other, f"{TOKEN}-new")
    for _ in range(300):
        if statuses(ports, other, new) == [200, 200, 200]:
            break
        time.sleep(0.05)

    assert statuses(ports, other, new) == [200, 200, 200]
    assert statuses(ports, other, bearer) == [401, 401, 401]
    assert statuses(ports, AUTHORITY, new) == [0, 0, 0]
