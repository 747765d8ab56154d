import pytest

from collector.accelerators.amd.codes import CODES, error
from collector.accelerators.driver import Meaning


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (2, Meaning.UNSUPPORTED), (3, Meaning.UNSUPPORTED), (8, Meaning.FAILING), (9, Meaning.FAILING),
        (10, Meaning.NOT_PERMITTED), (15, Meaning.FAILING), (30, Meaning.FAILING), (31, Meaning.NO_SAMPLE),
        (32, Meaning.RESTARTED), (34, Meaning.NOT_LOADED), (40, Meaning.NO_SAMPLE), (55, Meaning.UNSUPPORTED),
        (56, Meaning.DAMAGED), (-1, Meaning.FAILING),
    ],
)  # fmt: skip
def test_a_status_asks_for_what_the_reference_says(code, meaning):
    assert error(code, "amdsmi_x").meaning is meaning


def test_a_status_that_nobody_knows_yet_may_pass():
    assert (error(77, "amdsmi_x").code, error(77, "amdsmi_x").meaning) == ("77", Meaning.FAILING)


def test_success_is_no_error():
    assert 0 not in CODES
