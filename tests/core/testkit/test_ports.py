"""A port stays what it was given for: free, or of who listens there."""

import socket
import subprocess
import sys
from collections import deque
from pathlib import Path

from watchkeeper.core.testkit import free_port

ASKS = "from watchkeeper.core.testkit import free_port; print(*[free_port() for _ in range(20)]); input()"


def test_no_two_processes_are_given_the_same_ports():
    command = [sys.executable, "-c", ASKS]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    ports = [port for one in started for port in one.stdout.readline().split()]
    for one in started:
        one.communicate("\n")

    assert len(set(ports)) == len(ports) == 60


def test_a_port_is_none_that_the_system_gives_to_who_asks_for_any():
    asked = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(asked.read_text().split()[0]) if asked.exists() else 32_768

    assert free_port() < lowest


def test_who_asks_again_is_given_another_and_none_at_which_somebody_listens(monkeypatch):
    *asked, taken, free = (free_port() for _ in range(22))
    monkeypatch.setattr("watchkeeper.core.testkit.ports._mine", deque((taken, free)))
    with socket.create_server(("127.0.0.1", taken)):
        after = free_port()

    assert len({*asked, taken, free}) == 22
    assert after == free
