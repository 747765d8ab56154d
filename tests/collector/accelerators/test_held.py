"""What is read through libraries is noted for sources that would read it too."""

import gc
import weakref

from collector.accelerators.held import HELD_SECONDS, held_in
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Sample
from watchkeeper.core.vocabulary import devices

GPU = (("hw.id", "GPU-a"), ("hw.name", "0"))
MIG = (("hw.id", "MIG-1"), ("hw.parent", "GPU-a"))


def told(metric: Metric, labels: tuple[tuple[str, str], ...] = GPU, value: float = 1.0) -> Sample:
    return Sample(metric, value, 0.0, labels)


def test_what_was_told_of_a_device_that_is_read_is_held() -> None:
    held = held_in(Ledger())
    held.tell([told(devices.UP), told(devices.POWER, value=300.0)], 10.0)

    assert held.has("GPU-a", "", devices.POWER, 10.0 + HELD_SECONDS)
    assert not held.has("GPU-a", "", devices.TEMPERATURE, 10.0)
    assert not held.has("GPU-b", "", devices.POWER, 10.0)


def test_a_device_that_is_read_no_more_is_free() -> None:
    held = held_in(Ledger())
    held.tell([told(devices.UP), told(devices.POWER)], 10.0)
    held.tell([told(devices.UP, value=0.0)], 11.0 + HELD_SECONDS)

    assert not held.has("GPU-a", "", devices.POWER, 11.0 + HELD_SECONDS)


def test_a_metric_told_once_stays_held_while_the_device_is_read() -> None:
    held = held_in(Ledger())
    held.tell([told(devices.UP), told(devices.FAULTS)], 0.0)
    for now in range(60, 1200, 60):
        held.tell([told(devices.UP)], float(now))

    assert held.has("GPU-a", "", devices.FAULTS, 1200.0)


def test_what_is_told_of_one_partition_is_held_for_all_of_its_device() -> None:
    held = held_in(Ledger())
    held.tell([told(devices.UP, MIG), told(devices.MEMORY_USAGE, MIG)], 0.0)

    assert held.has("GPU-a/gi7", "GPU-a", devices.MEMORY_USAGE, 1.0)
    assert not held.has("GPU-a", "", devices.MEMORY_USAGE, 1.0)


def test_an_agent_has_one_and_two_agents_have_two() -> None:
    one, other = Ledger(), Ledger()

    assert held_in(one) is held_in(one)
    assert held_in(one) is not held_in(other)


def test_it_goes_with_its_agent() -> None:
    held = weakref.ref(held_in(Ledger()))
    gc.collect()

    assert held() is None
