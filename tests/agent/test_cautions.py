"""What is told of a configuration that hinders nothing."""

import os
from pathlib import Path

import pytest

from watchkeeper.agent import cautions, registry
from watchkeeper.agent.cautions import narrower, unusable
from watchkeeper.agent.config import load, root_type


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that its user may read alone, whoever that is: a superuser may do all."""
    folder = tmp_path / "locked"
    folder.mkdir()

    def access(path: Path, mode: int) -> bool:
        return path != folder or not mode & os.W_OK

    monkeypatch.setattr(cautions.os, "access", access)
    return folder


def test_a_folder_that_is_there_or_can_be_made_is_nothing_to_tell_and_is_not_made(tmp_path: Path) -> None:
    new = tmp_path / "a" / "b"

    assert [unusable(folder) for folder in ("", str(tmp_path), str(new))] == ["", "", ""]
    assert not new.parent.exists()


def test_a_file_is_no_folder_nor_has_it_any(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    assert unusable(str(file)) == f"'{file}' is not a folder; give another"
    assert unusable(f"{file}/a/b") == f"'{file}/a/b' cannot be made: '{file}' is not a folder; give another"


def test_where_nothing_may_be_written_it_is_told_for_whom_and_what_to_do(locked: Path) -> None:
    user = os.geteuid()

    assert unusable(str(locked)) == f"'{locked}' cannot be written by user {user}; change its owner, or give another"
    assert unusable(f"{locked}/a/b") == (
        f"'{locked}/a/b' cannot be made in '{locked}' by user {user}; make it for that user, or give another"
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("limits: {max_series: 20000}", 0),
        ("limits: {max_series: 20001}", 1),
        ("limits: {max_series: 30000}\nexporters: {prometheus: {max_series: 30000}}", 0),
        ("limits: {max_series: 30000}\nexporters: {prometheus: {enabled: false}}", 0),
    ],
)
def test_an_exporter_that_takes_fewer_series_than_are_held_is_told(tmp_path: Path, text: str, count: int) -> None:
    parts = registry.sources(), registry.exporters(), registry.signals(), registry.checks()
    (tmp_path / "c.yaml").write_text(text)

    assert len(list(narrower(load(tmp_path / "c.yaml", {}, root_type(*parts)), parts[1]))) == count
