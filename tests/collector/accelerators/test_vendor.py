"""What holds for every vendor, with a driver of Python: what no driver may do, whatever its library does."""

import time

import pytest

from collector.accelerators.driver import Device, DriverError, Fault, Listing, Meaning, Measured, ProcessUse, Sampled
from collector.accelerators.places import Place
from collector.accelerators.readings import Readings
from collector.accelerators.vendor import LIST_SECONDS, LOST_SECONDS, Vendor
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Kind
from watchkeeper.core.vocabulary import devices, health

NOW = 1_800_000_000.0
PATIENT = 60.0


class Driver:
    """Says what the test puts into it."""

    def __init__(self):
        self.listing = Listing(tuple(Device(id=f"GPU-{name}", name=name, vendor="acme") for name in "01"))
        self.says = {"0": Sampled((Measured(devices.POWER, 100.0),)), "1": Sampled((Measured(devices.POWER, 200.0),))}

    def open(self):
        """Always there."""

    def devices(self):
        return self.listing

    def sample(self, device, now):
        said = self.says[device.name]
        if isinstance(said, Exception):
            raise said
        return said

    def faults(self, timeout_seconds) -> list[Fault]:
        raise DriverError(Meaning.UNSUPPORTED, "NONE", "faults")

    def close(self):
        """Nothing is open."""


class Places:
    def __init__(self):
        self.places = {}
        self.programs = {}

    def refresh(self, now):
        """The test says it."""

    def holders(self, device):
        return self.places.get(device.name, ())

    def owners(self, pids, holders):
        return {pid: self.programs[pid] for pid in pids if pid in self.programs}

    def close(self):
        """Nothing is open."""


class Host:
    def __init__(self):
        self.driver, self.places, self.ledger = Driver(), Places(), Ledger()
        self.vendor = Vendor("acme", self.driver, self.ledger)
        self.readings = Readings(self.places, longest_gap_seconds=10.0)
        self.now = NOW

    def tick(self, seconds=1.0):
        self.now += seconds
        self.vendor.tick(self.now, PATIENT)
        return self.readings.of(self.vendor, (), self.now)

    def relist(self):
        """Until the listing that is due by then has come: a thread aside asks for it, in time of its own."""
        before, end = (self.vendor.devices, self.vendor.unreadable), time.monotonic() + PATIENT
        self.tick(seconds=LIST_SECONDS + 1)
        while (self.vendor.devices, self.vendor.unreadable) == before:
            assert time.monotonic() < end, "no new listing"
            time.sleep(0.001)
            self.tick(seconds=0.0)


@pytest.fixture
def host():
    made = Host()
    made.tick()
    yield made
    made.vendor.close()


def found(samples, metric, **labels):
    wanted = {name.replace("_", "."): value for name, value in labels.items()}
    return [one.value for one in samples if one.metric is metric and wanted.items() <= dict(one.labels).items()]


def test_a_mistake_in_a_driver_costs_one_device_and_is_logged_once(host, caplog):
    host.driver.says["0"] = KeyError("a mistake")
    for _ in range(3):
        samples, _ = host.tick()

    assert found(samples, devices.POWER, hw_name="1") == [200]
    assert host.vendor.unreadable == {"GPU-0": "failing"}
    assert sum(1 for record in caplog.records if record.exc_info) == 1


def test_a_device_that_says_nothing_at_all_is_not_readable(host):
    host.driver.says["0"] = Sampled()
    host.tick()

    assert host.vendor.unreadable == {"GPU-0": "failing"}


def test_what_follows_from_numbers_is_told_again_when_a_device_comes_back_with_the_same(host):
    memory = Measured(devices.MEMORY_LIMIT, 100.0), Measured(devices.MEMORY_USAGE, 50.0)
    said = Sampled((*memory, Measured(devices.REPAIR_FAILED, 1.0)))
    host.driver.says["0"] = said
    told = [host.tick()[0]]
    host.driver.says["0"] = DriverError(Meaning.FAILING, "TIMEOUT", "sample")
    host.tick()
    host.driver.says["0"] = said
    told.append(host.tick()[0])

    for samples in told:
        assert found(samples, devices.MEMORY_UTILIZATION, hw_name="0") == [0.5]
        assert found(samples, devices.STATUS, hw_name="0", hw_state="predicted_failure") == [1]


def test_a_number_that_cannot_be_is_counted_each_time_it_is_said(host):
    host.driver.says["0"] = Sampled((Measured(devices.POWER, -5.0), Measured(devices.TEMPERATURE, 40.0)))
    for _ in range(3):
        host.tick()

    counted = [one.value for one in host.ledger.drain(host.now) if one.metric is health.INVALID_VALUES]
    assert counted == [3]


def test_a_device_that_is_listed_no_more_stays_in_sight_for_a_day(host):
    host.driver.listing = Listing(host.driver.listing.devices[1:])
    host.relist()
    assert host.vendor.unreadable == {"GPU-0": "lost"}

    host.tick(LOST_SECONDS)
    host.relist()
    assert host.vendor.devices.keys() == {"GPU-1"}


def test_where_one_container_has_a_device_its_place_is_on_every_metric(host):
    host.places.places["0"] = (Place("prod", "llama-0", "vllm"),)
    samples, gaps = host.tick()

    assert found(samples, devices.POWER, hw_name="0", k8s_pod_name="llama-0") == [100]
    assert found(samples, devices.ALLOCATION, hw_name="0", k8s_pod_name="llama-0") == [1]
    moved = [gap for gap in gaps if gap.metric is devices.POWER]
    assert [dict(gap.labels).get("k8s.pod.name") for gap in moved] == [None]
    assert all(gap.is_one_series for gap in moved)


def test_where_several_containers_share_a_device_only_its_allocation_names_them(host):
    host.places.places["0"] = (Place("prod", "a", "x"), Place("prod", "b", "x"))
    host.tick()
    samples, _ = host.tick(2.0)

    assert found(samples, devices.POWER, hw_name="0") == [100]
    assert found(samples, devices.POWER, hw_name="0", k8s_pod_name="a") == []
    assert found(samples, devices.ALLOCATED_TIME, hw_name="0", k8s_pod_name="a") == [1]
    assert found(samples, devices.ALLOCATED_TIME, hw_name="0", k8s_pod_name="b") == [1]


def test_a_counter_goes_on_when_the_device_is_given_to_somebody_else(host):
    host.driver.says["0"] = Sampled((Measured(devices.ERRORS, 5.0, (("hw.type", "gpu"),)),))
    host.tick()
    host.places.places["0"] = (Place("prod", "a", "x"),)
    host.driver.says["0"] = Sampled((Measured(devices.ERRORS, 7.0, (("hw.type", "gpu"),)),))
    samples, _ = host.tick()

    assert found(samples, devices.ERRORS, hw_name="0", k8s_pod_name="a") == [2]


def test_the_fault_series_of_a_new_holder_are_there_from_zero(host):
    host.places.places["0"] = (Place("prod", "a", "x"),)
    samples, _ = host.tick()

    assert found(samples, devices.FAULTS, k8s_pod_name="a", fault_class="memory", severity="critical") == [0]


def test_memory_of_processes_is_added_up_by_who_they_are(host):
    host.places.programs = {7: Place("prod", "a", "x"), 8: Place("prod", "a", "x"), 9: Place(unit="vllm.service")}
    processes = tuple(ProcessUse(pid, 10.0) for pid in (7, 8, 9))
    host.driver.says["0"] = Sampled((Measured(devices.POWER, 1.0),), (), processes)
    samples, _ = host.tick()

    assert found(samples, devices.PROCESSES, hw_name="0") == [3]
    assert found(samples, devices.PROCESS_MEMORY, k8s_pod_name="a") == [20]
    assert found(samples, devices.PROCESS_MEMORY, systemd_unit="vllm.service") == [10]


def test_what_detectors_follow_is_told_at_every_tick_and_the_rest_when_it_changes(host):
    samples, _ = host.tick()

    assert found(samples, devices.POWER, hw_name="0") == [100]
    assert found(samples, devices.UP) == []
    assert not [one for one in samples if one.metric.kind is Kind.COUNTER and one.metric is not devices.ENERGY]


def test_what_stays_is_told_again_each_minute(host):
    told = [found(host.tick()[0], devices.UP, hw_name="0") for _ in range(61)]

    assert [one for one in told if one] == [[1]]
