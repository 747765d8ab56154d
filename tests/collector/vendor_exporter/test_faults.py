"""From codes on a page to events."""

from typing import Any

from collector.vendor_exporter.dcgm import TABLE
from watchkeeper.core.vocabulary import devices

GPU = 'gpu="0",UUID="GPU-a"'
LAST = f"DCGM_FI_DEV_XID_ERRORS{{{GPU}}}"
ALIVE = f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}} 40"


def total(code: str, by: int) -> str:
    return f'DCGM_EXP_XID_ERRORS_TOTAL{{{GPU},xid="{code}"}} {by}'


def test_the_last_code_counts_each_time_it_changes_to_one(told: Any) -> None:
    gpu = told(TABLE)
    for now, code in enumerate((0, 31, 31, 79, 31, 0)):
        gpu(float(now), f"{LAST} {code}")

    assert gpu.total(devices.FAULT_CODES, fault_code="31") == 2
    assert gpu.total(devices.FAULT_CODES, fault_code="79") == 1
    assert gpu.total(devices.FAULTS, fault_class="bus", severity="critical") == 1
    assert gpu.total(devices.FAULTS) == 3


def test_a_code_that_stood_there_when_we_came_is_not_new(told: Any) -> None:
    gpu = told(TABLE)
    for now in range(3):
        gpu(float(now), f"{LAST} 79")

    assert gpu.total(devices.FAULTS) == 0


def test_every_class_is_there_before_the_first_fault(told: Any) -> None:
    page = told(TABLE)(1000.0, f"{LAST} 0")

    assert set(page.by(devices.FAULTS, "fault.class", "severity").values()) == {0.0}
    assert ("memory", "critical") in page.by(devices.FAULTS, "fault.class", "severity")


def test_running_totals_are_believed_before_the_last_code(told: Any) -> None:
    gpu = told(TABLE)
    gpu(0.0, ALIVE, f"{LAST} 13", total("13", 5))
    gpu(1.0, ALIVE, f"{LAST} 48", total("13", 7), total("48", 1))

    assert gpu.total(devices.FAULT_CODES, fault_code="13") == 2
    assert gpu.total(devices.FAULT_CODES, fault_code="48") == 1


def test_totals_that_fall_began_anew(told: Any) -> None:
    gpu = told(TABLE)
    gpu(0.0, ALIVE, total("13", 5))
    gpu(1.0, ALIVE, total("13", 2))

    assert gpu.total(devices.FAULT_CODES, fault_code="13") == 2


def test_an_unknown_code_is_a_warning_of_class_other(told: Any) -> None:
    gpu = told(TABLE)
    gpu(0.0, f"{LAST} 0")
    gpu(1.0, f"{LAST} 999")

    assert gpu.total(devices.FAULTS, fault_class="other", severity="warning") == 1


def test_an_exporter_without_codes_says_nothing_of_faults(told: Any) -> None:
    assert told(TABLE)(0.0, ALIVE).by(devices.FAULTS, "fault.class") == {}
