"""
CPU milliseconds a sampling tick of 8 and of 16 GPUs, and resident memory, of the node role and of nvitop-exporter.

Both read the same library without hardware (tests/collector/accelerators/fakes), once a second, at the same time, and
both pages are fetched every 15 s. The node role also asks a kubelet whose the devices are. nvitop-exporter
gets an environment of its own, from PyPI.

python -m benchmarks.devices
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from benchmarks.processes import free_port
from watchkeeper.core.testkit import FakeLibrary

NVITOP = "nvitop-exporter==1.7.2"
SOURCE = Path(__file__).parents[1] / "tests" / "collector" / "accelerators" / "fakes" / "nvml.c"
WARM_SECONDS = 15
ROUNDS = 4
ROUND_SECONDS = 15
LINKS = 18
PODS = 100
"""of the kubelet; the first ones have a device each"""
CHANGING: dict[str, object] = {
    "busy": "10+1", "memory_busy": "10+1", "encoder": 0, "decoder": 0, "memory_used": "1e9+1e6",
    "temperature": "40+0.1",
    "field.82": "50+0.1", "field.83": "1e6+3e5", "field.186": "300000+100", "field.74": "0+1e8", "power": "300000+100",
    "energy": "1e6+3e5", "field.197": "0+1e9", "field.198": "0+1e9", "field.202": "0+1e10", "field.204": "0+1e10",
    "clock.0": 1755, "clock.1": 1755, "clock.2": 2619, "clock.3": 1500, "reasons": "0x4",
    **{f"gpm.{number}": f"{number}+0.1" for number in (1, 2, 3, 4, 5, 10, 11, 12, 13)},
}  # fmt: skip
LASTING: dict[str, object] = {
    "memory_total": 85899345920, "serial": "1650123", "power_limit": 700000, "pcie_width": 16, "pcie_width_max": 16,
    "pcie_generation": 5, "pcie_generation_max": 5, "field.91": LINKS, "field.230": 0,
    **{f"threshold.{number}": 90 for number in range(4)}, **{f"clock_max.{number}": 2619 for number in range(4)},
    **{f"link.{number}": 1 for number in range(LINKS)},
    **{
        f"field.{number}": 0
        for number in (3, 4, 76, 94, 142, 143, 144, 145, 161, 162, 163, *range(173, 184), 206, 207, 208, 209, 211, 213,
                       214, 269, 270, 271)
    },
}  # fmt: skip


class Process:
    """One of those compared; its threads' processor time is read to the nanosecond."""

    def __init__(self, name: str, pid: int, port: int) -> None:
        self.name = name
        self._pid = pid
        self._url = f"http://127.0.0.1:{port}/metrics"

    def cpu_seconds(self) -> float:
        """Of the threads that live now, which are all there ever were."""
        tasks = Path(f"/proc/{self._pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def resident_mb(self) -> float:
        pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def lines(self) -> int:
        """Series on the page."""
        with urllib.request.urlopen(self._url, timeout=30) as answer:
            return sum(1 for line in answer.read().decode().splitlines() if line and not line.startswith("#"))


@contextlib.contextmanager
def _running(name: str, command: list[str], port: int, library: FakeLibrary) -> Iterator[Process]:
    environment = os.environ | {"LD_LIBRARY_PATH": str(library.path.parent)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program:
        found = Process(name, program.pid, port)
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    found.lines()
                    break
                time.sleep(0.2)
            yield found
        finally:
            program.terminate()


@contextlib.contextmanager
def _kubelet(path: Path, uuids: list[str]) -> Iterator[None]:
    """A gRPC server that tells of pods by the pod-resources API; one pod has one device."""
    pods = b""
    for number in range(PODS):
        device = _field(2, _field(1, b"nvidia.com/gpu") + _field(2, uuids[number].encode())) if uuids[number:] else b""
        pods += _field(
            1, _field(1, b"pod-%d" % number) + _field(2, b"serving") + _field(3, _field(1, b"main") + device)
        )
    listing = grpc.unary_unary_rpc_method_handler(lambda _request, _context: pods)
    handler = grpc.method_handlers_generic_handler("v1.PodResourcesLister", {"List": listing})
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers((handler,))
        server.add_insecure_port(f"unix:{path}")
        server.start()
        yield
        server.stop(None).wait()


def _field(number: int, value: bytes) -> bytes:
    """Of a protobuf message, up to 127 bytes long."""
    return bytes([number << 3 | 2, len(value)]) + value


def _nvitop(folder: Path) -> str:
    """The program, in an environment made now."""
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", NVITOP], check=True)
    return str(folder / "bin" / "nvitop-exporter")


def _measure(many: int, library: FakeLibrary, nvitop: str, folder: Path) -> None:
    says = {f"dev.{key}": value for key, value in (CHANGING | LASTING).items()}
    uuids = [f"GPU-{index:08x}-0f42-4d0c-9a77-3f1e2d4c5b6a" for index in range(many)]
    library.say({"devices": many, "dev.processes": f"{os.getpid()}:1000000000", **says})
    library.say({f"dev{index}.uuid": uuid for index, uuid in enumerate(uuids)})
    ours, theirs = free_port(), free_port()
    config = folder / "node.yaml"
    kubelet = folder / f"kubelet-{many}.sock"
    placement = f"accelerators: {{placement: {{pod_resources_socket: {kubelet}}}}}"
    config.write_text(f"role: node\nweb: {{port: {ours}}}\n{placement}\n", encoding="utf-8")
    with (
        _kubelet(kubelet, uuids),
        _running(
            "watchkeeper", [sys.executable, "-m", "watchkeeper", "run", "--config", str(config)], ours, library
        ) as a,
        _running("nvitop-exporter", [nvitop, "--interval", "1", "--port", str(theirs)], theirs, library) as b,
    ):
        time.sleep(WARM_SECONDS)
        costs: dict[str, list[float]] = {a.name: [], b.name: []}
        for _ in range(ROUNDS):
            before = {process.name: process.cpu_seconds() for process in (a, b)}
            time.sleep(ROUND_SECONDS)
            for process in (a, b):
                process.lines()
                costs[process.name].append((process.cpu_seconds() - before[process.name]) / ROUND_SECONDS * 1000)
        for process in (a, b):
            values = costs[process.name]
            cpu = f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"
            cells = (many, process.name, cpu, f"{process.resident_mb():.0f}", process.lines())
            print("|", " | ".join(map(str, cells)), "|", flush=True)


def main() -> None:
    print(f"Medians (min-max) of {ROUNDS} rounds of {ROUND_SECONDS} s; whole processes, page included.\n")
    print("| GPUs | program | CPU ms a second | resident MB | series on the page |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        nvitop = _nvitop(folder / "nvitop")
        library = FakeLibrary.compile(SOURCE, folder / "library" / "libnvidia-ml.so.1")
        for many in (8, 16):
            _measure(many, library, nvitop, folder)


if __name__ == "__main__":
    main()
