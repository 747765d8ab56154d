"""What the pages in Markdown say is there, is there."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from watchkeeper.agent import registry
from watchkeeper.agent.config import load, root_type
from watchkeeper.core.testkit import require

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
        *(ROOT / "changelog.d").glob("README.md"),
    ]
)
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")


def tokens(page: Path) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def blocks(page: Path, language: str) -> list[str]:
    return [token.content for token in tokens(page) if token.type == "fence" and token.info == language]


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    links = [str(token.attrs.get("href") or token.attrs.get("src")) for token in tokens(page) if token.attrs]
    broken = []
    for link in links:
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        if "://" in link:
            continue
        headings = {anchor(t.content) for t in tokens(target) if t.type == "inline"} if fragment else set()
        if not target.exists() or (fragment and fragment not in headings):
            broken.append(link)

    assert broken == []


def test_both_readmes_show_the_same_commands_and_files_but_for_remarks():
    def shown(page: Path) -> list[tuple[str, str]]:
        return [(t.info, re.sub(r" +# .*", "", t.content)) for t in tokens(page) if t.type == "fence"]

    assert shown(READMES[0]) == shown(READMES[1])
    assert len(shown(READMES[0])) > 6


def test_remarks_in_the_chinese_readme_are_chinese():
    remarks = [r for t in tokens(READMES[1]) if t.type == "fence" for r in re.findall(r" +# (.*)", t.content)]

    assert len(remarks) > 3
    assert [remark for remark in remarks if not re.search("[一-鿿]", remark)] == []


def test_both_readmes_have_the_same_sections_and_links():
    def shape(page: Path) -> list[str]:
        headings = [t.tag for t in tokens(page) if t.type == "heading_open"]
        links = sorted(
            str(t.attrs["href"]) for t in tokens(page) if "href" in t.attrs and "README" not in t.attrs["href"]
        )
        return headings + links

    assert shape(READMES[0]) == shape(READMES[1])


def test_the_readme_begins_with_the_two_commands_that_the_makefile_has():
    first = blocks(READMES[0], "sh")[0]
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    assert re.findall(r"^make (\w+)", first, re.MULTILINE) == ["demo", "test"] == targets[:2]


def test_the_configuration_in_the_readme_is_valid(tmp_path):
    [text] = [block for block in blocks(READMES[0], "yaml") if block.startswith("# watchkeeper.yaml")]
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(text)

    settings = load(path, {}, root_type(registry.sources(), registry.exporters()))

    assert settings.web.host == "0.0.0.0"


def test_prometheus_takes_the_scrape_configuration_in_the_readme(tmp_path):
    [text] = [block for block in blocks(READMES[0], "yaml") if block.startswith("# prometheus.yml")]
    path = tmp_path / "prometheus.yml"
    path.write_text(text)

    done = subprocess.run([require("promtool", "prometheus"), "check", "config", path], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_metrics_named_in_the_readmes_exist():
    known = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for page in READMES:
        names = set(re.findall(r"\b(?:gen_ai|watchkeeper)_\w+", page.read_text(encoding="utf-8")))
        assert [n for n in names if re.sub(r"_(bucket|sum|count)$", "", n) not in known] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_in_the_documents_parses(page):
    for block in blocks(page, "python"):
        ast.parse(block)
        assert max(map(len, block.splitlines())) <= 120
