import math
from pathlib import Path

import pytest

from watchkeeper.agent.references import observations
from watchkeeper.agent.references.observations import Wanted, gather, read_rows, span
from watchkeeper.core.observed import Row, Tally, encode_frame

ONE, OTHER = "shop/chat/qwen", "shop/search/qwen/8b"
ROWS = [
    Row(30.0, ONE, {"input_tokens": 3.0, "finish_reason": "stop"}),
    Row(10.0, ONE, {"input_tokens": 1.0, "finish_reason": "length"}),
    Row(20.0, OTHER, {"input_tokens": 2.0, "refusal": 1.0}),
    Row(40.0, "nonsense", {"input_tokens": 4.0}),
]


def test_series_are_put_in_order_of_time() -> None:
    found = gather(ROWS, Wanted())

    assert found.keys() == {
        (ONE, "input_tokens"), (ONE, "finish_reason"), (OTHER, "input_tokens"), (OTHER, "refusal"),
    }  # fmt: skip
    times, values = found[ONE, "input_tokens"].in_order()
    assert (list(times or ()), list(values)) == ([10.0, 30.0], [1.0, 3.0])
    assert found[ONE, "finish_reason"].in_order()[1] == ["length", "stop"]
    assert found[OTHER, "refusal"].in_order()[1][0] == 1.0
    assert span(found) == (10.0, 30.0)


@pytest.mark.parametrize(
    ("wanted", "segments"),
    [
        (Wanted(service="chat"), {ONE}),
        (Wanted(namespace="shop", model="qwen/8b"), {OTHER}),
        (Wanted(namespace="elsewhere"), set()),
        (Wanted(since=20.0), {ONE, OTHER}),
        (Wanted(since=20.0, until=30.0), {OTHER}),
        (Wanted(signals=frozenset({"refusal"})), {OTHER}),
    ],
)
def test_only_what_is_wanted_is_gathered(wanted: Wanted, segments: set[str]) -> None:
    assert {segment for segment, _ in gather(ROWS, wanted)} == segments


def test_without_times_the_order_is_that_of_the_file_and_no_time_can_be_asked_for() -> None:
    rows = [Row(math.nan, ONE, {"input_tokens": value}) for value in (2.0, 1.0)]

    found = gather(rows, Wanted())

    assert found[ONE, "input_tokens"].in_order() == (None, found[ONE, "input_tokens"].values)
    assert span(found) is None
    assert gather(rows, Wanted(since=0.0)) == {}


def test_a_value_of_the_wrong_kind_is_left_out() -> None:
    found = gather([Row(1.0, ONE, {"input_tokens": "many", "finish_reason": 1.0})], Wanted())

    assert [len(series.values) for series in found.values()] == [0, 0]


def test_a_tally_gives_each_observation_its_time_in_an_order_that_is_not_that_of_the_values() -> None:
    tally = Tally(100.0, 10.0, ONE, {"input_tokens": [(1.0, 50), (2.0, 50)], "finish_reason": [("stop", 2)]})
    found = gather([tally], Wanted())
    times, values = found[ONE, "input_tokens"].in_order()

    assert list(times or ()) == pytest.approx([100 + place / 10 for place in range(100)])
    assert sorted(values) == [1.0] * 50 + [2.0] * 50
    assert 15 < list(values[:50]).count(1.0) < 35
    assert list(gather([tally], Wanted())[ONE, "input_tokens"].in_order()[1]) == list(values)
    assert found[ONE, "finish_reason"].in_order()[1] == ["stop", "stop"]


def test_of_a_busy_signal_the_newest_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observations, "MOST_OBSERVATIONS", 1000)
    tallies = [Tally(10.0 * place, 10.0, ONE, {"input_tokens": [(float(place), 100)]}) for place in range(100)]
    times, values = gather(tallies, Wanted())[ONE, "input_tokens"].in_order()

    assert len(values) == len(times or ()) == 1000
    assert set(values) == {float(place) for place in range(90, 100)}


def test_files_of_tallies_are_read_in_order_and_damage_costs_one_file_its_rest(tmp_path: Path) -> None:
    tallies = [Tally(row.at, 10.0, row.segment, {"x": [(1.0, 2)]}) for row in ROWS]
    frames = [encode_frame([tally]) for tally in tallies]
    (tmp_path / "2.tallies").write_bytes(frames[2] + frames[3][:-1])
    (tmp_path / "1.tallies").write_bytes(frames[0] + frames[1] + b"\xff" * 8 + frames[3])
    (tmp_path / "3.tallies").mkdir()
    (tmp_path / "4.tmp").write_bytes(frames[3])
    said: list[str] = []

    assert list(read_rows(tmp_path, said.append)) == tallies[:3]
    assert [line.partition(":")[0] for line in said] == ["1.tallies", "3.tallies"]
    assert "damaged after 2 tallies" in said[0]
