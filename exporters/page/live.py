"""The live numbers with their last quarter of an hour. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from exporters.page.chart import Line, Values, chart, highest_of
from exporters.page.figures import Figure, count, rate, seconds, share
from exporters.page.groups import Latency
from exporters.page.history import MARKS, STEP_SECONDS, Mark, Spreads
from exporters.page.markup import Child, Html, element, fragment
from exporters.page.parts import absent, figure, quantile
from exporters.page.tally import ERRORS, Origin
from exporters.page.view import View
from exporters.page.words import Words

SPANS: Final = (24, 60, MARKS)
"""steps: two minutes, five, a quarter of an hour"""

_LEAST_SHARE: Final = 0.05
"""the error chart's upper edge at least: one failure in a thousand is no mountain"""


def live(view: View, words: Words) -> Html:
    panels = (
        _requests(view, words),
        _latency("first-token", words.ttft, view.first_token, view.charted_first_token, view, words),
        _latency("per-token", words.tpot, view.per_token, view.charted_per_token, view, words),
        _tokens(view, words),
        _errors(view, words),
        _in_flight(view, words),
    )
    heading = element("h2", words.live, " ", element("small", words.last_minute))
    return element("section", heading, element("div", panels, class_="panels"), id="live", data_live=True)


def steps_of(view: View) -> int:
    """How many steps a chart spans: the shortest span that holds all there is, so that a young one is not a sliver."""
    held = view.last_index - view.marks[0].index
    return next(span for span in SPANS if span >= held or span == MARKS)


def values_of(view: View, value: Callable[[Mark], float | None]) -> Values:
    """The value at the start of the chart and after each of its steps; a step that was not recorded is a gap."""
    by_index = {mark.index: value(mark) for mark in view.marks}
    return [by_index.get(index) for index in range(view.last_index - steps_of(view), view.last_index + 1)]


def _requests(view: View, words: Words) -> Html:
    per_second = None if view.request_rate is None else Figure(rate(view.request_rate), words.per_second)
    return _panel(
        "requests",
        words.requests,
        [("main", "", figure(per_second, words.absent_requests))],
        "" if view.calls_counted else words.counted_by_engines,
        [Line(values_of(view, lambda mark: mark.request_rate), "main")],
        words,
        lambda top: f"{rate(top)}{words.per_second}",
    )


def _latency(name: str, title: str, latency: Latency | None, origin: Origin | None, view: View, words: Words) -> Html:
    first = name == "first-token"
    why = words.absent_ttft if first else words.absent_tpot

    def of(mark: Mark) -> Spreads:
        return mark.first_token if first else mark.per_token

    def median(mark: Mark) -> float | None:
        spread = of(mark).get(origin) if origin else None
        return spread[0].value if spread else None

    def high(mark: Mark) -> float | None:
        spread = of(mark).get(origin) if origin else None
        return spread[1].value if spread else None

    return _panel(
        name,
        title,
        [
            ("second", words.median, quantile(latency.p50 if latency else None, why)),
            ("main", words.p95, quantile(latency.p95 if latency else None, why)),
        ],
        words.origins[origin] if origin else "",
        [Line(values_of(view, high), "main"), Line(values_of(view, median), "second")],
        words,
        lambda top: str(seconds(top)),
    )


def _tokens(view: View, words: Words) -> Html:
    def per_second(value: float | None) -> Html:
        return figure(None if value is None else Figure(rate(value), words.per_second), words.absent_tokens)

    return _panel(
        "tokens",
        words.tokens,
        [("main", words.output, per_second(view.output_rate)), ("second", words.input, per_second(view.input_rate))],
        "",
        [
            Line(values_of(view, lambda mark: mark.output_rate), "main"),
            Line(values_of(view, lambda mark: mark.input_rate), "second"),
        ],
        words,
        lambda top: f"{rate(top)}{words.per_second}",
    )


def _errors(view: View, words: Words) -> Html:
    counted = {outcome: amount for outcome, amount in view.outcomes.items() if outcome in ERRORS}
    left_out = {outcome: amount for outcome, amount in view.outcomes.items() if outcome not in ERRORS}
    note = fragment(
        element("span", words.errors_of, class_="meaning", title=words.errors_meaning),
        element("br"),
        fragment(words.last_quarter, _outcomes(counted, "warn", words)) if counted else words.no_failures,
        fragment(element("br"), words.left_out, _outcomes(left_out, None, words)) if left_out else None,
    )
    return _panel(
        "errors",
        words.errors,
        [("main", "", figure(None if view.error_share is None else share(view.error_share), words.absent_errors))],
        note if view.request_rate is not None and view.calls_counted else "",
        [Line(values_of(view, lambda mark: mark.error_share), "main")],
        words,
        lambda top: str(share(top)),
        floor=_LEAST_SHARE,
    )


def _outcomes(counts: Mapping[str, float], style: str | None, words: Words) -> Html:
    """How many calls ended how, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return fragment(
        [
            fragment(" ", element("span", words.outcome(outcome), " ", element("b", count(amount)), class_=style))
            for outcome, amount in ordered
        ]
    )


def _in_flight(view: View, words: Words) -> Html:
    def number(value: float | None) -> Html:
        return absent(words.absent_in_flight) if value is None else fragment(count(value))

    return _panel(
        "in-flight",
        words.in_flight,
        [("main", words.running, number(view.running)), ("second", words.waiting, number(view.waiting))],
        "",
        [
            Line(values_of(view, lambda mark: mark.running), "main"),
            Line(values_of(view, lambda mark: mark.waiting), "second"),
        ],
        words,
        count,
        floor=1.0,
    )


def _panel(
    name: str,
    title: str,
    figures: Sequence[tuple[str, str, Html]],
    note: Child,
    lines: Sequence[Line],
    words: Words,
    scale: Callable[[float], str],
    floor: float = 0.0,
) -> Html:
    """
    :param figures: the line a number belongs to, its name, the number
    :param floor: what the chart's upper edge stands for at least
    """
    numbers = [
        element("span", element("i", label, class_=style) if label else None, element("b", number))
        for style, label, number in figures
    ]
    steps = len(lines[0].values) - 1
    age = words.age(steps * STEP_SECONDS)
    highest = highest_of(lines)
    drawing, peak = None, ""
    if highest is not None:
        drawing = chart(
            lines, steps, max(highest, floor), words.chart.format(name=title, age=age, value=scale(highest))
        )
        peak = words.highest.format(value=scale(highest))
    return element(
        "article",
        element("h3", title),
        element("p", numbers, class_="figures"),
        element("p", note, class_="note") if note else None,
        element(
            "figure",
            drawing,
            element(
                "figcaption",
                element("span", words.ago.format(age=age)),
                element("span", peak),
                element("span", words.now),
            ),
        ),
        id=name,
    )
