"""Whatever stands on a page, reading it does not fail, and what comes out is sane."""

from math import isfinite

from hypothesis import given, settings
from hypothesis import strategies as st

from collector._pages.fault import Refused
from collector._pages.page import parse
from collector.accelerators.held import Held
from collector.vendor_exporter import TABLES
from collector.vendor_exporter.observe import observe
from collector.vendor_exporter.readings import Readings

FAMILIES = sorted({name for table in TABLES for name in table.families})
LABELS = (
    "gpu", "UUID", "uuid", "id", "vdie_id", "GPU_I_ID", "vf", "gpu_id", "serial_number", "gpu_partition_id", "index",
    "minor_number", "device_id", "vdcu_minor_number", "accelerator_id", "device_uuid", "mig_instance", "clock_type",
    "type", "xid", "error_type", "pod", "namespace", "exported_pod", "container",
)  # fmt: skip
VALUES = st.one_of(st.sampled_from(["", "0", "1", "N/A", "vram", "system", "p-0"]), st.text(max_size=6))
NUMBERS = st.one_of(st.floats(), st.integers(-2, 2**64), st.sampled_from([0.0, 1.0, 100.0, 65535.0]))
LINES = st.tuples(st.sampled_from(FAMILIES), st.dictionaries(st.sampled_from(LABELS), VALUES, max_size=6), NUMBERS)


def written(name: str, labels: dict[str, str], number: float) -> str:
    escaped = {
        key: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for key, value in labels.items()
    }
    pairs = ",".join(f'{key}="{value}"' for key, value in escaped.items())
    return f"{name}{{{pairs}}} {number}\n"


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES, max_size=25))
def test_any_page_is_read(lines: list[tuple[str, dict[str, str], float]]) -> None:
    try:
        page = parse("".join(written(*line) for line in lines).encode("utf-8", "surrogatepass"), 1000)
    except Refused:
        return
    for table in TABLES:
        observation = observe(page, table)
        readings = Readings(Held(), 60.0)
        for now in (1000.0, 1015.0):
            samples, _ = readings.of(observation.sightings.values(), (), now)
            for sample in samples:
                assert isinstance(sample.value, float)
                assert isfinite(sample.value)
                assert {name for name, _ in sample.labels} <= set(sample.metric.labels)
        assert observation.mapped + observation.unmapped == sum(len(one.series) for one in page.families.values())
