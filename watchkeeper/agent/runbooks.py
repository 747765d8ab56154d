"""The runbooks on the one HTTP port: a link that works at three in the morning without a way to the internet."""

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import Final

from exporters.page.markup import Child, Html, element, fragment
from watchkeeper.core.interfaces import Answer, Request

PATH: Final = "/runbooks/"
_POLICY: Final = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
_SPAN: Final = re.compile(r"`([^`]+)`|\*\*(.+?)\*\*|\[([^\]]+)\]\(([\w.-]+)\)")
_CHINESE: Final = ".zh-CN.md"


def routes() -> Mapping[str, Callable[[Request], Answer]]:
    """Path to handler, one for each page."""
    folder = files("dashboards").joinpath("runbooks")
    return {f"{PATH}{page.name}": _answer for page in folder.iterdir() if page.name.endswith(".md")}


def _answer(request: Request) -> Answer:
    name = request.path.removeprefix(PATH)
    text = files("dashboards").joinpath("runbooks", name).read_text(encoding="utf-8")
    tag = "zh-CN" if name.endswith(_CHINESE) else "en"
    headers = {"Content-Security-Policy": _POLICY, "Content-Language": tag, "Cache-Control": "max-age=300"}
    return Answer(page(text, tag).encode(), "text/html; charset=utf-8", headers=headers)


def page(text: str, tag: str) -> Html:
    """
    The Markdown that our runbooks are written in: a title, paragraphs, code, emphasis, links to each other.

    >>> page("# A\\n\\n**Means.** `x` < 1", "en").partition("<main")[2]
    ' class="sheet"><h1>A</h1><p><strong>Means.</strong> <code>x</code> &lt; 1</p></main></body></html>\\n'
    """
    title = text.partition("\n")[0].removeprefix("# ")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} · watchkeeper"),
        element("link", rel="stylesheet", href="../page.css"),
    )
    body = element("body", element("main", list(_blocks(text)), class_="sheet"))
    return Html(f"<!doctype html>\n{element('html', head, body, lang=tag)}\n")


def _blocks(text: str) -> Iterator[Html]:
    for place, part in enumerate(re.split(r"^```\w*\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)):
        if place % 2:
            yield element("pre", element("code", part.rstrip("\n")))
            continue
        for block in filter(None, (block.strip() for block in part.split("\n\n"))):
            is_title = block.startswith("# ")
            yield element("h1" if is_title else "p", _spans(block.removeprefix("# ")))


def _spans(text: str) -> Html:
    made: list[Child] = []
    at = 0
    for found in _SPAN.finditer(text):
        code, strong, words, address = found.groups()
        made.append(text[at : found.start()])
        if code:
            made.append(element("code", code))
        elif strong:
            made.append(element("strong", _spans(strong)))
        else:
            made.append(element("a", words, href=address))
        at = found.end()
    return fragment(*made, text[at:])
