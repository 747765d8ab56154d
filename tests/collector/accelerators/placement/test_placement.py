import logging
import time
from pathlib import Path
from typing import Any

import pytest

from collector.accelerators import placement
from collector.accelerators.config import PlacementConfig
from collector.accelerators.driver import Device
from collector.accelerators.places import Nobody, Place, Placement, only_pod
from watchkeeper.core.ledger import Ledger

UID, OTHER_UID = "0b1f7a52-3c64-4a8e-9f10-2d3e4f5a6b7c", "1c2f7a52-3c64-4a8e-9f10-2d3e4f5a6b7d"
LONG = "4d1e" * 16
GPU = Device(id="GPU-5b3a7c1e-0f42-4d0c-9a77-3f1e2d4c5b6a", name="0", vendor="nvidia")
FREE = Device(id="GPU-5b3a7c1e-0f42-4d0c-9a77-3f1e2d4c5b6b", name="1", vendor="nvidia")


def _pod(name: str, *containers: str, ids: tuple[str, ...] = (GPU.id,)) -> dict[str, Any]:
    devices = [{"resourceName": "nvidia.com/gpu", "deviceIds": ids}]
    return {"name": name, "namespace": "serving", "containers": [{"name": c, "devices": devices} for c in containers]}


def _place(pod: str, container: str = "") -> Place:
    return Place(namespace="serving", pod=pod, container=container)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """The host's, with its kernel threads."""
    _process(tmp_path / "proc", 2, "kthreadd", "/")
    return tmp_path / "proc"


def _process(proc: Path, pid: int, comm: str, cgroup: str) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "stat").write_text(f"{pid} ({comm}) S {' '.join(['0'] * 18)} 7 0\n")
    (folder / "comm").write_text(f"{comm}\n")
    (folder / "cgroup").write_text(f"0::{cgroup}\n")


def _built(socket_path: Path | str, proc: Path) -> Placement:
    return placement.build(PlacementConfig(pod_resources_socket=str(socket_path), proc_path=str(proc)), Ledger())


def _holders(built: Placement, device: Device) -> tuple[Place, ...]:
    """Asked again until there are some; the kubelet of the tests does answer."""
    deadline = time.monotonic() + 60
    while not (found := built.holders(device)):
        assert time.monotonic() < deadline
        built.refresh(0.0)
        time.sleep(0.01)
    return found


class TestHolders:
    def test_a_device_is_its_containers_and_another_is_nobodys(self, kubelet, encode, proc):
        kubelet.answer = encode({"podResources": [_pod("a", "vllm")]})
        built = _built(kubelet.path, proc)

        assert _holders(built, GPU) == (_place("a", "vllm"),)
        assert built.holders(FREE) == ()
        built.close()

    def test_a_shared_device_is_everybodys_and_each_counts_once(self, kubelet, encode, proc):
        replicas = (f"{GPU.id}::0", f"{GPU.id}::1")
        kubelet.answer = encode({"podResources": [_pod("a", "vllm", ids=replicas), _pod("b", "vllm")]})
        built = _built(kubelet.path, proc)

        assert _holders(built, GPU) == (_place("a", "vllm"), _place("b", "vllm"))
        built.close()

    def test_a_new_answer_replaces_what_was_known(self, kubelet, encode, proc):
        kubelet.answer = encode({"podResources": [_pod("a", "vllm")]})
        built = _built(kubelet.path, proc)
        _holders(built, GPU)
        kubelet.answer = encode({"podResources": [_pod("b", "vllm", ids=(FREE.id,))]})
        built.refresh(1000.0)

        assert _holders(built, FREE) == (_place("b", "vllm"),)
        assert built.holders(GPU) == ()
        built.close()

    def test_without_a_kubelet_to_ask_devices_are_nobodys(self, proc):
        built = _built("", proc)
        built.refresh(0.0)

        assert built.holders(GPU) == ()
        built.close()

    def test_placement_switched_off_asks_nobody(self):
        assert isinstance(placement.build(PlacementConfig(enabled=False), Ledger()), Nobody)

    @pytest.mark.parametrize(
        ("holders", "pod"),
        [
            ((), Place()),
            ((_place("a", "x"),), _place("a", "x")),
            ((_place("a", "x"), _place("a", "y")), _place("a")),
            ((_place("a", "x"), _place("b", "x")), Place()),
            ((_place("a", "x"), Place(namespace="other", pod="a", container="x")), Place()),
        ],
    )
    def test_the_labels_of_a_device_are_those_of_the_one_pod_that_has_it(self, holders, pod):
        assert only_pod(holders) == pod


class TestOwners:
    def test_on_a_plain_host_a_process_is_its_units_or_its_containers(self, proc):
        _process(proc, 100, "python3", "/system.slice/vllm.service")
        _process(proc, 101, "sglang", f"/system.slice/docker-{LONG}.scope")
        _process(proc, 102, "python3", "/")

        assert _built("", proc).owners([100, 101, 102, 103], ()) == {
            100: Place(unit="vllm.service", program="python3"),
            101: Place(container_id=LONG[:12], program="sglang"),
            102: Place(program="python3"),
        }

    def test_a_pods_process_is_of_the_pod_that_has_the_device(self, proc):
        _process(proc, 100, "vllm", f"/kubepods/pod{UID}/{LONG}")
        _process(proc, 101, "nvtop", "/system.slice/ssh.service")

        assert _built("", proc).owners([100, 101], [_place("a", "vllm")]) == {
            100: Place(namespace="serving", pod="a", container="vllm", program="vllm"),
            101: Place(unit="ssh.service", program="nvtop"),
        }

    def test_where_several_pods_have_the_device_a_process_is_of_none(self, proc):
        _process(proc, 100, "vllm", f"/kubepods/pod{UID}/{LONG}")

        assert _built("", proc).owners([100], [_place("a", "x"), _place("b", "x")]) == {100: Place(program="vllm")}

    def test_where_more_pods_are_at_work_than_the_one_that_has_the_device_a_process_is_of_none(self, proc):
        _process(proc, 100, "vllm", f"/kubepods/pod{UID}/{LONG}")
        _process(proc, 101, "dcgm", f"/kubepods/pod{OTHER_UID}/{LONG}")

        owners = _built("", proc).owners([100, 101], [_place("a", "x")])

        assert owners == {100: Place(program="vllm"), 101: Place(program="dcgm")}

    def test_in_a_pid_namespace_of_its_own_nobody_is_named_and_it_is_said_once(self, tmp_path, caplog):
        _process(tmp_path / "proc", 100, "other", "/system.slice/other.service")
        built = _built("", tmp_path / "proc")

        with caplog.at_level(logging.WARNING):
            assert [built.owners([], ()), built.owners([100], ()), built.owners([100], ())] == [{}, {}, {}]
        assert [("hostPID" in record.getMessage()) for record in caplog.records] == [True]


class TestDoctor:
    def _lines(self, socket_path: Path | str, proc: Path) -> tuple[str, ...]:
        return placement.probe(PlacementConfig(pod_resources_socket=str(socket_path), proc_path=str(proc)))

    def test_it_counts_what_was_given(self, kubelet, encode, proc):
        network = {"name": "n", "containers": [{"devices": [{"resourceName": "rdma/hca", "deviceIds": ["0"]}]}]}
        kubelet.answer = encode({"podResources": [_pod("a", "vllm"), _pod("b", "x", "y"), network]})

        assert "placement: the kubelet answers; given to containers: 3 of nvidia.com/gpu" in self._lines(
            kubelet.path, proc
        )
        kubelet.answer = b""
        assert "placement: the kubelet answers; given to containers: no accelerator" in self._lines(kubelet.path, proc)

    def test_it_says_what_to_do(self, tmp_path, proc):
        (tmp_path / "file").write_text("")

        [missing] = [line for line in self._lines(tmp_path / "none", proc) if "/none" in line]
        [wrong] = [line for line in self._lines(tmp_path / "file", tmp_path) if "/file" in line]
        [blind] = [line for line in self._lines("", tmp_path) if "hostPID" in line]

        assert missing.startswith("placement: ")
        assert "mount /var/lib/kubelet/pod-resources" in missing
        assert wrong.startswith("! placement: ")
        assert blind.startswith("! placement: ")

    def test_it_tells_what_is_switched_off(self, proc):
        assert placement.probe(PlacementConfig(enabled=False)) == ("placement: off; devices are placed on nobody",)
        assert "placement: no kubelet is asked (pod_resources_socket is empty)" in self._lines("", proc)
        assert f"placement: {proc} shows the host's processes" in self._lines("", proc)
