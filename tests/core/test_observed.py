import contextlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.core.observed import MOST_FRAME_BYTES, Row, encode_frame, iter_frames

VALUES = st.floats(allow_nan=False) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ROWS = st.builds(
    Row,
    at=st.floats(allow_nan=False, allow_infinity=False),
    segment=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    values=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), VALUES, max_size=5),
)


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(ROWS, max_size=6), cut=st.integers(min_value=0, max_value=400))
def test_rows_come_back_and_a_torn_end_costs_the_last_alone(rows: list[Row], cut: int) -> None:
    frames = [encode_frame([row]) for row in rows]
    data = b"".join(frames)
    torn = data[: max(0, len(data) - cut)]
    whole = 0
    while whole < len(frames) and len(b"".join(frames[: whole + 1])) <= len(torn):
        whole += 1

    assert list(iter_frames(io.BytesIO(data))) == rows
    assert list(iter_frames(io.BytesIO(torn))) == rows[:whole]


@settings(deadline=None, max_examples=200)
@given(data=st.binary(max_size=200))
def test_any_bytes_give_rows_or_say_that_they_are_none(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert all(isinstance(row, Row) for row in iter_frames(io.BytesIO(data)))


@pytest.mark.parametrize("damage", [b"\x00\x00\x00\x01\xc1", b"\x00\x00\x00\x05\xff\xff\xff\xff\x00", (MOST_FRAME_BYTES + 1).to_bytes(4, "big"), b"\xff" * 9])
def test_rows_before_a_damaged_one_are_given(damage: bytes) -> None:
    row = Row(1.0, "default/chat/qwen", {"error": 0.0})
    found = iter_frames(io.BytesIO(encode_frame([row]) + damage + encode_frame([row])))

    assert next(found) == row
    with pytest.raises(ValueError, match="row"):
        next(found)


def test_a_frame_of_many_rows_is_less_than_a_fifth_of_the_rows_one_by_one() -> None:
    values: dict[str, float | str] = {f"watchkeeper.output.signal_{number}": number / 7 for number in range(30)}
    rows = [Row(float(number), "default/chat/qwen", values | {"duration": number * 0.37}) for number in range(100)]
    together = encode_frame(rows)

    assert list(iter_frames(io.BytesIO(together))) == rows
    assert len(together) < sum(len(encode_frame([row])) for row in rows) / 5
