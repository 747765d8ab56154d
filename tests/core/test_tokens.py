"""Files of tokens: what they may look like, and that a mistake in them is told without quoting it."""

from pathlib import Path

import pytest

from watchkeeper.core import tokens
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.tokens import Tokens, admission

GOOD = "0123456789abcdef"


@pytest.mark.parametrize(
    ("content", "named", "found"),
    [
        (GOOD, False, {"operator": GOOD}),
        (f"\n# of Prometheus\n  {GOOD}  \r\n", False, {"operator": GOOD}),
        (f"ann: {GOOD}\nbob:   {GOOD}2\n", False, {"ann": GOOD, "bob": f"{GOOD}2"}),
        (f"{GOOD}:with:colons", False, {"operator": f"{GOOD}:with:colons"}),
        (f"ann:{GOOD}", True, {"ann": GOOD}),
        (f"ann: {GOOD}:with:colons", True, {"ann": f"{GOOD}:with:colons"}),
        ("令" * 16, False, {"operator": "令" * 16}),
        (f"\ufeff{GOOD}", False, {"operator": GOOD}),
        (f"\ufeffann: {GOOD}", True, {"ann": GOOD}),
    ],
)
def test_tokens_stand_alone_or_have_names(tmp_path: Path, content: str, named: bool, found: dict[str, str]) -> None:
    (tmp_path / "tokens").write_text(content, encoding="utf-8")

    assert tokens.read(str(tmp_path / "tokens"), "x", named=named) == found


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", False),
        (b"# nothing but this\n", False),
        (b"ZQXshort", False),
        (b"ann: ZQXshort", False),
        (b"ZQX456789abcdefgh\nZQX456789abcdefghi", False),
        (b"ann: ZQX456789abcdefgh\nann: ZQX456789abcdefghi", False),
        (b"ZQX456789abcdefgh and more", False),
        (b"ZQX456789abcdefgh", True),
        (b": ZQX456789abcdefgh", True),
        (b"ZQX456789-prometheus: \n", False),
        (b"ZQX456789-prometheus:\n", False),
        (b"ZQX456789abcdefgh\xff", False),
        (b"#" * 70_000 + b"\nZQX456789abcdefgh", False),
    ],
    ids=[
        "empty",
        "a remark alone",
        "short",
        "short with a name",
        "two without names",
        "a name twice",
        "several words",
        "no name",
        "an empty name",
        "a name without a token",
        "a name with nothing after it",
        "not UTF-8",
        "too large",
    ],
)
def test_a_file_that_holds_none_is_named_and_not_quoted(tmp_path: Path, content: bytes, named: bool) -> None:
    (tmp_path / "tokens").write_bytes(content)

    with pytest.raises(ConfigError) as refused:
        tokens.read(str(tmp_path / "tokens"), "web.token_file", named=named)

    assert str(refused.value).startswith(f"web.token_file: '{tmp_path}/tokens'")
    assert "ZQX" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert list(tokens.problems("", "web.token_file")) == []
    [said] = tokens.problems(str(tmp_path / "none"), "web.token_file")
    assert said.endswith("none': No such file or directory; give a readable file")


def test_no_token_is_in_what_holds_them(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"ann: {GOOD}")
    held = admission(str(tmp_path / "tokens"), "web", Ledger())

    assert held is not None
    assert held.name_of(f"Bearer {GOOD}") == "ann"
    for one in (held, held._held, Tokens({"ann": GOOD})):
        assert GOOD not in f"{one!r} {vars(one)}"
    assert admission("", "web", Ledger()) is None
