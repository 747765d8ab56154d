"""A sidecar that cannot start stays, says why, and starts once it can: a container that ends takes its pod down."""

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from watchkeeper.core.testkit import free_port

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(*arguments, KEY=value)`: a sidecar without ports for calls; what it says is in tmp_path / "said"."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "watchkeeper", "run", "--role", "sidecar", *arguments]
        with (tmp_path / "said").open("wb") as said:
            own = {"WATCHKEEPER__OTLP__ENABLED": "false", **environment}
            processes.append(subprocess.Popen(command, env=own, stderr=said))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait(10)


def wait_for(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 90
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_it_starts_in_the_same_process_once_what_hindered_it_is_gone(start: Start, tmp_path: Path) -> None:
    said = tmp_path / "said"
    with socket.socket() as taken:
        port = free_port()  # that nobody else gets once it is free
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        process = start("--retry-seconds", "0.2", WATCHKEEPER__WEB__PORT=str(port))
        wait_for(lambda: said.read_text().count("tried again in 0.2 s") >= 2, "it did not try twice")
        assert f"web.port: 127.0.0.1:{port} is in use by another process" in said.read_text()
    wait_for(lambda: is_ready(port), "it never started")

    process.send_signal(signal.SIGTERM)

    assert process.wait(60) == 0


def test_a_pod_that_ends_need_not_wait_for_the_next_try(start: Start, tmp_path: Path) -> None:
    process = start("--retry-seconds", "3600", WATCHKEEPER__WEB__PROT="1")
    wait_for(lambda: "tried again in 3600 s" in (tmp_path / "said").read_text(), "it did not stay")

    process.send_signal(signal.SIGTERM)

    assert process.wait(60) == 2


def test_without_the_option_it_ends_with_the_reason(start: Start, tmp_path: Path) -> None:
    process = start(WATCHKEEPER__WEB__PORT=str(free_port()), WATCHKEEPER__WEB__PROT="1")

    assert process.wait(60) == 2
    assert "web.prot: unknown setting" in (tmp_path / "said").read_text()
