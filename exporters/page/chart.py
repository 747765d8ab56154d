"""A small chart as SVG, drawn here: no script, no library. Pure."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec

from exporters.page.markup import Html, element

HEIGHT: Final = 100

Values = Sequence[float | None]
"""one per step, oldest first; None where nothing is known, which leaves a gap"""


class Line(msgspec.Struct, frozen=True):
    values: Values
    style: str
    """`main` is drawn strong with an area below, `second` thin"""


def chart(lines: Sequence[Line], steps: int, top: float, label: str) -> Html:
    """
    `steps` steps wide, so that `steps + 1` values fill it; the newest stands on the right edge.

    :param top: the value at the upper edge
    """
    shapes = []
    for line in lines:
        for start, run in _runs(line.values):
            x = steps + 1 - len(line.values) + start
            heights = [round(HEIGHT * (1 - min(value / top, 1.0))) if top > 0 else HEIGHT for value in run]
            if len(heights) == 1:  # a lone value is a dash that ends with its step
                x, heights = max(x - 1, 0), heights * 2
            path = _path(x, heights)
            if line.style == "main":
                shapes.append(element("path", class_="area", d=f"{path}V{HEIGHT}H{x}z"))
            shapes.append(element("path", class_=line.style, d=path))
    return element(
        "svg",
        shapes,
        viewBox=f"0 0 {steps} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )


def highest_of(lines: Sequence[Line]) -> float | None:
    """The highest value drawn; None when there is none."""
    return max((value for line in lines for value in line.values if value is not None), default=None)


def _runs(values: Values) -> list[tuple[int, list[float]]]:
    """Stretches without a gap, with where they begin."""
    runs: list[tuple[int, list[float]]] = []
    open_run: list[float] | None = None
    for index, value in enumerate(values):
        if value is None:
            open_run = None
        elif open_run is None:
            open_run = [value]
            runs.append((index, open_run))
        else:
            open_run.append(value)
    return runs


def _path(x: int, heights: Sequence[int]) -> str:
    """Two heights or more, one per step. Level stretches cost one command, so that a quiet chart is a few bytes."""
    parts = [f"M{x} {heights[0]}"]
    level = 1
    for before, now in pairwise(heights):
        if now == before:
            level += 1
            continue
        if level > 1:
            parts.append(f"h{level - 1}")
        parts.append(f"l1 {now - before}" if now > before else f"l1{now - before}")
        level = 1
    if level > 1:
        parts.append(f"h{level - 1}")
    return "".join(parts)
