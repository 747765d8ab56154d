"""Packs of evidence: whole ones verify; of a changed one it is told exactly what was changed."""

import hashlib
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.agent.command_line import main

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def packed(month: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pack") / "march.zip"
    arguments = ["--period", "2025-03", "--state-folder", str(month.state), "--out", str(path)]
    assert main(["evidence", "export", *arguments]) == 0
    return path


def unpacked(path: Path) -> Files:
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def again(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def made_anew(files: Files) -> Files:
    """With a manifest that fits: what somebody would do who knows how packs are made."""
    manifest = json.loads(files["manifest.json"])
    for one in manifest["files"]:
        one["sha256"] = hashlib.sha256(files[one["name"]]).hexdigest()
        one["parts"] = {}
    return {**files, "manifest.json": json.dumps(manifest).encode()}


def verify(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["evidence", "verify", str(path), *arguments])
    return code, capsys.readouterr().out


def test_a_pack_holds_the_record_and_what_it_rests_on(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = unpacked(packed)

    names = {re.sub(r"[0-9a-f]{64}", "ID", name) for name in files}
    assert names == {
        "manifest.json", "governance.json", "governance.html", "findings.json", "audit.jsonl", "configuration.json",
        "references/journal.jsonl", "references/ID.json",
    }  # fmt: skip
    assert sum(name.startswith("references/") for name in files) == 20
    code, out = verify(packed, capsys)
    assert code == 0
    assert "25 files as they were packed; audit log up to entry 15" in out
    digest = re.search(r"manifest: ([0-9a-f]{64})", out)
    assert digest is not None
    assert digest[1] == hashlib.sha256(files["manifest.json"]).hexdigest()
    assert verify(packed, capsys, "--manifest", digest[1])[0] == 0


def reference_of(files: Files) -> str:
    return next(name for name in sorted(files) if name.startswith("references/") and name.endswith(".json"))


def without_a_file(files: Files) -> Files:
    return {name: data for name, data in files.items() if name != "findings.json"}


def with_a_file(files: Files) -> Files:
    return {**files, "note.txt": b"trust me"}


def with_another_share(files: Files) -> Files:
    return {**files, "governance.json": files["governance.json"].replace(b'"bad": 73.0', b'"bad": 7.0')}


def with_another_cause(files: Files) -> Files:
    return {**files, "findings.json": files["findings.json"].replace(b"system prompt 14", b"cosmic rays")}


def with_another_approver(files: Files) -> Files:
    lines = files["references/journal.jsonl"].splitlines(keepends=True)
    lines[20] = lines[20].replace(b'"lin"', b'"eve"')
    return {**files, "references/journal.jsonl": b"".join(lines)}


def with_another_deed(files: Files) -> Files:
    lines = files["audit.jsonl"].splitlines(keepends=True)
    lines[9] = lines[9].replace(b'"mei"', b'"eve"')
    assert lines[9] != files["audit.jsonl"].splitlines(keepends=True)[9]
    return {**files, "audit.jsonl": b"".join(lines)}


def without_the_last_deed(files: Files) -> Files:
    return {**files, "audit.jsonl": b"".join(files["audit.jsonl"].splitlines(keepends=True)[:-1])}


def with_another_reference(files: Files) -> Files:
    name = reference_of(files)
    return {**files, name: re.sub(rb'"n":\d+', b'"n":7', files[name], count=1)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without_a_file, ["findings.json: is gone"]),
        (with_a_file, ["note.txt: was added"]),
        (with_another_share, ["governance.json: was changed: slos changed", "governance.html: does not show what"]),
        (with_another_cause, ["findings.json: was changed: f0 changed"]),
        (
            with_another_approver,
            ["references/journal.jsonl: was changed: line 21 changed", "line 22: does not follow from the line before"],
        ),
        (
            with_another_deed,
            ["audit.jsonl: was changed: line 10 changed", "audit.jsonl: entry 10 is not what its hash says"],
        ),
        (without_the_last_deed, ["was changed: line 15 gone", "does not end with the entry that was the head"]),
        (with_another_reference, ["was changed after it was made: its hash does not fit"]),
    ],
    ids=lambda one: one.__name__ if callable(one) else "",
)
def test_what_was_changed_is_told(
    change: Callable[[Files], Files], told: list[str], packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = verify(again(tmp_path / "changed.zip", change(unpacked(packed))), capsys)

    assert code == 1
    for words in told:
        assert words in out
    assert len(out.splitlines()) <= len(told) + 1  # and nothing else


@pytest.mark.parametrize("change", [with_another_approver, with_another_deed, with_another_reference])
def test_chains_and_hashes_within_show_it_where_the_manifest_was_made_anew(
    change: Callable[[Files], Files], packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = verify(again(tmp_path / "changed.zip", made_anew(change(unpacked(packed)))), capsys)

    assert code == 1
    assert "was changed:" not in out


def test_a_manifest_that_was_made_anew_shows_beside_the_digest_that_was_kept(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = unpacked(packed)
    kept = hashlib.sha256(files["manifest.json"]).hexdigest()
    path = again(tmp_path / "changed.zip", made_anew(with_another_cause(files)))

    assert verify(path, capsys)[0] == 0
    code, out = verify(path, capsys, "--manifest", kept)
    assert code == 1
    assert "the pack was made anew or changed" in out


def test_a_file_that_is_no_pack_or_cut_off_is_told_in_a_line(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, cut = tmp_path / "other.zip", tmp_path / "cut.zip"
    again(other, {"a": b"b"})
    cut.write_bytes(packed.read_bytes()[:5000])

    for path in (other, cut, tmp_path / "none.zip"):
        assert main(["evidence", "verify", str(path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "holds no manifest.json" in lines[0]
    assert "not a zip, or cut off" in lines[1]
    assert "No such file" in lines[2]


def test_a_flipped_byte_is_told_by_the_file_it_lies_in(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(packed) as archive:
        place = archive.getinfo("findings.json")
        start = place.header_offset + 30 + len(place.filename)
    data = bytearray(packed.read_bytes())
    data[start + 20] ^= 0xFF
    path = tmp_path / "flipped.zip"
    path.write_bytes(bytes(data))

    code, out = verify(path, capsys)
    assert code == 1
    assert out.startswith("findings.json: ")
    assert len(out.splitlines()) == 1
