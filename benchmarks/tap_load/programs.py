"""The programs under load: started on free ports, watchkeeper's tap with its defaults, litellm as its makers advise."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import free_port

LITELLM = "1.106.2"
_LITELLM_HOME = Path(__file__).parents[2] / "build" / f"litellm-{LITELLM}"
_LITELLM_CONFIG = """\
model_list:
  - model_name: bench
    litellm_params: {{model: openai/bench, api_base: "http://127.0.0.1:{port}/v1", api_key: sk-none}}
general_settings:
  disable_spend_logs: true
  disable_error_logs: true
  dangerously_permit_weak_or_unset_master_key: true  # the tap checks no key either
litellm_settings: {{request_timeout: 600, set_verbose: false, telemetry: false}}
"""
_LITELLM_ENVIRONMENT = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",  # also turns off the access log
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # the list of prices it ships, instead of fetching one
    "LITELLM_DONT_SHOW_FEEDBACK_BOX": "true",
}


@dataclass(frozen=True)
class Target:
    """Where the load goes. A pid of 0: the upstream itself."""

    name: str
    port: int
    pid: int = 0
    web_port: int = 0

    def metric_total(self, name: str) -> float:
        """Sum of the series of a metric on watchkeeper's page."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.web_port}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((name + "{", name + " ")))


@contextlib.contextmanager
def _running(command: list[str], url: str, environment: dict[str, str], patience: float) -> Iterator[int]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | environment, cwd=Path(__file__).parents[2]
        )
        try:
            deadline = time.monotonic() + patience
            while not _answers(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    sys.exit(f"{command[0]} does not answer on {url}:\n{log.read().decode()[-2000:]}")
                time.sleep(0.1)
            yield process.pid
        finally:
            process.terminate()
            process.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


@contextlib.contextmanager
def upstream() -> Iterator[Target]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.tap_load.upstream", str(port)]
    with _running(command, f"http://127.0.0.1:{port}/health", {}, 10):
        yield Target("direct", port)


@contextlib.contextmanager
def tap(upstream_port: int) -> Iterator[Target]:
    """`watchkeeper run` with one tap; what else it does by default, it does here too."""
    port, web, http, grpc = (free_port() for _ in range(4))
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "watchkeeper.yaml"
        config.write_text(
            f"web: {{port: {web}}}\notlp: {{http_port: {http}, grpc_port: {grpc}}}\n"
            f'tap: [{{port: {port}, upstream: "http://127.0.0.1:{upstream_port}"}}]\n'
        )
        command = [sys.executable, "-m", "watchkeeper", "run", "--config", str(config)]
        with _running(command, f"http://127.0.0.1:{port}/health", {}, 30) as pid:
            yield Target("watchkeeper", port, pid, web)


@contextlib.contextmanager
def litellm(upstream_port: int) -> Iterator[Target]:
    """litellm's proxy: one worker, no database, no key to check, no callback."""
    port = free_port()
    program = _litellm_program()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "litellm.yaml"
        config.write_text(_LITELLM_CONFIG.format(port=upstream_port))
        command = [str(program), "--host", "127.0.0.1", "--port", str(port), "--config", str(config)]
        command += ["--num_workers", "1", "--telemetry", "False"]
        with _running(command, f"http://127.0.0.1:{port}/health/liveliness", _LITELLM_ENVIRONMENT, 120) as pid:
            yield Target("litellm", port, pid)


def _litellm_program() -> Path:
    """Installs it in an environment of its own, the first time: its packages are not ours."""
    program = _LITELLM_HOME / "bin" / "litellm"
    done = _LITELLM_HOME / "installed"
    if not done.exists():
        print(f"Installing litellm {LITELLM} in {_LITELLM_HOME} (700 MB) ...", file=sys.stderr)
        venv.create(_LITELLM_HOME, with_pip=True, clear=True)
        python = str(_LITELLM_HOME / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", f"litellm[proxy]=={LITELLM}"], check=True)
        done.touch()
    return program
