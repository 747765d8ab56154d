"""The whole program as it runs on a node: its real library loading, its real page."""

import subprocess
import sys
import time

import pytest

from watchkeeper.core.testkit import RunningWatchkeeper


@pytest.fixture
def library(fake, monkeypatch):
    made = fake("nvml.c", "libnvidia-ml.so.1")
    made.say({f"dev{index}.field.83": f"{index}e6+300000" for index in range(8)})
    made.say({"devices": 8, "dev.busy": 70, "dev.temperature": 60, "dev5.temperature": 88, "dev.field.186": 300_000})
    monkeypatch.setenv("LD_LIBRARY_PATH", str(made.path.parent))
    return made


def test_a_node_shows_its_devices_loses_one_hears_of_it_and_gets_it_back(library, tmp_path):
    with RunningWatchkeeper(tmp_path, {"role": "node"}) as node:
        node.wait_for("watchkeeper_device_up", hw_name="7", at_least=1)
        assert node.value("watchkeeper_devices", hw_vendor="nvidia", hw_state="addressable") == 8
        assert node.value("hw_temperature_celsius", hw_name="5", hw_sensor_location="chip") == 88
        assert node.value("hw_gpu_utilization_ratio", hw_name="0", hw_gpu_task="general") == 0.7
        node.wait_for("hw_energy_joules_total", at_least=100, hw_name="3")

        library.say({"dev2.error": 15, "event.1": "2:8:79"})
        node.wait_for("watchkeeper_device_unreadable", at_least=1, hw_name="2", reason="lost")
        node.wait_for("watchkeeper_device_faults_total", at_least=1, hw_name="2", fault_class="bus")
        assert node.value("watchkeeper_device_up") == 7
        assert node.value("hw_power_watts", hw_name="2") is None
        assert "XID 79" in node.log()
        node.wait_for("watchkeeper_signal_state", at_least=2, hw_name="2", reason="bus")
        node.wait_for_log("critical: device 2 (NVIDIA H100 80GB HBM3) reported a fault of class bus")
        end = time.monotonic() + 60
        while "reported a fault of class bus: GPU has fallen off the bus (79)" not in node.page("/"):
            assert time.monotonic() < end, node.page("/")
            time.sleep(0.1)

        library.say({"dev2.error": None})
        node.wait_for("watchkeeper_device_up", at_least=8, timeout_seconds=40)
        assert node.value("hw_power_watts", hw_name="2") == 300


def test_doctor_finds_the_devices(library):
    told = subprocess.run([sys.executable, "-m", "watchkeeper", "doctor"], capture_output=True, text=True, check=False)

    assert "8 x NVIDIA H100 80GB HBM3, driver 580.1" in " ".join(told.stdout.split())
    assert told.stderr == ""


def test_the_node_role_loads_nothing_of_the_other_roles(library, tmp_path):
    with RunningWatchkeeper(tmp_path, {"role": "node"}) as node:
        node.wait_for("watchkeeper_device_up", at_least=8)
        assert node.value("watchkeeper_source_up", source="accelerators") == 1
        assert node.value("watchkeeper_source_up", source="otlp") is None


def test_a_node_without_accelerators_says_so_once_and_asks_no_kubelet(tmp_path):
    accelerators = {"vendors": ["gaudi"], "interval_seconds": 0.2}
    with RunningWatchkeeper(tmp_path, {"role": "node", "accelerators": accelerators}) as node:
        node.wait_for_log("no accelerator found: no library of gaudi is here")
        node.wait_for("watchkeeper_source_up", at_least=1, source="accelerators")

        assert node.log().count("no accelerator found") == 1
        assert "not placed on pods" not in node.log()
        assert node.value("watchkeeper_device_placement_up") is None
