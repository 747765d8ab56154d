"""
Every role as a container runs it, out of this checkout: the user 65532 without any right, and a root that is read-only
but for the state folder. `scripts/image` does the same with the image itself.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.core.testkit import free_port, require

ROOT = Path(__file__).parents[2]
READY_SECONDS = 120.0
NOBODY = ["--reuid=65532", "--regid=65532", "--clear-groups", "--bounding-set=-all", "--no-new-privs"]
CONTAINED = """
root=$0 state=$1 python=$2 checkout=$3
shift 3
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$root"
show() { mkdir -p "$root$1" && mount --bind "$1" "$root$1" && mount -o "remount,bind,$2" "$root$1"; }
for place in /usr /bin /lib /lib64 /etc "$python" "$checkout" "${state%/*}"; do
  [ ! -e "$place" ] || show "$place" ro
done
show "$state" rw
for place in /proc /dev /sys; do mkdir "$root$place" && mount --rbind "$place" "$root$place"; done
mount -o remount,ro "$root"
exec chroot "$root" setpriv "$@"
"""
"""Makes a root at $0 of what is needed to run, as Python may be where others cannot go, and becomes who is named."""

KERNEL = ("/pro", "/dev", "/sys")

KEPT: dict[str, Any] = {"exporters": {"store": {"enabled": True}}}
BROKER: dict[str, Any] = {"connection": {"servers": ["127.0.0.1:9"]}}
"""nobody listens there: a role that needs Kafka is ready without it, and waits"""
ROLES: dict[str, dict[str, Any]] = {
    "run": KEPT,
    "node": {},
    "sidecar": {"exporters": {"kafka": {"enabled": True, **BROKER}}, "drift": {"judged": "fleet"}},
    "gateway": KEPT,
    "detector": {**KEPT, "kafka": {"enabled": True, **BROKER}},
}


@dataclass
class Started:
    process: subprocess.Popen[str]
    state: Path
    url: str
    began: float

    def answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=30) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@pytest.fixture(scope="module")
def started() -> Iterator[dict[str, Started]]:
    """All roles side by side."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user and make a root read-only; run the tests as root")
    unshare = require("unshare", "util-linux")
    if subprocess.run([unshare, "--mount", "true"], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here; run the tests as root with CAP_SYS_ADMIN")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        found = {role: start(unshare, Path(name) / role, role, settings) for role, settings in ROLES.items()}
        yield found
        for one in found.values():
            one.process.kill()
            one.process.wait()


def start(unshare: str, folder: Path, role: str, settings: dict[str, Any]) -> Started:
    state = folder / "state"
    state.mkdir(parents=True)
    (folder / "root").mkdir()
    os.chown(state, 65532, 65532)
    port = free_port()
    ports = {"web": {"port": port}, "otlp": {"http_port": free_port(), "grpc_port": free_port()}}
    config = folder / "watchkeeper.yaml"
    config.write_text(json.dumps({**ports, "state_folder": str(state), **settings}))
    command = [sys.executable, "-m", "watchkeeper", "run", "--role", role, "--config", str(config)]
    process = subprocess.Popen(
        [unshare, "--mount", "sh", "-euc", CONTAINED, folder / "root", state, sys.base_prefix, ROOT, *NOBODY, *command],
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    return Started(process, state, f"http://127.0.0.1:{port}", time.monotonic())


@pytest.mark.parametrize("role", ROLES)
def test_it_serves_and_stops_with_nothing_but_its_state_folder_to_write_to(role, started):
    one = started[role]
    while not one.answers("/readyz") and one.process.poll() is None and time.monotonic() < one.began + READY_SECONDS:
        time.sleep(0.1)
    is_served = one.answers("/healthz") and one.answers("/metrics")
    process = Path(f"/proc/{one.process.pid}")
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
    mounts = {line.split()[1]: line.split()[3][:2] for line in (process / "mounts").read_text().splitlines()}
    one.process.terminate()
    _, log = one.process.communicate(timeout=120)

    assert (one.process.returncode, is_served) == (0, True), log
    assert (status["Uid"].split()[1], int(status["CapBnd"], 16), status["NoNewPrivs"]) == ("65532", 0, "1")
    assert [place for place, mode in mounts.items() if mode != "ro" and place[:4] not in KERNEL] == [str(one.state)]
    assert re.search(r"read-only|denied|not permitted", log, re.IGNORECASE) is None, log
    assert list(one.state.iterdir()) != []
