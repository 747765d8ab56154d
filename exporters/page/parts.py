"""Small pieces of markup that several panels share. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime

from exporters.page.figures import DASH, Figure, count, estimate
from exporters.page.groups import Latency
from exporters.page.markup import Child, Html, element, fragment
from exporters.page.totals import Estimate
from exporters.page.words import Words


def absent(why: str) -> Html:
    """A number that is not there, and the reason."""
    return element("span", DASH, class_="none", title=why)


def figure(value: Figure | None, why: str) -> Html:
    if value is None:
        return absent(why)
    return fragment(value.text, element("small", value.unit) if value.unit else None)


def quantile(value: Estimate | None, why: str) -> Html:
    return figure(None if value is None else estimate(value), why)


def both(latency: Latency | None, why: str) -> Html:
    """Median and 95th percentile side by side."""
    if latency is None:
        return absent(why)
    slash = element("span", " / ", class_="faint")
    return element("span", quantile(latency.p50, why), slash, quantile(latency.p95, why), class_="both")


def code(text: str) -> Html:
    """What is between backquotes as code."""
    pieces = text.split("`")
    return fragment([element("code", piece) if index % 2 else piece for index, piece in enumerate(pieces)])


def moment(at: float, text: str) -> Html:
    """`text` with the full time for machines and for whoever asks."""
    stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") if 0 <= at < 1e11 else ""
    return element("time", text, datetime=stamp, title=stamp.replace("T", " ").replace("+00:00", " UTC"))


def total(counts: Mapping[str, float]) -> Html:
    """A count above 0 stands out."""
    amount = sum(counts.values())
    return element("span", count(amount), class_="warn" if amount else "faint")


def by_reason(counts: Mapping[str, float], words: Words) -> str:
    """Each reason in words with its count."""
    return words.listed(tuple(f"{words.reason(reason)} {count(amount)}" for reason, amount in counts.items()))


def bar(share: float, text: str, *, alarms: bool = True) -> Html:
    """A share as a short bar, with its number beside it. `alarms`: nearly full is bad."""
    width = round(100 * min(max(share, 0.0), 1.0))
    return fragment(
        element(
            "svg",
            element("rect", class_="full" if alarms and share >= 0.9 else "fill", width=width, height=8),
            class_="bar",
            viewBox="0 0 100 8",
            preserveAspectRatio="none",
            aria_hidden="true",
        ),
        text,
    )


def dot(up: bool | None, words: Words, why: str = "") -> Html:
    """Up or down, in shape, colour and word."""
    if up is None:
        return absent(words.absent_state)
    state = words.up if up else words.down
    said = words.because.format(state=state, reason=words.reason(why)) if why and not up else state
    return element("span", said, class_="up" if up else "down")


def table(kind: str, headings: list[Child], rows: list[list[Child]], labels: list[str]) -> Html:
    """The first column names the row. `labels` stand beside each cell where the screen is too narrow for columns."""
    head = element("tr", [element("th", heading, scope="col") for heading in headings])
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            [element("td", cell, data_label=label) for cell, label in zip(row[1:], labels[1:], strict=True)],
        )
        for row in rows
    ]
    return element("table", element("thead", head), element("tbody", body), class_=kind)


def more(amount: int, text: str) -> Html | None:
    """How many are left out, when any are."""
    return element("p", text.format(count=amount), class_="quiet") if amount > 0 else None


def amount_of(amount: int) -> Html | None:
    """Beside a heading."""
    return element("small", f" {amount}") if amount else None


def section(name: str, heading: Child, *children: Child) -> Html:
    """A part of the page that is refreshed on its own."""
    return element("section", element("h2", heading), children, id=name, data_live=True)
