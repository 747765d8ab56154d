"""Promises that every table keeps, present and future."""

import pytest

from collector._pages.page import parse
from collector.vendor_exporter import PLUGIN, TABLES
from collector.vendor_exporter.observe import observe
from collector.vendor_exporter.table import Table
from watchkeeper.core.vocabulary import devices

DEVICE = {
    "dcgm-exporter": 'gpu="0",UUID="GPU-1"',
    "npu-exporter": 'id="0",vdie_id="D1"',
    "mlu-exporter": 'mlu="0",uuid="MLU-1"',
    "device-metrics-exporter": 'gpu_id="0",serial_number="S1",clock_type="system"',
    "gaudi-exporter": 'id="0",UUID="U1"',
    "mx-exporter": 'deviceId="0",uuid="U1",type="vram"',
    "xpu-exporter": 'minor_number="0",uuid="U1"',
    "dcu-exporter": 'minor_number="0",device_id="T1"',
    "mtgpu-exporter": 'index="0",uuid="U1"',
    "ix-exporter": 'gpu="0",uuid="U1"',
    "gcu-exporter": 'minor_number="0",uuid="U1"',
    "tpu-device-plugin": 'accelerator_id="42-0"',
    "hami": 'device_index="0",device_uuid="GPU-1",error_type="corrected"',
    "all-smi": 'gpu_index="0",gpu_uuid="GPU-1"',
}
"""how each exporter names a device"""
HOLDER = ',namespace="n",pod="p",container="c"'


def page_of(table: Table) -> str:
    return "".join(f"{name}{{{DEVICE[table.name]}{HOLDER}}} 1\n" for name in sorted(table.families))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
class TestTable:
    def test_its_own_page_is_known_to_no_other(self, table: Table) -> None:
        names = parse(page_of(table).encode(), 10_000).families.keys()

        assert [other.name for other in TABLES if other.matches(names)] == [table.name]

    def test_every_row_finds_its_metric_on_a_page_that_has_all(self, table: Table) -> None:
        [sighting] = observe(parse(page_of(table).encode(), 10_000), table).sightings.values()
        found = {one.metric for one in sighting.measured} | {one.measured.metric for one in sighting.held}
        wanted = {row.metric for row in table.rows} | {states.metric for states in table.states}

        assert found == wanted

    def test_each_source_alone_is_enough_for_its_row(self, table: Table) -> None:
        for row in table.rows:
            for source in row.sources:
                names = (source.name, *source.plus)
                text = "".join(f"{name}{{{DEVICE[table.name]}{HOLDER}}} 1\n" for name in names)
                sightings = observe(parse(text.encode(), 100), table).sightings.values()
                told = {one.metric for sighting in sightings for one in sighting.measured}
                told |= {one.measured.metric for sighting in sightings for one in sighting.held}

                assert row.metric in told, source.name

    def test_it_gives_only_labels_that_the_metric_has(self, table: Table) -> None:
        for row in table.rows:
            for source in row.sources:
                given = [name for name, _ in (*row.constants, *source.constants)]
                given += [label.ours for label in source.labels]
                assert set(given) <= set(row.metric.labels), source.name
        for states in table.states:
            assert {states.label, *(name for name, _ in states.constants)} <= set(states.metric.labels)

    def test_it_says_where_each_metric_comes_from(self, table: Table) -> None:
        assert all(table.obtained.values())
        assert set(table.obtained) <= set(PLUGIN.metrics)
        assert devices.UTILIZATION in table.obtained
        assert table.reference

    def test_nothing_on_a_page_without_devices_is_taken_for_one(self, table: Table) -> None:
        text = "".join(f"{name} 1\n" for name in sorted(table.families))

        assert not observe(parse(text.encode(), 10_000), table).sightings

    @pytest.mark.parametrize("number", ["-1", "NaN", "4294967295", "1.8446744073709552e+19"])
    def test_a_number_that_stands_for_none_is_absent(self, table: Table, number: str) -> None:
        text = page_of(table).replace("} 1\n", f"}} {number}\n")
        observation = observe(parse(text.encode(), 10_000), table)
        [sighting] = observation.sightings.values()

        assert (sighting.measured, sighting.held, sighting.codes or None) == ((), (), None)
        assert not observation.invalid


def test_a_page_that_holds_two_exporters_is_read_by_both() -> None:
    joined = page_of(TABLES[0]) + page_of(TABLES[1])
    names = parse(joined.encode(), 10_000).families.keys()

    assert [table.name for table in TABLES if table.matches(names)] == [TABLES[0].name, TABLES[1].name]


def test_other_pages_are_of_no_exporter() -> None:
    text = "node_cpu_seconds_total 1\nvllm:num_requests_running 1\ngpu_temperature_celsius 3\nmemory_used 4\n"
    names = parse(text.encode(), 100).families.keys()

    assert not [table.name for table in TABLES if table.matches(names)]
