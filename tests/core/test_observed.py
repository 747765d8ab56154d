import contextlib
import io
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.core.observed import MOST_FRAME_BYTES, Segment, Tally, cell, encode_frame, iter_frames

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COUNTS = st.lists(st.tuples(st.floats(allow_nan=False) | WORDS, st.integers(1, 2**31)), max_size=4)
TALLIES = st.builds(
    Tally,
    at=st.floats(allow_nan=False, allow_infinity=False),
    seconds=st.floats(0, 3600),
    segment=WORDS,
    counts=st.dictionaries(WORDS, COUNTS, max_size=5),
)


@settings(deadline=None, max_examples=60)
@given(tallies=st.lists(TALLIES, max_size=6), cut=st.integers(min_value=0, max_value=400))
def test_tallies_come_back_and_a_torn_end_costs_the_last_alone(tallies: list[Tally], cut: int) -> None:
    frames = [encode_frame([tally]) for tally in tallies]
    data = b"".join(frames)
    torn = data[: max(0, len(data) - cut)]
    whole = 0
    while whole < len(frames) and len(b"".join(frames[: whole + 1])) <= len(torn):
        whole += 1

    assert list(iter_frames(io.BytesIO(data))) == tallies
    assert list(iter_frames(io.BytesIO(torn))) == tallies[:whole]


@settings(deadline=None, max_examples=200)
@given(data=st.binary(max_size=200))
def test_any_bytes_give_tallies_or_say_that_they_are_none(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert all(isinstance(tally, Tally) for tally in iter_frames(io.BytesIO(data)))


@pytest.mark.parametrize(
    "damage",
    [
        b"\x00\x00\x00\x01\xc1",
        b"\x00\x00\x00\x05\xff\xff\xff\xff\x00",
        (MOST_FRAME_BYTES + 1).to_bytes(4, "big"),
        b"\xff" * 9,
    ],
)
def test_tallies_before_a_damaged_one_are_given(damage: bytes) -> None:
    tally = Tally(1.0, 10.0, "default/chat/qwen", {"error": [(0.0, 3)]})
    found = iter_frames(io.BytesIO(encode_frame([tally]) + damage + encode_frame([tally])))

    assert next(found) == tally
    with pytest.raises(ValueError, match="tallies"):
        next(found)


def test_a_frame_of_many_is_less_than_a_fifth_of_them_one_by_one() -> None:
    counts: dict[str, list[tuple[float | str, int]]] = {
        f"watchkeeper.output.signal_{number}": [(number / 7, 3)] for number in range(30)
    }
    tallies = [Tally(float(number), 10.0, "default/chat/qwen", counts) for number in range(100)]
    together = encode_frame(tallies)

    assert list(iter_frames(io.BytesIO(together))) == tallies
    assert len(together) < sum(len(encode_frame([tally])) for tally in tallies) / 5


@settings(deadline=None, max_examples=300)
@given(st.floats(-1e12, 1e12, allow_subnormal=False), st.floats(-1e12, 1e12, allow_subnormal=False))
def test_a_number_lies_on_the_same_side_of_every_cells_beginning_cut_down_or_not(value: float, other: float) -> None:
    edge = cell(other)

    assert math.isclose(cell(edge), edge, rel_tol=1e-9)
    assert cell(value) <= value or math.isclose(cell(value), value, rel_tol=1e-9)
    if not math.isclose(value, edge, rel_tol=1e-9):
        assert (value >= edge) == (cell(value) >= edge or math.isclose(cell(value), edge, rel_tol=1e-9))


@pytest.mark.parametrize(("value", "found"), [(0.0, 0.0), (100.0, 100.0), (101.0, 10 ** (513 / 256)), (-1.0, -1.0)])
def test_cells_are_a_two_hundred_and_fifty_sixth_of_a_decade(value: float, found: float) -> None:
    assert cell(value) == pytest.approx(found if value != 101.0 else 10 ** (math.floor(256 * math.log10(101)) / 256))


def test_slashes_in_a_namespace_or_service_make_it_no_other_segment() -> None:
    found = Segment.parse(Segment("team/a", "chat/eu", "org/model").text)

    assert found == Segment("team_a", "chat_eu", "org/model")
