import pynvml
import pytest

from collector.accelerators.driver import Meaning
from collector.accelerators.nvidia.codes import CODES, error


def test_every_return_code_of_the_binding_has_a_meaning():
    defined = {value: name for name, value in vars(pynvml).items() if name.startswith("NVML_ERROR_")}

    assert {code: f"NVML_ERROR_{name}" for code, (name, _) in CODES.items()} == defined


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (1, Meaning.RESTARTED), (2, Meaning.STALE), (3, Meaning.UNSUPPORTED), (4, Meaning.NOT_PERMITTED),
        (6, Meaning.NO_SAMPLE), (9, Meaning.NOT_LOADED), (12, Meaning.ABSENT), (13, Meaning.UNSUPPORTED),
        (14, Meaning.DAMAGED), (15, Meaning.LOST), (16, Meaning.RESET_REQUIRED), (18, Meaning.RESTARTED),
        (21, Meaning.NO_SAMPLE), (25, Meaning.UNSUPPORTED), (28, Meaning.LOST), (999, Meaning.FAILING),
    ],
)  # fmt: skip
def test_a_code_asks_for_what_the_reference_says(code, meaning):
    assert error(code, "nvmlX").meaning is meaning


def test_a_code_that_nobody_knows_yet_may_pass():
    assert (error(77, "nvmlX").code, error(77, "nvmlX").meaning) == ("77", Meaning.FAILING)
