from pathlib import Path

import pytest

from watchkeeper.agent.drift.recorder import ROWS_PER_TICK, Recorder
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Row, iter_frames
from watchkeeper.core.vocabulary import drift


def outcomes(ledger: Ledger) -> dict[str, float]:
    rows = [sample for sample in ledger.drain(0.0) if sample.metric is drift.ROWS]
    return {sample.labels[0][1]: sample.value for sample in rows}  # type: ignore[misc]


def read(folder: Path) -> list[Row]:
    return [row for file in sorted(folder.iterdir()) for row in iter_frames(file.open("rb"))]


def test_of_a_busy_segment_a_bounded_sample_is_kept_and_the_rest_counted(tmp_path: Path) -> None:
    ledger = Ledger()
    recorder = Recorder(tmp_path, 1 << 20, ledger, 0.0)
    for number in range(1000):
        recorder.add(Row(number / 100, "a/b/c", {"x": float(number)}))
    recorder.add(Row(5.0, "a/b/quiet", {"x": -1.0}))
    recorder.flush(10.0)
    kept = read(tmp_path)

    busy = [float(row.values["x"]) for row in kept if row.segment == "a/b/c"]
    assert len(busy) == ROWS_PER_TICK
    assert busy == sorted(busy)
    assert max(busy) > 500
    assert len(kept) == ROWS_PER_TICK + 1
    assert outcomes(ledger) == {"kept": 21.0, "thinned": 980.0}


def test_every_row_of_a_tick_is_kept_as_often_as_any_other(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 1 << 24, Ledger(), 0.0)
    for tick in range(400):
        for number in range(40):
            recorder.add(Row(tick * 10.0 + number / 10, "a/b/c", {"x": float(number)}))
        recorder.flush(tick * 10.0 + 10)
    kept = [row.values["x"] for row in read(tmp_path)]

    for number in range(40):
        assert 140 <= kept.count(float(number)) <= 260  # 200 expected, deviation 10


def test_the_oldest_file_makes_room_and_the_folder_stays_within_its_bound(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 40_000, Ledger(), 0.0)
    for tick in range(1000):
        recorder.add(Row(float(tick), "a/b/c", {f"x{tick * 7919}": tick * 0.1 for _ in range(10)}))
        recorder.flush(float(tick))

    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 40_000
    ats = [row.at for row in read(tmp_path)]
    assert ats[-1] == 999.0
    assert ats == [float(at) for at in range(int(ats[0]), 1000)]
    assert len(ats) > 300


def test_a_folder_that_cannot_be_written_is_said_once_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger()
    (tmp_path / "file").write_text("in the way")
    recorder = Recorder(tmp_path / "file" / "observed", 1 << 20, ledger, 0.0)
    for tick in range(3):
        recorder.add(Row(1.0, "a/b/c", {"x": 1.0}))
        recorder.flush(tick * 10.0)

    assert caplog.text.count("are not kept") == 1
    assert outcomes(ledger) == {"lost": 3.0}
