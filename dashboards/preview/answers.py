"""A dashboard's queries as Grafana would send them, and what came back."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from dashboards.durations import duration
from dashboards.grafana.lint import panels

Rows = list[dict[str, Any]]
Ask = Callable[..., Rows]
"""("query", query, time) or ("query_range", query, start, end, step), as the API of Prometheus has it"""
_STEPS: Final = 300
_SCRAPES: Final = 4
_TOGETHER: Final = 600.0
"""seconds within which what happened is drawn as one"""
_VARIABLE: Final = re.compile(r"\$\{?([a-zA-Z_]\w*)(?::\w+)?\}?")


class Span(msgspec.Struct, frozen=True):
    """The time shown, in unix seconds, and how often series are scraped."""

    start: float
    end: float
    scrape: float

    @property
    def step(self) -> float:
        return max(self.scrape, (self.end - self.start) / _STEPS // self.scrape * self.scrape)

    @property
    def rate_interval(self) -> float:
        """As Grafana has it: four scrapes at least."""
        return max(_SCRAPES * self.scrape, self.step + self.scrape)


class Answer(msgspec.Struct, frozen=True):
    """Of one query of a panel; `is_range` where rows have values over time."""

    panel: int
    query: str
    sent: str
    is_range: bool
    rows: Rows


class Event(msgspec.Struct, frozen=True):
    """Times at which an annotation has something to say."""

    name: str
    color: str
    times: tuple[float, ...]


def answers(dashboard: dict[str, Any], span: Span, ask: Ask, chosen: Mapping[str, str]) -> list[Answer]:
    """
    Every query of every panel.

    :param chosen: values of variables; those that are not in it are All
    """
    made = []
    for panel in panels(dashboard):
        for target in panel["targets"]:
            sent = filled(target["expr"], span, chosen)
            is_range = bool(target["range"])
            made.append(Answer(panel["id"], target["expr"], sent, is_range, _asked(ask, sent, span, is_range)))
    return made


def events(dashboard: dict[str, Any], span: Span, ask: Ask, chosen: Mapping[str, str]) -> Iterator[Event]:
    for one in dashboard["annotations"]["list"]:
        if one["enable"]:
            rows = _asked(ask, filled(one["expr"], span, chosen), span, True)
            begins = sorted({begin for row in rows for begin in _begin(row["values"], span.step)})
            apart = [time for at, time in enumerate(begins) if at == 0 or time - begins[at - 1] > _TOGETHER]
            yield Event(one["name"], one["iconColor"], tuple(apart))


def _begin(values: list[list[Any]], step: float) -> tuple[float, ...]:
    """Where something begins; what goes on is one event."""
    times = [float(time) for time, _ in values]
    return tuple(time for at, time in enumerate(times) if at == 0 or time - times[at - 1] > 1.5 * step)


def filled(expr: str, span: Span, chosen: Mapping[str, str]) -> str:
    """
    >>> filled('rate(a{b=~"$b"}[$__rate_interval])', Span(0.0, 3600.0, 60.0), {})
    'rate(a{b=~".*"}[4m])'
    """
    own = {"__rate_interval": duration(span.rate_interval), "__range": duration(span.end - span.start)}
    return _VARIABLE.sub(lambda found: own.get(found[1]) or chosen.get(found[1], ".*"), expr)


def _asked(ask: Ask, expr: str, span: Span, is_range: bool) -> Rows:
    if is_range:
        return ask("query_range", query=expr, start=f"{span.start}", end=f"{span.end}", step=f"{span.step}")
    return ask("query", query=expr, time=f"{span.end}")
