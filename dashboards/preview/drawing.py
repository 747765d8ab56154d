"""Plots as SVG: lines, areas, lanes of states, cells of a histogram."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

import msgspec

from dashboards.preview.answers import Event, Span
from dashboards.preview.units import readable

PALETTE: Final = (
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#a352cc", "#37872d", "#fade2a",
    "#447ebc", "#c15c17", "#96d98d", "#ffee52", "#c0d8ff", "#ffb357",
)  # fmt: skip
NAMED: Final = {"green": "#73bf69", "yellow": "#f2cc0c", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2",
                "purple": "#b877d9", "transparent": "none"}  # fmt: skip
_TEXT: Final = 'fill="#9fa3ad" font-size="10.5"'
_GRID: Final = 'stroke="#2c2f36" stroke-width="1"'
_LEFT: Final = 58.0
_BOTTOM: Final = 18.0
_TICKS: Final = 4


class Line(msgspec.Struct, frozen=True):
    """One series: its name, colour and values over time; None is a hole."""

    name: str
    color: str
    points: tuple[tuple[float, float], ...]


class Frame(msgspec.Struct, frozen=True):
    """The inside of a plot, in pixels, and what it stands for."""

    width: float
    height: float
    span: Span
    low: float = 0.0
    high: float = 1.0

    def x(self, time: float) -> float:
        share = (time - self.span.start) / max(self.span.end - self.span.start, 1)
        return _LEFT + share * (self.width - _LEFT - 8)

    def y(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1)
        return (self.height - _BOTTOM) - share * (self.height - _BOTTOM - 8)


def color(name: str) -> str:
    return NAMED.get(name, name)


def plot(
    lines: Sequence[Line], frame: Frame, unit: str, limits: Sequence[tuple[float, str]], marks: Sequence[Event],
    *, stacked: bool, fill: float, fixed: tuple[float | None, float | None],
) -> str:  # fmt: skip
    """Lines over time, or areas one on another; `limits` are dashed."""
    shown = _stacked(lines) if stacked else [(line, tuple((t, 0.0, v) for t, v in line.points)) for line in lines]
    frame = _scaled(frame, [top for _, points in shown for _, _, top in points], [at for at, _ in limits], fixed)
    parts = [*_axes(frame, unit)]
    for line, points in shown:
        for run in _runs(points, frame.span.step):
            parts.append(_area(run, line.color, frame, fill, 0.0 if stacked else 1.3))
    for at, name in limits:
        if frame.low <= at <= frame.high:
            y = frame.y(at)
            parts.append(
                f'<path d="M{_LEFT} {y:.1f}H{frame.width - 8}" stroke="{color(name)}" stroke-dasharray="6 4"/>'
            )
    return _svg(frame, [*parts, *_events(frame, marks)])


def lanes(rows: Sequence[tuple[str, Sequence[tuple[float, str]]]], frame: Frame, marks: Sequence[Event]) -> str:
    """States over time: a name and (time, colour) for each lane."""
    left = min(frame.width * 0.45, 20 + 6.1 * max((len(name) for name, _ in rows), default=0))
    height = min(26.0, (frame.height - _BOTTOM) / max(len(rows), 1))
    parts = []
    inner = frame.width - left - 8

    def x(time: float) -> float:
        return left + (time - frame.span.start) / max(frame.span.end - frame.span.start, 1) * inner

    for index, (name, states) in enumerate(rows):
        top = index * height
        parts.append(f'<text x="{left - 8}" y="{top + height / 2 + 4:.1f}" text-anchor="end" {_TEXT}>'
                     f"{escape(_short(name, int((left - 12) / 5.6)))}</text>")  # fmt: skip
        for begin, end, fill in _merged(states, frame.span.step):
            parts.append(f'<rect x="{x(begin):.1f}" y="{top + 2:.1f}" width="{max(x(end) - x(begin), 1):.1f}" '
                         f'height="{height - 4:.1f}" fill="{fill}" fill-opacity="0.8"/>')  # fmt: skip
    for time, text in _hours(frame.span, 4):
        parts.append(f'<text x="{x(time):.1f}" y="{frame.height - 4}" text-anchor="middle" {_TEXT}>{text}</text>')
    return _svg(frame, parts)


def cells(columns: Sequence[tuple[float, Sequence[float]]], bounds: Sequence[str], frame: Frame, step: float) -> str:
    """A histogram over time: for each time how many fell between two bounds."""
    most = max((count for _, counts in columns for count in counts), default=0.0) or 1.0
    height = (frame.height - _BOTTOM - 8) / max(len(bounds), 1)
    width = max(1.0, frame.x(frame.span.start + step) - frame.x(frame.span.start))
    parts = []
    for index, bound in enumerate(bounds):
        y = frame.height - _BOTTOM - (index + 1) * height
        if index % max(1, math.ceil(len(bounds) / 7)) == 0:
            parts.append(f'<text x="{_LEFT - 6}" y="{y + height / 2 + 4:.1f}" text-anchor="end" {_TEXT}>{bound}</text>')
        for time, counts in columns:
            share = (counts[index] / most) ** 0.5
            if share > 0.03:
                tall = max(height - 1, 1)
                parts.append(f'<rect x="{frame.x(time) - width:.1f}" y="{y:.1f}" width="{width:.1f}" '
                             f'height="{tall:.1f}" fill="#ff9830" fill-opacity="{share:.2f}"/>')  # fmt: skip
    for time, text in _hours(frame.span, 3):
        parts.append(f'<text x="{frame.x(time):.1f}" y="{frame.height - 4}" text-anchor="middle" {_TEXT}>{text}</text>')
    return _svg(frame, parts)


def spark(line: Line, width: float, height: float, span: Span) -> str:
    """The course of one number behind it."""
    values = [value for _, value in line.points]
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    room = (high - low) or 1.0
    points = [
        (index / (len(values) - 1) * width, height - 3 - (value - low) / room * (height - 8))
        for index, value in enumerate(values)
    ]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return (
        f'<svg class="spark" width="{width:.0f}" height="{height:.0f}"><path d="M{path}" fill="none" '
        f'stroke="{line.color}"/><path d="M0 {height}L{path}L{width} {height}Z" fill="{line.color}" '
        f'fill-opacity="0.12"/></svg>'
    )


def _stacked(lines: Sequence[Line]) -> list[tuple[Line, tuple[tuple[float, float, float], ...]]]:
    below: dict[float, float] = {}
    made = []
    for line in lines:
        points = []
        for time, value in line.points:
            bottom = below.get(time, 0.0)
            below[time] = bottom + value
            points.append((time, bottom, bottom + value))
        made.append((line, tuple(points)))
    return made


def _scaled(
    frame: Frame, values: Sequence[float], limits: Sequence[float], fixed: tuple[float | None, float | None]
) -> Frame:
    low, high = fixed
    top = max(values, default=1.0) if high is None else high
    bottom = min(values, default=0.0) if low is None else low
    near = [limit for limit in limits if limit <= 3 * top]
    if high is None:
        top = max([top, *near])
        top += (top - bottom) * 0.06
    if low is None:
        bottom -= (top - bottom) * 0.06
    top = bottom + 1 if top <= bottom else top
    return msgspec.structs.replace(frame, low=bottom, high=top)


def _axes(frame: Frame, unit: str) -> list[str]:
    parts = []
    step = _nice((frame.high - frame.low) / _TICKS, unit)
    at = math.ceil(frame.low / step) * step
    while at <= frame.high + step * 1e-6:
        y = frame.y(at)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{frame.width - 8}" {_GRID}/>')
        near = 0.0 if abs(at) < step * 1e-6 else round(at, 10)
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" {_TEXT}>{readable(near, unit)}</text>')
        at += step
    for time, text in _hours(frame.span, max(2, int(frame.width / 110))):
        parts.append(f'<text x="{frame.x(time):.1f}" y="{frame.height - 4}" text-anchor="middle" {_TEXT}>{text}</text>')
    return parts


def _nice(rough: float, unit: str) -> float:
    """A step between lines that people can add up."""
    base, factors = (2.0, (1.0, 2.0)) if unit == "bytes" else (10.0, (1.0, 2.0, 2.5, 5.0, 10.0))
    size = base ** math.floor(math.log(rough, base))
    return next(size * factor for factor in factors if size * factor >= rough * 0.99)


def _hours(span: Span, most: int) -> list[tuple[float, str]]:
    sizes = (300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800)
    size = next((one for one in sizes if (span.end - span.start) / one <= most), sizes[-1])
    first = math.ceil(span.start / size) * size
    form = "%m-%d" if size >= 86_400 else "%H:%M"
    return [
        (time, datetime.fromtimestamp(time, UTC).strftime(form))
        for time in range(int(first), int(span.end) + 1, size)
        if time - span.start > size * 0.15 and span.end - time > (span.end - span.start) * 0.02
    ]


def _runs(points: Sequence[tuple[float, float, float]], step: float) -> list[list[tuple[float, float, float]]]:
    runs: list[list[tuple[float, float, float]]] = []
    for point in points:
        if not runs or point[0] - runs[-1][-1][0] > 1.5 * step:
            runs.append([])
        runs[-1].append(point)
    return runs


def _area(run: Sequence[tuple[float, float, float]], name: str, frame: Frame, opacity: float, width: float) -> str:
    top = "L".join(f"{frame.x(time):.1f} {frame.y(value):.1f}" for time, _, value in run)
    floor = [(time, max(bottom, frame.low)) for time, bottom, _ in run]
    bottom = "L".join(f"{frame.x(time):.1f} {frame.y(value):.1f}" for time, value in reversed(floor))
    return (
        f'<path d="M{top}L{bottom}Z" fill="{name}" fill-opacity="{opacity}"/>'
        f'<path d="M{top}" fill="none" stroke="{name}" stroke-width="{width}"/>'
    )


def _events(frame: Frame, marks: Sequence[Event]) -> list[str]:
    return [
        f'<path d="M{frame.x(time):.1f} 4V{frame.height - _BOTTOM}" stroke="{color(mark.color)}" '
        f'stroke-dasharray="3 3" stroke-opacity="0.9"/>'
        for mark in marks
        for time in mark.times
        if time > frame.span.start + frame.span.step
    ]


def _merged(states: Sequence[tuple[float, str]], step: float) -> list[tuple[float, float, str]]:
    made: list[tuple[float, float, str]] = []
    for time, fill in states:
        if made and made[-1][2] == fill and time - made[-1][1] <= 1.5 * step:
            made[-1] = (made[-1][0], time, fill)
        else:
            made.append((time, time, fill))
    return [(begin, min(end + step, states[-1][0]) if end < states[-1][0] else end, fill) for begin, end, fill in made]


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _svg(frame: Frame, parts: Sequence[str]) -> str:
    return f'<svg width="{frame.width:.0f}" height="{frame.height:.0f}">{"".join(parts)}</svg>'
