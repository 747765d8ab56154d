from collector.accelerators.device_series import FORGET_TICKS, DeviceSeries
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
