import logging
from pathlib import Path

import pytest

from watchkeeper.core.errors import ConfigError
from watchkeeper.core.password_file import PasswordFile


@pytest.fixture
def file(tmp_path: Path) -> Path:
    one = tmp_path / "password"
    one.write_text("first\n")
    return one


def test_what_the_file_holds_now_is_the_password(file: Path) -> None:
    password = PasswordFile(str(file), "a.password_file")
    file.write_text(" second\n")

    assert password.newest() == "second"


@pytest.mark.parametrize(
    ("held", "said"), [(b"", "holds no password"), (b"\xff", "(not UTF-8)"), (None, "(No such file or directory)")]
)
def test_without_one_the_last_stays_and_it_is_said_once_until_there_is_one_again(
    file: Path, caplog: pytest.LogCaptureFixture, held: bytes | None, said: str
) -> None:
    caplog.set_level(logging.INFO, "watchkeeper.files")
    password = PasswordFile(str(file), "a.password_file")
    for _ in range(2):
        file.unlink(missing_ok=True)
        if held is not None:
            file.write_bytes(held)
        assert [password.newest(), password.newest()] == ["first", "first"]
        file.write_text("first\n")
        assert password.newest() == "first"

    lines = [record.getMessage() for record in caplog.records if record.name == "watchkeeper.files"]
    assert len(lines) == 2
    assert said in lines[0]
    assert lines[0].startswith(f"a.password_file: '{file}'")
    assert "first" not in caplog.text + repr(password)


def test_at_the_start_it_must_be_there(file: Path) -> None:
    file.write_text("\n")

    with pytest.raises(ConfigError, match=r"^a\.password_file: '.*' holds no password; write it there"):
        PasswordFile(str(file), "a.password_file")
