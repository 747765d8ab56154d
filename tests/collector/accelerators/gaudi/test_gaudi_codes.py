import pytest

from collector.accelerators.driver import Meaning
from collector.accelerators.gaudi.codes import CODES, error


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (1, Meaning.RESTARTED), (2, Meaning.UNSUPPORTED), (3, Meaning.UNSUPPORTED), (6, Meaning.NO_SAMPLE),
        (9, Meaning.NOT_LOADED), (10, Meaning.FAILING), (15, Meaning.LOST), (21, Meaning.NO_SAMPLE),
        (49, Meaning.FAILING),
    ],
)  # fmt: skip
def test_a_code_asks_for_what_the_reference_says(code, meaning):
    assert error(code, "hlml_x").meaning is meaning


def test_a_code_that_nobody_knows_yet_may_pass():
    assert (error(77, "hlml_x").code, error(77, "hlml_x").meaning) == ("77", Meaning.FAILING)


def test_success_is_no_error():
    assert 0 not in CODES
