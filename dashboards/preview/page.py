"""One dashboard as a page of HTML that needs nothing else."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from dashboards.preview import drawing
from dashboards.preview.answers import Answer, Event, Rows, Span
from dashboards.preview.drawing import Frame, Line
from dashboards.preview.units import readable

WIDTH: Final = 1400
_CELL: Final = 38
_GAP: Final = 8
_HEAD: Final = 92
_TITLE: Final = 30
_MOST_LINES: Final = 60
_STYLE: Final = """
body{margin:0;background:#111217;color:#ccccdc;font:13px Inter,"Helvetica Neue",Arial,"Noto Sans CJK SC",sans-serif}
h1{font-size:19px;font-weight:500;margin:14px 16px 2px}.about{color:#9fa3ad;margin:0 16px}
.vars{margin:8px 16px;font-size:12px}.vars b{background:#181b1f;border:1px solid #2c2f36;padding:2px 8px;
font-weight:400;margin-right:10px;border-radius:2px}.vars i{color:#6e9fff;font-style:normal}
.vars span{float:right;color:#9fa3ad}.vars em{font-style:normal;margin-left:12px}
.row{position:absolute;font-size:15px;font-weight:500;left:16px;line-height:30px}
.panel{position:absolute;background:#181b1f;border:1px solid #25272d;border-radius:2px;overflow:hidden}
.panel h2{font-size:13px;font-weight:500;margin:7px 10px;line-height:18px;white-space:nowrap}
svg{display:block}.legend{font-size:11px;margin:1px 10px;line-height:16px;color:#c0c2cb;overflow:hidden}
.legend span{white-space:nowrap;margin-right:12px}
.legend b{display:inline-block;width:13px;height:3px;margin:3px 5px 3px 0}
.big{position:absolute;left:0;right:0;top:30px;bottom:0;display:flex;justify-content:center;align-items:center;gap:14px;
font-size:34px;font-weight:500;z-index:1}.big small{font-size:14px;color:#ccccdc}
.spark{position:absolute;left:0;bottom:0}
table{border-collapse:collapse;width:100%;font-size:12.5px}th{text-align:left;color:#6e9fff;font-weight:500}
th,td{padding:4.5px 10px;border-bottom:1px solid #25272d;white-space:nowrap}td a{color:#6e9fff}
.bar{display:inline-block;width:70px;height:11px;background:#24272e;margin-right:8px;vertical-align:-1px}
.bar i{display:block;height:11px}.gauge{margin:1px 10px;font-size:11.5px;display:grid;gap:1px 8px;
grid-template-columns:minmax(60px,42%) 1fr 66px;align-content:center}.gauge div{white-space:nowrap;overflow:hidden;
text-overflow:ellipsis}.gauge .room{background:#22252b}.gauge .room i{display:block;height:100%}
.none{color:#9fa3ad;text-align:center;margin-top:30px}
"""


def page(
    dashboard: dict[str, Any], answers: Sequence[Answer], happened: Sequence[Event], span: Span,
    chosen: Mapping[str, str],
) -> str:  # fmt: skip
    """HTML of the whole dashboard, all rows open."""
    by_panel: dict[int, list[Answer]] = {}
    for answer in answers:
        by_panel.setdefault(answer.panel, []).append(answer)
    parts = []
    bottom = 0
    for panel in _opened(dashboard["panels"]):
        place = panel["gridPos"]
        bottom = max(bottom, place["y"] + place["h"])
        top = _HEAD + place["y"] * _CELL
        if panel["type"] == "row":
            parts.append(f'<div class="row" style="top:{top}px">{escape(panel["title"])}</div>')
            continue
        unit = (WIDTH - 16) / 24
        left, width = 8 + place["x"] * unit, place["w"] * unit - _GAP
        height = place["h"] * _CELL - _GAP
        inside = _panel(panel, by_panel.get(panel["id"], []), width, height - _TITLE - 4, span, happened)
        parts.append(
            f'<div class="panel" style="left:{left:.0f}px;top:{top}px;width:{width:.0f}px;height:{height}px">'
            f"<h2>{escape(panel['title'])}</h2>{inside}</div>"
        )
    variables = "".join(
        f"{escape(one['label'])} <b>{escape(chosen.get(one['name'], 'All'))}</b>"
        for one in dashboard["templating"]["list"]
        if one["type"] == "query"
    )
    marks = "".join(f'<em style="color:{drawing.color(one.color)}">┆ {escape(one.name)}</em>' for one in happened)
    when = " – ".join(datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M") for t in (span.start, span.end))
    return (
        f"<!doctype html><meta charset=utf-8><title>{escape(dashboard['title'])}</title><style>{_STYLE}</style>"
        f'<body style="width:{WIDTH}px;height:{_HEAD + bottom * _CELL + 8}px;position:relative">'
        f"<h1>{escape(dashboard['title'])}</h1><p class=about>{escape(dashboard['description'])}</p>"
        f"<div class=vars>{variables}<span>{when} UTC {marks}</span></div>{''.join(parts)}</body>"
    )


def _opened(panels: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for panel in panels for each in (panel, *(panel.get("panels") or ()))]


def _panel(
    panel: dict[str, Any], answers: Sequence[Answer], width: float, height: float, span: Span, marks: Sequence[Event]
) -> str:
    if not any(answer.rows for answer in answers):
        return '<p class="none">No data</p>'
    kind = panel["type"]
    if kind == "table":
        return _table(panel, answers, int((height - 26) / 26))
    if kind == "heatmap":
        return _heat(panel, answers[0], Frame(width, height, span))
    if kind == "bargauge":
        return _gauges(panel, answers, height)
    named = _named(panel, answers)
    if kind == "stat":
        return _stat(panel, named, width, height, span)
    if kind == "state-timeline":
        return _lanes(panel, named, Frame(width, height, span), marks)
    return _lines(panel, named, width, height, span, marks)


def _named(panel: dict[str, Any], answers: Sequence[Answer]) -> list[tuple[str, list[tuple[float, float]]]]:
    """Each series by the legend of its query."""
    made = []
    for answer, target in zip(answers, panel["targets"], strict=True):
        for row in answer.rows:
            points = row["values"] if answer.is_range else [row["value"]]
            name = _legend(target["legendFormat"], row["metric"])
            made.append((name, [(float(t), float(v)) for t, v in points if float(v) == float(v)]))
    return made


def _legend(form: str, labels: Mapping[str, str]) -> str:
    if form == "__auto":
        return ", ".join(labels.values())
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), form).strip()


def _lines(
    panel: dict[str, Any], named: Sequence[tuple[str, list[tuple[float, float]]]], width: float, height: float,
    span: Span, marks: Sequence[Event],
) -> str:  # fmt: skip
    fixed = {
        one["matcher"]["options"]: each["value"]["fixedColor"]
        for one in panel["fieldConfig"]["overrides"]
        for each in one["properties"]
        if each["id"] == "color"
    }
    defaults = panel["fieldConfig"]["defaults"]
    lines = [
        Line(name, drawing.color(fixed.get(name, drawing.PALETTE[index % len(drawing.PALETTE)])), tuple(points))
        for index, (name, points) in enumerate(named[:_MOST_LINES])
    ]
    limits = []
    if defaults["custom"]["thresholdsStyle"]["mode"] != "off":
        limits = [
            (step["value"], step["color"]) for step in defaults["thresholds"]["steps"] if step["value"] is not None
        ]
    legend = "".join(f'<span><b style="background:{line.color}"></b>{escape(line.name)}</span>' for line in lines)
    per_line = max(1, int(width / 130))
    rows = min(3, -(-len(lines) // per_line))
    drawn = drawing.plot(
        lines, Frame(width, height - rows * 16 - 2, span), defaults["unit"], limits, marks,
        stacked=defaults["custom"]["stacking"]["mode"] == "normal", fill=defaults["custom"]["fillOpacity"] / 100,
        fixed=(defaults.get("min"), defaults.get("max")),
    )  # fmt: skip
    return f'{drawn}<div class="legend" style="height:{rows * 16}px">{legend}</div>'


def _stat(
    panel: dict[str, Any], named: Sequence[tuple[str, list[tuple[float, float]]]], width: float, height: float,
    span: Span,
) -> str:  # fmt: skip
    defaults = panel["fieldConfig"]["defaults"]
    shown = []
    back = ""
    for name, points in named:
        if not points:
            continue
        value = points[-1][1]
        color, text = _read(value, defaults)
        title = f"<small>{escape(name)}</small>" if panel["options"]["textMode"] == "value_and_name" else ""
        shown.append(f'<span style="color:{color}">{title} {escape(text)}</span>')
        if panel["options"]["graphMode"] == "area":
            back = drawing.spark(Line(name, color, tuple(points)), width, height * 0.55, span)
    return f'{back}<div class="big">{"".join(shown)}</div>'


def _read(value: float, defaults: dict[str, Any]) -> tuple[str, str]:
    """Colour and text of a value: by mapping, else by threshold and unit."""
    for mapping in defaults.get("mappings", ()):
        if found := mapping["options"].get(f"{value:g}"):
            return drawing.color(found["color"]), found["text"]
    return _step(value, defaults), readable(value, defaults["unit"], defaults.get("decimals"))


def _step(value: float, settings: dict[str, Any]) -> str:
    name = "#ccccdc"
    for step in settings["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            name = step["color"]
    return drawing.color(name)


def _lanes(
    panel: dict[str, Any], named: Sequence[tuple[str, list[tuple[float, float]]]], frame: Frame,
    marks: Sequence[Event],
) -> str:  # fmt: skip
    defaults = panel["fieldConfig"]["defaults"]
    legend = "".join(
        f'<span><b style="background:{drawing.color(found["color"])};height:9px"></b>{escape(found["text"])}</span>'
        for mapping in defaults["mappings"]
        for found in mapping["options"].values()
    )
    most = max(1, int((frame.height - 36) / 13))
    rows = [(name, [(t, _read(v, defaults)[0]) for t, v in points]) for name, points in sorted(named) if points]
    drawn = drawing.lanes(rows[:most], Frame(frame.width, frame.height - 18, frame.span), marks)
    return f'{drawn}<div class="legend">{legend}</div>'


def _heat(panel: dict[str, Any], answer: Answer, frame: Frame) -> str:
    """Buckets that add up, taken apart as Grafana does."""
    unit = panel["options"]["yAxis"]["unit"]
    rows = sorted(answer.rows, key=lambda row: float(row["metric"]["le"]))
    values = [{float(t): float(v) for t, v in row["values"]} for row in rows]
    times = sorted({time for each in values for time in each})
    counts = [
        [
            max(0.0, each.get(time, 0.0) - (values[at - 1].get(time, 0.0) if at else 0.0))
            for at, each in enumerate(values)
        ]
        for time in times
    ]
    used = [at for at in range(len(rows)) if any(column[at] > 0.004 * sum(column) for column in counts)]
    kept = range(min(used, default=0), max(used, default=0) + 1)
    bounds = [_bound(rows[at]["metric"]["le"], unit) for at in kept]
    columns = [(time, [column[at] for at in kept]) for time, column in zip(times, counts, strict=True)]
    return drawing.cells(columns, bounds, frame, frame.span.step)


def _bound(text: str, unit: str) -> str:
    return "∞" if text == "+Inf" else readable(float(text), unit)


def _gauges(panel: dict[str, Any], answers: Sequence[Answer], height: float) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    named = [(name, points[-1][1]) for name, points in _named(panel, answers) if points]
    most = defaults.get("max") or max((value for _, value in named), default=1.0) or 1.0
    rows = named[: max(1, int((height - 6) / 17))]
    size = min(28.0, (height - 8) / max(len(rows), 1) - 1)
    parts = []
    for name, value in rows:
        color, text = _read(value, defaults)
        share = max(0.0, min(100.0, value / most * 100))
        parts.append(
            f'<div style="line-height:{size:.0f}px">{escape(name)}</div><div class="room" style="height:{size:.0f}px">'
            f'<i style="width:{share:.1f}%;background:{color}"></i></div>'
            f'<div style="line-height:{size:.0f}px;color:{color}">{escape(text)}</div>'
        )
    return f'<div class="gauge">{"".join(parts)}</div>'


def _table(panel: dict[str, Any], answers: Sequence[Answer], most: int) -> str:
    options = panel["transformations"][-1]["options"]
    settings = {one["matcher"]["options"]: {p["id"]: p["value"] for p in one["properties"]}
                for one in panel["fieldConfig"]["overrides"]}  # fmt: skip
    rows = _merged(answers)
    order: dict[str, int] = options["indexByName"]
    hidden = {name for name, is_hidden in options["excludeByName"].items() if is_hidden}
    present = {name for row in rows for name in row}
    names = sorted(present - hidden, key=lambda name: (order.get(name, 99), name))
    titles = [options["renameByName"].get(name, name) for name in names]
    if sort := panel["options"]["sortBy"]:
        by = names[titles.index(sort[0]["displayName"])]
        rows.sort(key=lambda row: -_number(row.get(by)))
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    most_of = {
        name: max((row[name] for row in rows if isinstance(row.get(name), float)), default=1.0) for name in names
    }
    shown = list(zip(names, titles, strict=True))
    body = "".join(
        f"<tr>{''.join(_cell(row.get(n), settings.get(t, {}), most_of[n]) for n, t in shown)}</tr>"
        for row in rows[:most]
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _number(value: Any) -> float:
    return value if isinstance(value, float) and value == value else float("-inf")


def _merged(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Rows of all queries by their labels."""
    many = len(answers) > 1
    made: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for index, answer in enumerate(answers):
        name = f"Value #{chr(ord('A') + index)}" if many else "Value"
        rows: Rows = answer.rows
        for row in rows:
            labels = tuple(sorted((key, value) for key, value in row["metric"].items() if key != "__name__"))
            made.setdefault(labels, dict(labels))[name] = float(row["value"][1])
    return list(made.values())


def _cell(value: Any, settings: dict[str, Any], largest: float) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, str):
        return f"<td>{'<a>' if 'links' in settings else ''}{escape(value)}</td>"
    color = _step(value, settings) if "thresholds" in settings else "#ccccdc"
    text = escape(readable(value, settings.get("unit", "short")))
    if settings.get("custom.cellOptions", {}).get("type") == "gauge":
        most = settings.get("max", largest) or 1
        share, green = min(100.0, value / most * 100), drawing.NAMED["green"]
        bar = f'<span class="bar"><i style="width:{share:.0f}%;background:{green}">'
        text = f"{bar}</i></span>{text}"
    return f'<td style="color:{color}">{text}</td>'
