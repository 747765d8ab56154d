from pathlib import Path

import pytest

from watchkeeper.agent.command_line import main

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "arguments"),
    [
        ("metrics.md", ["metrics", "--format", "markdown"]),
        ("config.md", ["config-schema", "--format", "markdown"]),
        ("engines.md", ["engines", "--format", "markdown"]),
        ("devices.md", ["devices", "--format", "markdown"]),
        ("alerts.md", ["rules", "list", "--format", "markdown"]),
    ],
)
def test_a_generated_page_is_current(page: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0

    written = (DOCS / page).read_text(encoding="utf-8")
    assert capsys.readouterr().out == written, f"run: watchkeeper {' '.join(arguments)} > docs/{page}"
