"""The whole program on a node where an exporter runs beside the library: each device is told once."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.core.testkit import RunningWatchkeeper


@pytest.fixture
def exporter() -> Iterator[str]:
    """dcgm-exporter on the same node: a device's energy goes up by 5 kJ with each page."""
    pages = iter(range(1, 10_000))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            device, joules = 'gpu="0",UUID="GPU-0"', 5000 * next(pages)
            body = (
                f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{device}}} {joules * 1000}\n"
                f"DCGM_FI_DEV_POWER_USAGE{{{device}}} 111\n"
                f"DCGM_FI_PROF_PIPE_FP64_ACTIVE{{{device}}} 0.25\n"
                'DCGM_FI_DEV_POWER_USAGE{gpu="9",UUID="GPU-elsewhere"} 222\n'
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_the_library_tells_what_it_reads_and_the_exporter_the_rest(
    fake: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, exporter: str
) -> None:
    library = fake("nvml.c", "libnvidia-ml.so.1")
    library.say({"devices": 1, "dev0.uuid": "GPU-0", "dev.field.186": 300_000, "dev.field.83": "0+1000"})
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library.path.parent))
    settings = {"role": "node", "vendor_exporter": [{"url": exporter, "interval_seconds": 0.5}]}

    with RunningWatchkeeper(tmp_path, settings) as node:
        node.wait_for("watchkeeper_device_pipe_active_ratio", at_least=0.25, hw_id="GPU-0", pipe="fp64")
        end = time.monotonic() + 60
        while node.value("hw_power_watts", hw_id="GPU-0") != 300:  # until the library answers the exporter tells all
            assert time.monotonic() < end
            time.sleep(0.1)
        before = node.wait_for("hw_energy_joules_total", at_least=2, hw_id="GPU-0")
        after = node.wait_for("hw_energy_joules_total", at_least=before + 2, hw_id="GPU-0")

        assert after - before < 5000
        assert node.value("hw_power_watts", hw_id="GPU-elsewhere") == 222
