"""What is a number and what is not."""

from math import inf, isfinite, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.accelerators.sanity import is_sane
from collector.vendor_exporter.absent import is_absent
from watchkeeper.core.vocabulary import devices


@pytest.mark.parametrize("raw", [-1.0, nan, 4294967295.0, 18446744073709551615.0, 9223372036854775807.0])
@pytest.mark.parametrize("metric", devices.METRICS, ids=lambda metric: metric.name)
def test_all_bits_set_is_no_number_of_any_metric(raw: float, metric: object) -> None:
    assert is_absent(raw, metric)  # type: ignore[arg-type]


def test_sixteen_bits_set_may_be_bytes_but_never_a_temperature() -> None:
    assert is_absent(65535, devices.TEMPERATURE)
    assert not is_absent(65535, devices.MEMORY_USAGE)
    assert not is_absent(65535, devices.ERRORS)


def test_zero_is_a_number() -> None:
    assert not any(is_absent(0.0, metric) for metric in devices.METRICS)


@pytest.mark.parametrize(
    ("metric", "right", "wrong"),
    [
        (devices.UTILIZATION, 1.0, 1.2),
        (devices.TEMPERATURE, -20.0, 400.0),
        (devices.POWER, 1200.0, -3.0),
        (devices.CLOCK, 2.1e9, 1e12),
        (devices.ENERGY, 1e15, inf),
        (devices.ERRORS, 3.0, -2.0),
        (devices.MEMORY_USAGE, 2.0**38, 2.0**63),
        (devices.LINK_WIDTH, 16.0, 2.0**32 - 1),
        (devices.LINK_GENERATION, 6.0, 2.0**32 - 1),
    ],
)
def test_what_can_be_true(metric: object, right: float, wrong: float) -> None:
    assert is_sane(right, metric)  # type: ignore[arg-type]
    assert not is_sane(wrong, metric)  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(st.floats(), st.sampled_from(devices.METRICS))
def test_what_is_sane_is_finite(value: float, metric: object) -> None:
    assert isfinite(value) or not is_sane(value, metric)  # type: ignore[arg-type]
