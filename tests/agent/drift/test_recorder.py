import resource
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.agent.drift.recorder import Recorder
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Tally, cell, iter_frames
from watchkeeper.core.vocabulary import drift


def outcomes(ledger: Ledger) -> dict[str, Any]:
    return {one.labels[0][1]: one.value for one in ledger.drain(0.0) if one.metric is drift.RECORDED}


def read(folder: Path) -> list[Tally]:
    return [tally for file in sorted(folder.iterdir()) for tally in iter_frames(file.open("rb"))]


def test_every_observation_of_a_tick_is_kept_by_value(tmp_path: Path) -> None:
    ledger = Ledger()
    recorder = Recorder(tmp_path, 1 << 20, ledger)
    for number in range(1000):
        recorder.add("a/b/c", {"tokens": float(100 + number % 2), "reason": "stop" if number % 10 else "length"})
    recorder.add("a/b/quiet", {"refusal": 1.0})
    recorder.flush(50.0, 10.0, 60.0)

    assert read(tmp_path) == [
        Tally(50.0, 10.0, "a/b/c", {
            "tokens": [(100.0, 500), (cell(101.0), 500)], "reason": [("length", 100), ("stop", 900)],
        }),
        Tally(50.0, 10.0, "a/b/quiet", {"refusal": [(1.0, 1)]}),
    ]  # fmt: skip
    assert outcomes(ledger) == {"kept": 2001.0}


def test_words_past_the_bound_of_a_tick_are_other_and_what_is_no_number_is_left_out(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 1 << 20, Ledger())
    for number in range(80):
        recorder.add("a/b/c", {"reason": f"word {number}", "tokens": float("nan")})
    recorder.flush(50.0, 10.0, 60.0)
    [tally] = read(tmp_path)

    assert len(tally.counts["reason"]) == 51
    assert tally.counts["reason"][-1] == ("other", 30)
    assert tally.counts["tokens"] == []


def test_the_oldest_file_goes_and_the_folder_stays_within_its_bound(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 40_000, Ledger())
    for tick in range(1000):
        recorder.add("a/b/c", {f"x{tick * 7919}": tick * 0.1})
        recorder.flush(float(tick), 1.0, float(tick))

    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 40_000
    ats = [tally.at for tally in read(tmp_path)]
    assert ats[-1] == 999.0
    assert ats == [float(at) for at in range(int(ats[0]), 1000)]
    assert len(ats) > 300


def test_a_folder_that_cannot_be_written_is_said_once_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger()
    (tmp_path / "file").write_text("in the way")
    recorder = Recorder(tmp_path / "file" / "observed", 1 << 20, ledger)
    for tick in range(3):
        recorder.add("a/b/c", {"x": 1.0})
        recorder.flush(tick * 10.0, 10.0, tick * 10.0)

    assert caplog.text.count("are not kept") == 1
    assert outcomes(ledger) == {"lost": 3.0}


def test_a_folder_or_file_that_somebody_removed_is_begun_anew(tmp_path: Path) -> None:
    ledger = Ledger()
    recorder = Recorder(tmp_path / "observed", 1 << 20, ledger)

    def tick(at: float) -> None:
        recorder.add("a/b/c", {"x": at})
        recorder.flush(at, 10.0, at)

    tick(0.0)
    shutil.rmtree(tmp_path / "observed")
    tick(10.0)
    for file in (tmp_path / "observed").iterdir():
        file.unlink()
    tick(20.0)

    assert [tally.at for tally in read(tmp_path / "observed")] == [20.0]
    assert outcomes(ledger) == {"kept": 3.0}


def test_a_tick_that_a_full_disk_cut_off_costs_none_of_those_behind_it(tmp_path: Path) -> None:
    ledger = Ledger()
    recorder = Recorder(tmp_path, 1 << 20, ledger)

    def tick(at: float) -> None:
        recorder.add("a/b/c", {f"signal {place}": at for place in range(50)})
        recorder.flush(at, 10.0, at)

    tick(0.0)
    [file] = tmp_path.iterdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 20, before[1]))  # as a full disk: a part fits
    try:
        tick(10.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    tick(20.0)

    assert [tally.at for tally in read(tmp_path)] == [0.0, 20.0]
    assert outcomes(ledger) == {"kept": 100.0, "lost": 50.0}
