"""A dashboard as plain records: what is asked, how it is shown, what good looks like. No Grafana in here."""

from typing import Final, Literal

import msgspec

from dashboards.alert import Text

Kind = Literal["timeseries", "stat", "table", "heatmap", "state-timeline", "bargauge"]
Steps = tuple[tuple[float | None, str], ...]
"""colours from a value on, ascending, the first from None"""

GREEN: Final = "green"
YELLOW: Final = "yellow"
ORANGE: Final = "orange"
RED: Final = "red"
BLUE: Final = "blue"
GREY: Final = "#8e8e8e"
CALM: Final[Steps] = ((None, BLUE),)
"""a number that is neither good nor bad"""


def rising(warn: float, bad: float | None = None) -> Steps:
    """Green below, yellow from `warn` on, red from `bad` on."""
    return ((None, GREEN), (warn, YELLOW), (bad, RED)) if bad is not None else ((None, GREEN), (warn, RED))


def falling(good: float, fair: float | None = None) -> Steps:
    """Green from `good` on, yellow from `fair` on, red below."""
    return ((None, RED), (fair, YELLOW), (good, GREEN)) if fair is not None else ((None, RED), (good, GREEN))


class Query(msgspec.Struct, frozen=True):
    """
    `legend` may have labels in double braces. In a table each query is a column named by it, with its own `unit`,
    `steps` and, for shares, a bar.
    """

    expr: str
    legend: str | Text = ""
    exemplar: bool = False
    unit: str = ""
    steps: Steps = ()
    bar: bool = False


class Shown(msgspec.Struct, frozen=True):
    """How a value reads."""

    value: float
    text: Text
    color: str


class Jump(msgspec.Struct, frozen=True):
    """From a line or a row to another dashboard, with variables filled from its labels."""

    uid: str
    title: Text
    variables: tuple[tuple[str, str], ...]
    """variable and label"""


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    kind: Kind
    title: Text
    about: Text
    """what it is, and what good looks like"""
    queries: tuple[Query, ...]
    unit: str
    width: int
    height: int
    steps: Steps = ()
    dashed: bool = False
    """steps are lines in the plot"""
    stacked: bool = False
    low: float | None = None
    high: float | None = None
    decimals: int | None = None
    shown: tuple[Shown, ...] = ()
    colors: tuple[tuple[str, str], ...] = ()
    """fixed colours by name of a series"""
    columns: tuple[tuple[str, Text], ...] = ()
    """of a table: labels that are shown, in order, with their titles"""
    hidden: tuple[str, ...] = ()
    """of a table: labels that are not shown"""
    sort: str | Text = ""
    """of a table: legend of the column by which it is sorted, falling"""
    jump: Jump | None = None


class Row(msgspec.Struct, frozen=True):
    title: Text
    panels: tuple[Panel, ...]
    collapsed: bool = False


class Variable(msgspec.Struct, frozen=True):
    """`query` is label_values(...) over what the variables before it leave."""

    name: str
    title: Text
    query: str


class Event(msgspec.Struct, frozen=True):
    """Something that happened, drawn across all panels: times at which `expr` has rows."""

    name: Text
    expr: str
    title: str
    color: str
    on: bool = True


class Board(msgspec.Struct, frozen=True, kw_only=True):
    uid: str
    title: Text
    about: Text
    variables: tuple[Variable, ...]
    events: tuple[Event, ...]
    rows: tuple[Row, ...]
    since: str
    refresh: str

    @property
    def panels(self) -> tuple[Panel, ...]:
        return tuple(panel for row in self.rows for panel in row.panels)


def stat(
    title: Text, about: Text, expr: str, unit: str, steps: Steps = CALM, *, width: int = 4, legend: str | Text = "",
    decimals: int | None = None, shown: tuple[Shown, ...] = (), jump: Jump | None = None, height: int = 4,
) -> Panel:  # fmt: skip
    """One number."""
    return Panel(kind="stat", title=title, about=about, queries=(Query(expr, legend),), unit=unit, steps=steps,
                 width=width, height=height, decimals=decimals, shown=shown, jump=jump)  # fmt: skip


def lines(
    title: Text, about: Text, unit: str, *queries: Query, width: int = 8, height: int = 8, steps: Steps = (),
    stacked: bool = False, low: float | None = 0, high: float | None = None, jump: Jump | None = None,
    colors: tuple[tuple[str, str], ...] = (),
) -> Panel:  # fmt: skip
    """Values over time; `steps` are drawn as lines."""
    return Panel(kind="timeseries", title=title, about=about, queries=queries, unit=unit, width=width, height=height,
                 steps=steps, dashed=bool(steps), stacked=stacked, low=low, high=high, jump=jump, colors=colors)  # fmt: skip


def table(
    title: Text, about: Text, columns: tuple[tuple[str, Text], ...], *queries: Query, width: int = 24, height: int = 8,
    sort: str | Text = "", jump: Jump | None = None, hidden: tuple[str, ...] = (),
) -> Panel:  # fmt: skip
    """Rows by label."""
    return Panel(kind="table", title=title, about=about, queries=queries, unit="", width=width, height=height,
                 columns=columns, sort=sort, jump=jump, hidden=hidden)  # fmt: skip


def heat(title: Text, about: Text, expr: str, unit: str, *, width: int = 8) -> Panel:
    """A histogram over time; `expr` keeps `le`."""
    return Panel(kind="heatmap", title=title, about=about, queries=(Query(expr, "{{le}}"),), unit=unit, width=width,
                 height=8)  # fmt: skip


def timeline(
    title: Text, about: Text, expr: str, legend: str, shown: tuple[Shown, ...], *, width: int = 24, height: int = 8,
    jump: Jump | None = None,
) -> Panel:  # fmt: skip
    """States over time, a lane for each series."""
    return Panel(kind="state-timeline", title=title, about=about, queries=(Query(expr, legend),), unit="none",
                 width=width, height=height, shown=shown, jump=jump)  # fmt: skip


def bars(
    title: Text, about: Text, unit: str, expr: str, legend: str, *, width: int = 8, height: int = 8,
    steps: Steps = CALM, high: float | None = None,
) -> Panel:  # fmt: skip
    """Values now, side by side."""
    return Panel(kind="bargauge", title=title, about=about, queries=(Query(expr, legend),), unit=unit, width=width,
                 height=height, steps=steps, low=0, high=high)  # fmt: skip
