"""
Who a process is, from /proc: its pod's UID, its container, its systemd unit, its program.

Programs by their name alone (comm, 15 characters): a command line may hold secrets and has no bound.
"""

import os
import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

MAX_PROCESSES: Final = 4096
_MAX_READ_BYTES: Final = 16_384
_MAX_NAME: Final = 128
_SHORT_ID: Final = 12
"""characters of a container's id, as `docker ps` shows it"""

_POD: Final = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?![0-9a-f])")
_CONTAINER: Final = re.compile(r"(?:^|[-:_])([0-9a-f]{64})(?:\.scope)?$")
_UNIT: Final = re.compile(r".+\.(?:service|scope)$")
_PASSING: Final = re.compile(r"(?:run|session|app|vte-spawn|dbus|init|snap)[-.:].*scope|run-[prui0-9a-f-]+\.service")
"""units whose names nobody chose: as labels they would say nothing and be many"""
_RUNTIMES: Final = frozenset(
    ("containerd.service", "docker.service", "crio.service", "k3s.service", "k3s-agent.service", "kubelet.service")
)
_DELETED: Final = " (deleted)"


class Origin(msgspec.Struct, frozen=True):
    """Where a control group belongs. Empty = not so."""

    pod_uid: str = ""
    container_id: str = ""
    unit: str = ""


class Process(msgspec.Struct, frozen=True):
    origin: Origin
    program: str


class _Kept(msgspec.Struct, frozen=True):
    process: Process
    started: str
    """in ticks since boot, as the kernel writes it: another process under the same pid has another"""
    read_at: float


class Processes:
    """Bounded by the processes that are asked for."""

    def __init__(self, proc_path: str, keep_seconds: float) -> None:
        """:param keep_seconds: for how long what was read holds; a process may rename itself and change its group"""
        self._proc = proc_path
        self._keep_seconds = keep_seconds
        self._kept: dict[int, _Kept] = {}

    def sees_the_host(self) -> bool:
        """Pids of drivers are the host's. In a pid namespace of its own the same numbers are other processes."""
        return _read(f"{self._proc}/2/comm").strip() == "kthreadd"

    def of(self, pids: Sequence[int], now: float) -> dict[int, Process]:
        """Those that live; a pid that is gone, or may not be looked at, is left out."""
        kept = {pid: one for pid in pids[:MAX_PROCESSES] if (one := self._one(pid, now)) is not None}
        self._kept = {pid: one for pid, one in self._kept.items() if 0 <= now - one.read_at < self._keep_seconds}
        if len(self._kept) + len(kept) > MAX_PROCESSES:
            self._kept = {}
        self._kept |= kept
        return {pid: one.process for pid, one in kept.items()}

    def _one(self, pid: int, now: float) -> _Kept | None:
        folder = f"{self._proc}/{pid}"
        started = _started(_read(f"{folder}/stat"))
        if not started:
            return None
        kept = self._kept.get(pid)
        if kept is not None and kept.started == started and 0 <= now - kept.read_at < self._keep_seconds:
            return kept
        read = Process(origin(_read(f"{folder}/cgroup")), _name(_read(f"{folder}/comm").rstrip("\n")))
        if _started(_read(f"{folder}/stat")) != started:
            return None  # ended while it was read; what was read may be another's
        return _Kept(read, started, now)


def origin(cgroup: str) -> Origin:
    """What a `/proc/<pid>/cgroup` tells, of version 1, 2 or both."""
    paths = list(_paths(cgroup))
    pod = next((found[1] for _, path in paths if (found := _POD.search(path))), "").replace("_", "-")
    container = next((short for _, path in paths if (short := _container(path))), "")
    if pod:
        return Origin(pod_uid=pod, container_id=container)
    unit = next((name for is_systemd, path in paths if is_systemd and (name := _unit(path))), "")
    if container and (unit in _RUNTIMES or not unit.endswith(".service") or unit.startswith("user@")):
        unit = ""
    return Origin(container_id=container, unit=unit)


def _paths(cgroup: str) -> Iterator[tuple[bool, str]]:
    """(is systemd's own tree, path), that tree first."""
    rows = [line.split(":", 2) for line in cgroup.splitlines()]
    paths = [
        (controllers in ("", "name=systemd"), path.removesuffix(_DELETED))
        for _, controllers, path in (row for row in rows if len(row) == 3)
    ]
    yield from sorted(paths, key=lambda row: (not row[0], -len(row[1])))


def _container(path: str) -> str:
    for part in reversed(path.split("/")):
        found = _CONTAINER.search(part)
        if found:
            return found[1][:_SHORT_ID]
    return ""


def _unit(path: str) -> str:
    """The innermost service; else a scope that somebody named; else the user whose session it is."""
    parts = [part for part in path.split("/") if not _PASSING.fullmatch(part) and not _CONTAINER.search(part)]
    services = [part for part in parts if part.endswith(".service")]
    scopes = [part for part in parts if _UNIT.fullmatch(part)]
    users = [part for part in parts if re.fullmatch(r"user-\d+\.slice", part)]
    return _name(next(iter((*reversed(services), *reversed(scopes), *reversed(users))), ""))


def _started(stat: str) -> str:
    """Field 22, the 20th after the name; that may hold spaces and brackets and ends with the last bracket."""
    fields = stat.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def _name(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:_MAX_NAME]


def _read(path: str) -> str:
    """Of every process at every sample: a file object would cost more than the reading."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    text = b""
    try:
        while more := os.read(file, _MAX_READ_BYTES - len(text)):
            text += more
        return text.decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(file)
