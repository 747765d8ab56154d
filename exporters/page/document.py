"""The whole page as HTML. Pure: the same view and words give the same bytes."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from exporters.page.device_table import accelerators
from exporters.page.figures import count, share
from exporters.page.finding_list import findings
from exporters.page.life import Known
from exporters.page.lists import destinations, engines, models, services, sources
from exporters.page.live import live
from exporters.page.markup import Child, Html, element, fragment
from exporters.page.parts import absent, code, moment
from exporters.page.status import Remark, State, Status, Why
from exporters.page.view import View
from exporters.page.words import Words
from watchkeeper.core.records import Finding

MAX_REMARKS: Final = 5
_MAX_SENTENCE: Final = 300
"""characters of a remark; the finding itself is shown in full below"""

_GLYPHS: Final = {State.UNKNOWN: "…", State.WELL: "✓", State.ATTENTION: "!", State.BAD: "✕"}
_ICONS: Final = {
    State.UNKNOWN: "<circle cx='8' cy='8' r='6' fill='none' stroke='#64748b' stroke-width='3'/>",
    State.WELL: "<circle cx='8' cy='8' r='7' fill='#1a7f45'/>",
    State.ATTENTION: "<path d='M8 1l7.5 14H.5z' fill='#e0a100'/>",
    State.BAD: "<path d='M1 1h14v14H1z' fill='#c62828'/>",
}


def document(
    view: View,
    status: Status,
    entries: Sequence[Finding],
    words: Words,
    *,
    title: str,
    refresh_seconds: float,
    assets: Mapping[str, str],
    runbooks: str = "",
    recorded: Known | None = None,
) -> Html:
    """
    :param title: what the operator calls this watchkeeper; may be empty
    :param assets: relative addresses of `style` and `script`
    :param runbooks: begins the links to our own runbooks
    :param recorded: what the record knows of findings; None: there is none, or the reader may not see it
    """
    state = words.states[status.state]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="robots", content="noindex"),
        element("title", " · ".join(filter(None, (state, title, "watchkeeper")))),
        element("link", rel="icon", id="icon", href=_icon(status.state)),
        element("link", rel="stylesheet", href=assets["style"]),
        element("script", src=assets["script"], defer=True),
        element("noscript", element("meta", http_equiv="refresh", content=f"{max(round(refresh_seconds), 1)}")),
    )
    body = element(
        "body",
        element("p", words.lost, " ", element("time"), id="lost", role="alert", hidden=True),
        _header(view, words, title),
        element(
            "main",
            _status(view, status, words),
            _content(view, findings(entries, view, words, runbooks, recorded), words),
        ),
    )
    page = element("html", head, body, lang=words.tag, data_refresh=refresh_seconds)
    return Html(f"<!doctype html>\n{page}\n")


def sentence(remark: Remark, words: Words) -> str:
    """A remark in words."""
    found = remark.finding
    text = words.remarks[remark.why].format(
        title=words.title_of(found) if found else "",
        summary=found.summary if found else "",
        names=words.listed(remark.names),
        reasons=words.listed(tuple(words.reason(reason) for reason in remark.reasons)),
        count=count(remark.amount),
        share=share(remark.amount),
        age=words.age(remark.amount),
    )
    text = text if len(text) <= _MAX_SENTENCE else f"{text[: _MAX_SENTENCE - 1]}…"
    return words.and_alike.format(said=text, count=count(remark.amount)) if found and remark.amount else text


def _content(view: View, found: Html, words: Words) -> Html:
    """In the order of a narrow screen; a wide one sets the middle part left of the two others."""
    traffic: Child = None if view.itself.role == "node" else _empty(words)  # a node agent is sent no traffic
    if view.models or view.engines:
        traffic = fragment(
            live(view, words), models(view.models, words), services(view.services, words), engines(view.engines, words)
        )
    devices = accelerators(view.devices, words) if view.devices else None
    return fragment(
        element("div", found, class_="first"),
        element("div", traffic, devices, class_="middle"),
        element("div", sources(view, words), destinations(view, words), class_="last"),
    )


def _header(view: View, words: Words, title: str) -> Html:
    itself = view.itself
    uptime = absent(words.absent_itself)
    if itself.started_at is not None:
        uptime = moment(itself.started_at, words.age(view.now - itself.started_at))
    return element(
        "header",
        element("h1", "watchkeeper", element("small", title) if title else None),
        element(
            "p",
            [
                element("span", f"{name} ", element("b", value))
                for name, value in (
                    (words.role, itself.role or absent(words.absent_itself)),
                    (words.version, itself.version or absent(words.absent_itself)),
                    (words.uptime, uptime),
                )
            ],
            id="itself",
            data_live=True,
        ),
        element(
            "nav",
            element("a", "/metrics", href="metrics", title=words.metrics_link),
            element(
                "a", words.other_name, href=f"?lang={words.other_tag}", hreflang=words.other_tag, lang=words.other_tag
            ),
        ),
    )


def _status(view: View, status: Status, words: Words) -> Html:
    said = [sentence(remark, words) for remark in status.remarks]
    if not said:
        idle = bool(view.models or view.engines) and not view.request_rate and not view.running
        well = words.well_idle if idle else words.well
        said = [well if status.state is State.WELL else words.unknown]
    hidden = len(said) - 1 - MAX_REMARKS
    return element(
        "section",
        element("span", _GLYPHS[status.state], class_="glyph", aria_hidden="true"),
        element(
            "div",
            element("h2", words.states[status.state]),
            element("p", said[0]),
            element(
                "ul",
                [element("li", text) for text in said[1 : 1 + MAX_REMARKS]],
                element("li", words.more.format(count=hidden)) if hidden > 0 else None,
            )
            if len(said) > 1
            else None,
        ),
        _watched(view, words),
        id="status",
        class_=status.state.name.lower(),
        role="status",
        data_live=True,
        data_stale=any(remark.why is Why.STALE for remark in status.remarks),
    )


def _watched(view: View, words: Words) -> Html:
    """How much is watched, and how much of it is up."""
    up: dict[str, list[bool | None]] = {
        words.engines: [engine.up for engine in view.engines],
        **({words.accelerators: [device.up for device in view.devices]} if view.devices else {}),
        words.sources: [source.up for source in view.sources],
    }
    counts = {words.models: str(len(view.models)), words.services: str(len(view.services))}
    if view.itself.role == "node" and not (view.models or view.services or view.engines):
        counts, up = {}, {name: states for name, states in up.items() if name != words.engines}
    counts |= {name: f"{sum(map(bool, states))}/{len(states)}" if states else "0" for name, states in up.items()}
    return element("dl", [element("div", element("dt", name), element("dd", value)) for name, value in counts.items()])


def _empty(words: Words) -> Html:
    return element(
        "section",
        element("h2", words.empty_title),
        element("ol", [element("li", code(step)) for step in words.empty_steps]),
        id="empty",
        data_live=True,
    )


def _icon(state: State) -> str:
    drawing = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>{_ICONS[state]}</svg>"
    return "data:image/svg+xml," + quote(drawing, safe=" =:/'")
