import os
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest

from detectors.drift import packs
from detectors.drift.packs import Kind, Pack
from watchkeeper.agent.references import journal, store
from watchkeeper.agent.references.journal import Deed
from watchkeeper.agent.references.store import References

SEGMENT = "default/chat/qwen"
KEY = (SEGMENT, "refusal")


def made(seed: int = 0, signal: str = "refusal", segment: str = SEGMENT) -> Pack:
    values = np.random.default_rng(seed).random(400) < 0.05
    return packs.build(signal, Kind.FLAG, values.astype(float), made_at=1_000.0 + seed, segment=segment)


def approve(folder: Path, pack: Pack, at: float) -> Pack:
    approved = pack.approved("ana", at, "looks right")
    with store.writing(folder):
        journal.append(folder, [journal.event(Deed.APPROVED, pack, at=at, by="ana", why="looks right")])
        store.put(folder, approved)
    return approved


def retire(folder: Path, pack: Pack, at: float) -> None:
    with store.writing(folder):
        journal.append(folder, [journal.event(Deed.RETIRED, pack, at=at, by="ana", why="was wrong")])


def test_what_was_approved_last_is_in_force(tmp_path: Path) -> None:
    references = References(tmp_path)
    first, second = made(1), made(2)

    assert not references.refresh()
    approve(tmp_path, first, 10.0)
    assert references.refresh()
    assert references.active()[KEY].id == first.id
    approve(tmp_path, second, 20.0)
    assert references.refresh()
    assert references.active() == {KEY: second.approved("ana", 20.0, "looks right")}
    assert not references.refresh()


def test_a_proposal_is_not_in_force(tmp_path: Path) -> None:
    with store.writing(tmp_path):
        store.put(tmp_path, made())
    references = References(tmp_path)

    assert not references.refresh()
    assert references.active() == {}


def test_nothing_older_comes_back_when_the_newest_is_retired_until_it_is_approved_again(tmp_path: Path) -> None:
    first, second = made(1), made(2)
    approve(tmp_path, first, 10.0)
    approve(tmp_path, second, 20.0)
    retire(tmp_path, second, 30.0)
    references = References(tmp_path)

    references.refresh()
    assert references.active() == {}
    approve(tmp_path, first, 40.0)
    assert references.refresh()
    assert references.active()[KEY].id == first.id


@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_nothing_older_comes_back_when_the_newest_is_harmed_and_one_line_says_so(tmp_path: Path, harm: str) -> None:
    approve(tmp_path, made(1), 10.0)
    newest = approve(tmp_path, made(2), 20.0)
    other = approve(tmp_path, made(3, "loop"), 20.0)
    path = tmp_path / f"{newest.id}.json"
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes().replace(b'"n":400', b'"n":401'))
    references = References(tmp_path)

    references.refresh()

    assert references.active() == {(SEGMENT, "loop"): other}
    [problem] = references.problems
    assert newest.id[:12] in problem
    assert ("gone" if harm == "gone" else "changed") in problem


def test_a_folder_of_references_alone_reads_as_a_mounted_config_map_is(tmp_path: Path) -> None:
    """
    Kubernetes links each file to `..data`, a link that it swaps for another folder; nothing can be written.
    """
    first, second = made(1).approved("ana", 10.0, "a"), made(2).approved("ana", 20.0, "b")
    for number, pack in enumerate((first, second)):
        folder = tmp_path / f"..2026_{number}"
        folder.mkdir()
        (folder / "refusal.json").write_bytes(pack.encode())
    (tmp_path / "..data").symlink_to("..2026_0")
    (tmp_path / "refusal.json").symlink_to("..data/refusal.json")
    references = References(tmp_path)

    tmp_path.chmod(0o555)
    assert references.refresh()
    assert references.active() == {KEY: first}
    tmp_path.chmod(0o755)
    (tmp_path / "..new").symlink_to("..2026_1")
    (tmp_path / "..new").rename(tmp_path / "..data")

    assert references.refresh()
    assert references.active() == {KEY: second}
    assert references.problems == ()


def test_what_was_in_force_stays_so_while_the_folder_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved = approve(tmp_path, made(), 10.0)
    references = References(tmp_path)
    references.refresh()

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        assert references.refresh()
        assert references.active() == {KEY: approved}
        assert references.problems == (f"{tmp_path}: Input/output error; what was in force stays so",)
        assert not references.refresh()

    assert references.refresh()
    assert references.problems == ()


def test_files_that_are_no_references_are_each_told_and_the_rest_go_on(tmp_path: Path) -> None:
    approved = approve(tmp_path, made(), 10.0)
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "README").write_text("not looked at")
    (tmp_path / ".hidden.json").write_text("nor this")
    (tmp_path / "dangling.json").symlink_to("nowhere")
    references = References(tmp_path)

    references.refresh()

    assert references.active() == {KEY: approved}
    assert [problem.partition(":")[0] for problem in references.problems] == ["folder.json", "notes.json"]


def test_unchanged_files_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    approve(tmp_path, made(1), 10.0)
    references = References(tmp_path)
    references.refresh()
    read: list[str] = []
    whole, told = store.read_pack, journal.read
    monkeypatch.setattr(store, "read_pack", lambda path: (read.append(path.name), whole(path))[1])
    monkeypatch.setattr(journal, "read", lambda folder: (read.append(journal.NAME), told(folder))[1])

    references.refresh()
    assert read == []
    other = approve(tmp_path, made(2, "loop"), 20.0)
    references.refresh()
    assert read == [journal.NAME, f"{other.id}.json"]


def test_an_end_between_write_and_rename_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = approve(tmp_path, made(1), 10.0)
    store.put(tmp_path, made(2))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            approve(tmp_path, made(2), 20.0)
    references = References(tmp_path)
    references.refresh()

    assert references.active() == {KEY: first}
    assert references.problems == ()
    assert len(list(tmp_path.glob(".*.tmp"))) == 1
    with store.writing(tmp_path):
        assert list(tmp_path.glob(".*.tmp")) == []
    assert store.load(tmp_path).packs == {first.id: first, made(2).id: made(2)}


def test_one_writes_at_a_time(tmp_path: Path) -> None:
    entered = threading.Event()

    def other() -> None:
        with store.writing(tmp_path):
            entered.set()

    thread = threading.Thread(target=other)
    with store.writing(tmp_path):
        thread.start()
        assert not entered.wait(0.3)
    assert entered.wait(30)
    thread.join()


def test_of_two_files_of_one_reference_the_approved_one_counts(tmp_path: Path) -> None:
    pack = made()
    approved = pack.approved("ana", 10.0, "fits")
    for name, one in (("1.json", pack), ("2.json", approved), ("3.json", pack)):
        (tmp_path / name).write_bytes(one.encode())
    references = References(tmp_path)

    references.refresh()

    assert references.active() == {KEY: approved}
    assert store.load(tmp_path).packs == {pack.id: approved}


def broken(**fields: object) -> bytes:
    """A reference whose hash fits, and nothing else does."""
    pack = msgspec.structs.replace(made(), **fields)
    return msgspec.structs.replace(pack, id=packs.content_hash(pack)).encode()


STRATUM = made().strata["all"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"segment": "chat"}, "segment"),
        ({"edges": (0.2, 0.5)}, "counts do not fit"),
        ({"strata": {}}, "counts do not fit"),
        ({"strata": {"all": msgspec.structs.replace(STRATUM, counts=(-1, 5))}}, "counts do not fit"),
        ({"strata": {"all": msgspec.structs.replace(STRATUM, counts=(0, 0))}}, "hours do not fit"),
        ({"strata": {"01": STRATUM, "02": msgspec.structs.replace(STRATUM, bands={})}}, "hours do not fit"),
        ({"strata": {"all": msgspec.structs.replace(STRATUM, bands={"x": STRATUM.bands["rate"]})}}, "score 'x'"),
    ],
)
def test_what_would_break_a_detector_is_refused_though_its_hash_fits(fields: dict[str, object], said: str) -> None:
    assert store.decoded(made().encode()) == made()

    with pytest.raises(ValueError, match=said):
        store.decoded(broken(**fields))


def test_a_file_too_large_for_a_reference_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_bytes(made().encode())
    monkeypatch.setattr(store, "MOST_BYTES", 100)

    with pytest.raises(ValueError, match="larger than"):
        store.read_pack(tmp_path / "a.json")
