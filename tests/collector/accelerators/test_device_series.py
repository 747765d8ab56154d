from collector.accelerators.device_series import FORGET_TICKS, DeviceSeries
from collector.accelerators.driver import Measured
from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Reason
from watchkeeper.core.vocabulary import devices


def test_a_year_of_containers_that_come_and_go_is_not_kept():
    series = DeviceSeries((("hw.id", "GPU-0"),))
    at = 1_800_000_000.0
    for tick in range(3 * FORGET_TICKS):
        at += 1
        series.begin((("hw.id", "GPU-0"),))
        job = tick // 10
        series.put(devices.PROCESS_MEMORY, 1.0, at, (("container.id", f"{job:012d}"),))
        series.add(devices.ALLOCATED_TIME, 1.0, at, (("k8s.pod.name", f"job-{job}"),))
        series.put(devices.ENERGY, 5.0 * tick, at)
        series.end(Reason.UNSUPPORTED)

    assert series.count(devices.PROCESS_MEMORY) <= 2 * FORGET_TICKS / 10 + 1
    assert series.count(devices.ALLOCATED_TIME) <= 2 * FORGET_TICKS / 10 + 1


def test_a_device_that_goes_from_job_to_job_fills_no_table():
    """Every job leaves totals under its pod's name: were they held for a day, there would be no room for gauges."""
    series, at = DeviceSeries(()), 1_800_000_000.0
    aggregate = Aggregate(Ledger(), max_series=200, max_values_per_label=50)
    for job in range(300):
        at += 300
        aggregate.forget(*series.begin((("hw.id", "GPU-0"), ("k8s.pod.name", f"job-{job}"))))
        for kind in range(40):
            series.put(devices.THROTTLE_TIME, float(job), at, (("reason", f"{kind}"),))
        series.put(devices.POWER, 500.0, at)
        for sample in series.samples:
            aggregate.apply(sample)
        aggregate.sweep(at)
        told = {(point.metric, dict(point.labels)["k8s.pod.name"]) for point in aggregate.changed()[0]}
        assert (devices.POWER, f"job-{job}") in told


def test_a_running_total_that_was_silent_for_long_goes_on_where_it_stood():
    series = DeviceSeries((("hw.id", "GPU-0"),))
    at = 1_800_000_000.0
    series.begin((("hw.id", "GPU-0"),))
    series.put(devices.ERRORS, 7.0, at)
    series.end(Reason.LOST)
    for _ in range(2 * FORGET_TICKS):
        at += 1
        series.begin((("hw.id", "GPU-0"),))
        series.end(Reason.LOST)
    series.begin((("hw.id", "GPU-0"),))
    series.put(devices.ERRORS, 9.0, at + 1)

    assert [sample.value for sample in series.samples] == [2.0]


GPU = (("hw.id", "GPU-0"),)
CHIP, MEMORY = (("hw.sensor_location", "chip"),), (("hw.sensor_location", "memory"),)


def told(series, measured, at, who=GPU):
    """What one tick tells, and what goes stale."""
    moved = series.begin(who)
    series.put_all("measured", measured, at)
    gone = [*moved, *series.end(Reason.LOST)]
    values = [(sample.metric.name, sample.value) for sample in series.samples]
    return values, [(gap.metric.name, dict(gap.labels).get("hw.sensor_location")) for gap in gone]


def test_numbers_that_come_in_another_order_or_number_keep_their_series():
    series, at = DeviceSeries(GPU), 1_800_000_000.0
    chip, memory = Measured(devices.TEMPERATURE, 50.0, CHIP), Measured(devices.TEMPERATURE, 60.0, MEMORY)
    limit = Measured(devices.POWER_LIMIT, 700.0)
    assert told(series, (chip, memory, limit), at)[0] == [
        ("hw.temperature", 50.0), ("hw.temperature", 60.0), ("watchkeeper.device.power.limit", 700.0)
    ]  # fmt: skip

    assert told(series, (memory, chip, limit), at + 1) == ([], [])
    assert told(series, (memory, limit), at + 2) == ([], [("hw.temperature", "chip")])
    assert told(series, (chip, memory, limit), at + 3) == ([("hw.temperature", 50.0)], [])


def test_what_stays_is_told_once_a_minute_also_when_the_clock_was_set_back():
    series, at = DeviceSeries(GPU), 1_800_000_000.0
    same = (Measured(devices.POWER_LIMIT, 700.0), Measured(devices.ENERGY, 5.0))
    ticks = [bool(told(series, same, at + second)[0]) for second in range(62)]

    assert [second for second, is_told in enumerate(ticks) if is_told] == [0, 60]
    assert len(told(series, same, at - 3600)[0]) == 2


def test_of_what_is_followed_the_core_clock_is_told_every_time_and_that_of_memory_when_it_changes():
    series, at = DeviceSeries(GPU), 1_800_000_000.0
    clocks = [Measured(devices.CLOCK, hertz, (("clock", name),)) for name, hertz in (("core", 1e9), ("memory", 2e9))]
    told(series, clocks, at)

    assert told(series, clocks, at + 1)[0] == [("watchkeeper.device.clock", 1e9)]


def test_all_is_told_anew_when_the_device_has_another_owner():
    series, at = DeviceSeries(GPU), 1_800_000_000.0
    same = (Measured(devices.POWER_LIMIT, 700.0), Measured(devices.ENERGY, 5.0))
    told(series, same, at)
    values, gone = told(series, same, at + 1, (*GPU, ("k8s.pod.name", "a")))

    assert values == [("watchkeeper.device.power.limit", 700.0), ("hw.energy", 0.0)]
    assert [name for name, _ in gone] == ["watchkeeper.device.power.limit", "hw.energy"]


def test_what_names_a_place_of_its_own_stays_where_it_is_when_the_device_has_another_owner():
    """As the memory of a process of the host does: its gap would come after it was told again, and hide it."""
    series, at = DeviceSeries(GPU), 1_800_000_000.0
    own = (("k8s.pod.name", ""), ("systemd.unit", "ssh.service"))
    same = (Measured(devices.POWER_LIMIT, 700.0), Measured(devices.PROCESS_MEMORY, 512.0, own))
    told(series, same, at)
    values, gone = told(series, same, at + 1, (*GPU, ("k8s.pod.name", "a")))

    assert values == [("watchkeeper.device.power.limit", 700.0)]
    assert [name for name, _ in gone] == ["watchkeeper.device.power.limit"]
    assert told(series, same[:1], at + 2, (*GPU, ("k8s.pod.name", "a")))[1] == [
        ("watchkeeper.device.process.memory", None)
    ]


def test_a_number_put_twice_at_a_tick_hides_none_that_went():
    series, at = DeviceSeries(GPU), 1_800_000_000.0
    chip, memory = Measured(devices.TEMPERATURE, 50.0, CHIP), Measured(devices.TEMPERATURE, 60.0, MEMORY)
    told(series, (chip, memory), at)

    assert told(series, (chip, chip), at + 1)[1] == [("hw.temperature", "memory")]


def test_what_went_and_comes_again_as_the_same_object_is_shown_again():
    series, at = DeviceSeries(GPU), 1_800_000_000.0
    same = (Measured(devices.TEMPERATURE, 50.0, CHIP), Measured(devices.ENERGY, 5.0))
    told(series, same, at)

    assert told(series, same, at + 1) == ([], [])
    series.begin(GPU)
    assert [gap.metric for gap in series.end(Reason.LOST)] == [devices.TEMPERATURE]
    assert told(series, same, at + 3) == ([("hw.temperature", 50.0)], [])


def test_what_stayed_for_long_is_not_gone_when_a_neighbour_goes():
    series, at = DeviceSeries(GPU), 1_800_000_000.0
    chip, memory = Measured(devices.TEMPERATURE, 50.0, CHIP), Measured(devices.TEMPERATURE, 60.0, MEMORY)
    for second in range(5):
        series.begin(GPU)
        series.put_all("one", (chip,), at + second)
        series.put_all("other", (memory,), at + second)
        assert series.end(Reason.LOST) == []
    series.begin(GPU)
    series.put_all("one", (chip,), at + 5)

    assert [dict(gap.labels)["hw.sensor_location"] for gap in series.end(Reason.LOST)] == ["memory"]


def test_what_a_total_can_have_gained_is_reckoned_from_when_it_was_read_last():
    """20 kW for the two minutes in which it stayed the same would be 2.4 MJ; in one second it cannot be."""
    series, at = DeviceSeries(GPU), 1_800_000_000.0
    same = (Measured(devices.ENERGY, 5.0), Measured(devices.POWER_LIMIT, 700.0))
    for second in range(119):
        told(series, same, at + second)
    values, _ = told(series, (Measured(devices.ENERGY, 2e6), same[1]), at + 119)

    assert values == [("hw.energy", 0.0)]
