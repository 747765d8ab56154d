from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.accelerators.placement import processes
from collector.accelerators.placement.processes import Origin, Processes, origin

UID = "0b1f7a52-3c64-4a8e-9f10-2d3e4f5a6b7c"
UID_ = UID.replace("-", "_")
BURSTABLE = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable"
KIND = "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods"
STATIC = "5f1c0e7d9a3b48f2c6d1e0a9b8c7d6e5"
LONG = "4d1e" * 16
SHORT = LONG[:12]


def write(proc: Path, pid: int, started: int, comm: str = "python3", cgroup: str = "0::/\n") -> None:
    """A process as the kernel shows it."""
    folder = proc / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stat").write_text(f"{pid} ({comm}) S 1 {pid} {' '.join(['0'] * 16)} {started} 4096 100\n")
    (folder / "comm").write_text(f"{comm}\n")
    (folder / "cgroup").write_text(cgroup)


class TestOrigin:
    @pytest.mark.parametrize(
        ("cgroup", "pod_uid"),
        [
            (f"0::/{BURSTABLE}-pod{UID_}.slice/cri-containerd-{LONG}.scope", UID),
            (f"0::/kubepods.slice/kubepods-pod{UID_}.slice/crio-{LONG}.scope", UID),
            (f"0::/kubepods.slice/kubepods-pod{UID_}.slice/crio-{LONG}.scope/container", UID),
            (f"0::/kubepods/besteffort/pod{UID}/{LONG}", UID),
            (f"0::/../../../kubepods-pod{UID_}.slice/cri-containerd-{LONG}.scope", UID),
            (f"0::/{KIND}-pod{UID_}.slice/cri-containerd-{LONG}.scope", UID),
            (f"0::/docker/{LONG[::-1]}/kubelet/kubepods/pod{UID}/{LONG}", UID),
            (f"0::/kubepods/burstable/pod{STATIC}/{LONG}", STATIC),
            (f"0::/system.slice/containerd.service/kubepods-burstable-pod{UID_}.slice:cri-containerd:{LONG}", UID),
            (f"12:devices:/kubepods/pod{UID}/{LONG}\n11:cpu,cpuacct:/kubepods/pod{UID}/{LONG}\n"
             f"1:name=systemd:/kubepods/pod{UID}/{LONG}\n0::/\n", UID),
            (f"4:memory:/kubepods.slice/kubepods-pod{UID_}.slice/docker-{LONG}.scope\n1:name=systemd:/\n", UID),
        ],
    )  # fmt: skip
    def test_a_process_of_a_pod_tells_the_pods_uid(self, cgroup, pod_uid):
        assert origin(cgroup) == Origin(pod_uid=pod_uid, container_id=SHORT)

    @pytest.mark.parametrize(
        ("cgroup", "unit"),
        [
            (f"0::/system.slice/docker-{LONG}.scope", ""),
            (f"0::/docker/{LONG}", ""),
            (f"12:devices:/docker/{LONG}\n1:name=systemd:/docker/{LONG}\n0::/system.slice/containerd.service\n", ""),
            (f"0::/system.slice/nerdctl-{LONG}.scope", ""),
            (f"0::/machine.slice/libpod-{LONG}.scope/container", ""),
            (f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{LONG}.scope/container", ""),
            (f"0::/system.slice/vllm.service/libpod-payload-{LONG}", "vllm.service"),
            (f"0::/ecs/3f1a/{LONG}", ""),
        ],
    )
    def test_a_process_of_another_container_tells_its_id(self, cgroup, unit):
        assert origin(cgroup) == Origin(container_id=SHORT, unit=unit)

    @pytest.mark.parametrize(
        ("cgroup", "unit"),
        [
            ("0::/system.slice/vllm.service", "vllm.service"),
            ("0::/system.slice/system-vllm.slice/vllm@3.service", "vllm@3.service"),
            ("0::/system.slice/vllm.service (deleted)", "vllm.service"),
            ("9:devices:/system.slice/vllm.service\n1:name=systemd:/system.slice/vllm.service\n", "vllm.service"),
            ("1:name=systemd:/system.slice/slurmd.service\n9:devices:/slurm/uid_7/job_42/step_0\n", "slurmd.service"),
            ("0::/system.slice/slurmstepd.scope/job_42/step_0/user/task_0", "slurmstepd.scope"),
            ("0::/user.slice/user-1000.slice/session-3.scope", "user-1000.slice"),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/vllm.service", "vllm.service"),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-foot-123.scope", "user@1000.service"),
            ("0::/system.slice/run-u812.service", ""),
            ("0::/system.slice/run-p77-i88.service", ""),
            ("0::/system.slice/run-rf00ba4.scope", ""),
            ("9:devices:/a.service\n", ""),  # not systemd's own tree
            ("0::/", ""),
            ("", ""),
            ("no colons\n0:one\n", ""),
        ],
    )
    def test_a_process_of_the_host_tells_the_unit_that_somebody_named(self, cgroup, unit):
        assert origin(cgroup) == Origin(unit=unit)

    def test_a_podman_container_is_no_pod(self):
        assert origin(f"0::/machine.slice/libpod_pod_{LONG}.slice/libpod-{LONG}.scope").pod_uid == ""

    @settings(deadline=None, max_examples=200)
    @given(st.text())
    def test_any_text_has_an_origin_with_printable_names_of_bounded_length(self, text):
        found = origin(f"0::/{text}.service\n{text}")

        assert len(found.unit) <= 128
        assert found.unit.isprintable()


class TestProcesses:
    def test_names_and_origins_are_read(self, tmp_path):
        write(tmp_path, 100, 7, "VLLM::Worker) 0", "0::/system.slice/vllm.service\n")

        [(pid, found)] = Processes(str(tmp_path), 10.0).of([100], 0.0).items()

        assert (pid, found.program, found.origin.unit) == (100, "VLLM::Worker) 0", "vllm.service")

    def test_a_process_that_is_gone_is_left_out_and_the_others_are_not(self, tmp_path):
        write(tmp_path, 100, 7)
        (tmp_path / "200").mkdir()
        write(tmp_path, 300, 7)
        (tmp_path / "300" / "stat").write_text("300 (")

        assert list(Processes(str(tmp_path), 10.0).of([99, 100, 200, 300], 0.0)) == [100]

    def test_another_process_under_the_same_pid_is_not_mistaken_for_the_first(self, tmp_path):
        known = Processes(str(tmp_path), 1000.0)
        write(tmp_path, 100, 7, "first", "0::/system.slice/first.service")
        known.of([100], 0.0)
        write(tmp_path, 100, 8, "second", "0::/system.slice/second.service")

        found = known.of([100], 1.0)[100]

        assert (found.program, found.origin.unit) == ("second", "second.service")

    def test_what_was_read_holds_for_a_while_and_is_read_again_then(self, tmp_path):
        known = Processes(str(tmp_path), 10.0)
        write(tmp_path, 100, 7, "early")
        known.of([100], 0.0)
        write(tmp_path, 100, 7, "late")

        assert [known.of([100], now)[100].program for now in (9.9, 10.0)] == ["early", "late"]

    def test_a_pid_that_is_reused_while_it_is_read_tells_nothing(self, tmp_path, monkeypatch):
        write(tmp_path, 100, 7)
        real = processes._read

        def read(path: str) -> str:
            text = real(path)
            if path.endswith("/comm"):
                write(tmp_path, 100, 8)
            return text

        monkeypatch.setattr(processes, "_read", read)

        assert Processes(str(tmp_path), 10.0).of([100], 0.0) == {}

    def test_names_are_printable_and_files_without_end_are_not_read_to_it(self, tmp_path):
        write(tmp_path, 100, 7)
        (tmp_path / "100" / "comm").write_bytes(b"a\x1b[31m\xff" + b"x" * 1_000_000 + b"\n")

        program = Processes(str(tmp_path), 10.0).of([100], 0.0)[100].program

        assert program == "a?[31m\ufffd" + "x" * 121

    def test_what_is_kept_is_bounded(self, tmp_path, monkeypatch):
        monkeypatch.setattr(processes, "MAX_PROCESSES", 3)
        for pid in range(10):
            write(tmp_path, pid, 7)
        known = Processes(str(tmp_path), 10.0)

        assert len(known.of(range(10), 0.0)) == 3
        assert len(known.of([7, 8], 1.0)) == 2
        assert len(known._kept) <= 3

    def test_the_hosts_proc_is_known_by_its_kernel_threads(self, tmp_path):
        assert not Processes(str(tmp_path), 10.0).sees_the_host()
        write(tmp_path, 2, 1, "bash")
        assert not Processes(str(tmp_path), 10.0).sees_the_host()
        write(tmp_path, 2, 1, "kthreadd")
        assert Processes(str(tmp_path), 10.0).sees_the_host()
