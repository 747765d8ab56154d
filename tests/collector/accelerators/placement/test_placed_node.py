"""The whole program on a node with a kubelet, up to the page."""

from watchkeeper.core.testkit import RunningWatchkeeper

UIDS = ("GPU-5b3a7c1e-0f42-4d0c-9a77-3f1e2d4c5b6a", "GPU-5b3a7c1e-0f42-4d0c-9a77-3f1e2d4c5b6b")


def test_device_metrics_carry_their_pod_until_it_changes_and_go_on_without_a_kubelet(
    kubelet, encode, fake, monkeypatch, tmp_path
):
    def held_by(pod: str) -> bytes:
        devices = [{"resourceName": "nvidia.com/gpu", "deviceIds": [UIDS[0]]}]
        containers = [{"name": "engine", "devices": devices}]
        return encode({"podResources": [{"name": pod, "namespace": "serving", "containers": containers}]})

    library = fake("nvml.c", "libnvidia-ml.so.1")
    library.say({"devices": 2, "dev.temperature": 40, "dev.field.186": 300_000, "dev0.processes": "100:1024,101:512"})
    library.say({f"dev{index}.uuid": uid for index, uid in enumerate(UIDS)})
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library.path.parent))
    for pid, comm, cgroup in (
        (2, "kthreadd", "/"),
        (100, "vllm", f"/kubepods/pod0b1f7a52-3c64-4a8e-9f10-2d3e4f5a6b7c/{'4d1e' * 16}"),
        (101, "nvtop", "/system.slice/ssh.service"),
    ):
        folder = tmp_path / "proc" / str(pid)
        folder.mkdir(parents=True)
        (folder / "stat").write_text(f"{pid} ({comm}) S {' '.join(['0'] * 18)} 7 0\n")
        (folder / "comm").write_text(f"{comm}\n")
        (folder / "cgroup").write_text(f"0::{cgroup}\n")
    kubelet.answer = held_by("vllm-0")
    placement = {
        "pod_resources_socket": str(kubelet.path), "proc_path": str(tmp_path / "proc"), "interval_seconds": 1,
    }  # fmt: skip
    with RunningWatchkeeper(tmp_path, {"role": "node", "accelerators": {"placement": placement}}) as node:
        who = {"k8s_namespace_name": "serving", "k8s_pod_name": "vllm-0", "k8s_container_name": "engine"}
        node.wait_for("hw_power_watts", at_least=300, hw_name="0", **who)
        node.wait_for("watchkeeper_device_placement_up", at_least=1)
        node.wait_for("watchkeeper_device_allocation", at_least=1, hw_name="0", **who)
        memory = "watchkeeper_device_process_memory_bytes"
        node.wait_for(memory, at_least=1024, process_executable_name="vllm", **who)
        assert node.value(memory, systemd_unit="ssh.service", process_executable_name="nvtop") == 512
        assert node.value(memory, systemd_unit="ssh.service", k8s_pod_name="vllm-0") is None
        assert node.value("hw_power_watts", hw_name="1") == 300
        assert node.value("hw_power_watts", hw_name="1", **who) is None

        kubelet.answer = held_by("vllm-1")
        node.wait_for("hw_power_watts", at_least=300, hw_name="0", k8s_pod_name="vllm-1")
        assert node.value("hw_power_watts", k8s_pod_name="vllm-0") is None

        kubelet.stop()
        node.wait_for("watchkeeper_device_placement_errors_total", at_least=1, reason="missing")
        assert node.value("watchkeeper_device_placement_up") == 0
        assert node.value("watchkeeper_device_up") == 2
        assert "mount /var/lib/kubelet/pod-resources read-only" in node.log()
