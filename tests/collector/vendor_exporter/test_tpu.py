"""Google's TPU device plugin."""

from typing import Any

from collector.vendor_exporter.tpu import TABLE
from watchkeeper.core.vocabulary import devices

CHIP = 'make="cloud-tpu",model="tpu7x",tpu_topology="2x2x2"'


def test_chips_with_and_without_a_container(said: Any) -> None:
    held = f'accelerator_id="123-4",container="c",{CHIP},namespace="n",pod="p"'
    page = said(
        TABLE,
        f"duty_cycle{{{held}}} 42",
        f'duty_cycle_node{{accelerator_id="123-0",{CHIP}}} 0',
        f'duty_cycle_node{{accelerator_id="123-4",{CHIP}}} 42',
        f"memory_total{{{held}}} 2.03465670656e+11",
        f"memory_used{{{held}}} 1.76938736128e+11",
        f'tensorcore_utilization_node{{accelerator_id="123-4",{CHIP}}} 30',
        f'memory_bandwidth_utilization_node{{accelerator_id="123-4",{CHIP}}} 42.5',
        "go_goroutines 34",
    )

    assert page.of("123-0") == {(devices.UTILIZATION, ("general",)): 0}
    assert page.of("123-4") == {
        (devices.UTILIZATION, ("general",)): 0.42,
        (devices.MATRIX_ACTIVE, ()): 0.3,
        (devices.MEMORY_BANDWIDTH, ()): 0.425,
        (devices.MEMORY_LIMIT, ()): 203465670656,
        (devices.MEMORY_USAGE, ()): 176938736128,
    }
    assert (page.places("123-4"), page.places("123-0")) == (["n/p/c"], [])
    assert (page.devices["123-4"].name, page.devices["123-4"].model) == ("4", "tpu7x")
    assert page.observation.unmapped == 1
