"""Parts of a page to print in two languages. Figures carry the place in the JSON that they come from."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from math import exp, log
from typing import Final

from exporters.page.markup import Child, Html, element, fragment
from watchkeeper.agent.report.record import (
    DriftOfPeriod,
    FindingLife,
    LinkCompleteness,
    Record,
    SafetyFigure,
    Said,
    SloAttained,
)

Segmented = DriftOfPeriod | FindingLife | LinkCompleteness | SafetyFigure | SloAttained

_SHOWN_HASH: Final = 12
_NARROW: Final = "\u202f"


def document(title: str, body: Iterable[Child]) -> str:
    """One file that needs no other."""
    style = files("watchkeeper.agent.report").joinpath("report.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(style)),
    )
    choice = element(
        "div",
        (
            element("label", _radio(place == 0, name), " ", shown)
            for place, (name, shown) in enumerate(
                (("both", "English + 中文"), ("only-en", "English"), ("only-zh", "中文"))
            )
        ),
        class_="languages",
    )
    return f"<!doctype html>\n{element('html', head, element('body', choice, body), lang='en')}\n"


def _radio(is_checked: bool, name: str) -> Html:
    checked = " checked" if is_checked else ""
    return Html(f'<input type="radio" name="language" id="{name}"{checked}>')


def both(en: Child, zh: Child, kind: str = "stack") -> Html:
    """`stack`: one under the other; `pair`: on one line."""
    english, chinese = element("span", en, lang="en", class_="told"), element("span", zh, lang="zh-Hans")
    return element("span", english, chinese, class_=kind)


def said(words: Said, kind: str = "stack") -> Html:
    en, zh = (text.replace(" %", f"{_NARROW}%") for text in (words.en, words.zh))
    return element("span", en) if en == zh else both(en, zh, kind)


def title(en: str, zh: str) -> Html:
    return element("h2", both(en, zh, "pair"))


def table(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Child]]) -> Html:
    """:param columns: titles in both languages"""
    held = [[*row] for row in rows]
    numeric = [bool(held) and all(_kind(row[place]) == "number" for row in held) for place in range(len(columns))]
    head = element(
        "tr",
        (
            element("th", both(*column), class_="number" if is_numeric else None)
            for column, is_numeric in zip(columns, numeric, strict=True)
        ),
    )
    body = [element("tr", (element("td", one, class_=_kind(one)) for one in row)) for row in held]
    return element("table", element("thead", head), element("tbody", body))


def _kind(child: Child) -> str | None:
    """Of a cell that begins with a figure: its kind."""
    if not isinstance(child, Html):
        return None
    return next((kind for kind in ("number", "when") if child.startswith(f'<span class="{kind}')), None)


def figure(at: str, shown: str, kind: str = "number") -> Html:
    """:param at: JSON pointer of the value in the record"""
    return element("span", shown, class_=kind, data_at=at)


def more(left: int, where: str) -> Html | None:
    """What a table left out."""
    if left <= 0:
        return None
    text = both(f"and {left:,} more in {where}", f"另有 {left:,} 条见 {where}", "pair")
    return element("p", text, class_="quiet")


def share(value: float) -> str:
    """A percentage with as many digits as tell it from 0 and from 100."""
    percent = 100 * value
    for digits in (0, 1, 2, 3):
        shown = f"{percent:.{digits}f}"
        if abs(float(shown) - percent) < 0.001 * min(percent, 100 - percent) or value in (0.0, 1.0):
            break  # as good as exact
        if digits and float(shown) not in (0.0, 100.0):
            break
    return f"{shown}{_NARROW}%"


def number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if value == 0 or abs(value) >= 1e-4:
        return f"{value:.2g}"
    return f"{value:.5f}" if abs(value) >= 1e-5 else f"{value:.0e}"


def when(at: float) -> str:
    """UTC; the page says so once."""
    return datetime.fromtimestamp(at, UTC).strftime("%m-%d %H:%M")


def day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def lasting(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    hours, rest = divmod(minutes, 60)
    if hours == 0:
        return f"{rest} min"
    days, hours_left = divmod(hours, 24)
    if days:
        return f"{days} d {hours_left} h" if hours_left else f"{days} d"
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def odds(nats: float) -> str:
    if nats <= 0:
        return "-"
    return f"{exp(nats):,.3g} : 1" if nats < log(1e4) else f"10^{nats / log(10):.0f} : 1"


def hash_(value: str) -> Html:
    return element("code", value[:_SHOWN_HASH], title=value)


def lines(*children: Child) -> Html:
    """One under the other."""
    return fragment(*(element("div", child) for child in children if child))


def place_of(one: Segmented) -> Html:
    """Namespace, service and model: broken between them, not within."""
    held = [part for part in (one.namespace, one.service, one.model) if part]
    shown = (
        fragment(element("span", part + ("/" if place + 1 < len(held) else ""), class_="whole"), Html("<wbr>"))
        for place, part in enumerate(held)
    )
    return element("span", shown)


def part(record: Record, name: str, en: str, zh: str, content: Child) -> Html:
    """A title, why something is not there, and what is."""
    why = record.absent.get(name)
    return fragment(title(en, zh), element("p", said(why), class_="quiet") if why else None, content)
