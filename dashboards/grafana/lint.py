"""
What a dashboard of ours may not be, read from its JSON: Grafana's own linter's rules, and some of ours.

Left out of Grafana's: template-job, template-instance, target-job, target-instance (our series are chosen by
namespace, service, model, node), target-logql (no logs here), and fixed windows in `increase` (totals of a day).
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any, Final

from dashboards.promql import check

Names = Mapping[str, frozenset[str] | None]
MOST_OPEN_PANELS: Final = 25
MOST_BYTES: Final = 1_000_000
"""a ConfigMap holds 1 MiB"""
SMALLEST_WINDOW: Final = re.compile(r"\[(?:\$__rate_interval|\$__range|15m|[0-9]+[hdw])(?::[0-9]+m)?\]")
UNITS: Final = frozenset((
    "none", "short", "percentunit", "reqps", "cps", "s", "celsius", "watt", "joule", "bytes", "hertz", "dtdurations",
    "kwatth",
))  # fmt: skip
PER_REQUEST: Final = frozenset(("trace_id", "span_id", "request_id", "user", "session"))
BUILT_IN: Final = ("datasource", "__rate_interval", "__range", "__url_time_range", "__field", "__data")
_VARIABLE: Final = re.compile(r"\$\{?([a-zA-Z_]\w*)")
_LABEL_VALUES: Final = re.compile(r"label_values\((.+), (\w+)\)")


def problems(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> list[str]:
    """
    What breaks a rule: `rule: panel: what`. Empty for a good one.

    :param names: every series that there is, with its labels
    :param uids: every dashboard that there is
    """
    return [
        f"{name}: {line}"
        for name, rule in (*_RULES.items(),)
        for line in rule(dashboard, names, uids)
    ]  # fmt: skip


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All but rows, those inside of collapsed rows too."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels") or []
        else:
            yield panel


def _queries(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def _variables(dashboard: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in dashboard["templating"]["list"]}


def _datasource(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> Iterator[str]:
    one = _variables(dashboard).get("datasource")
    if one is None or one["type"] != "datasource" or one["label"] != "Data Source" or one["query"] != "prometheus":
        yield "no variable `datasource` of type datasource with the label Data Source"


def _reload(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> Iterator[str]:
    for name, one in _variables(dashboard).items():
        if one["type"] == "query" and one["refresh"] != 2:
            yield f"{name} does not follow the time shown"


def _labels(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> Iterator[str]:
    before: set[str] = set()
    for name, one in _variables(dashboard).items():
        if one["type"] == "query":
            yield from (f"{name}: {line}" for line in _looked_up(one["query"]["query"], names, before))
            if one["allValue"] != ".*" or not one["includeAll"]:
                yield f"{name}: All must be .*, or what lacks the label is hidden"
        before.add(name)


def _looked_up(query: str, names: Names, before: set[str]) -> Iterator[str]:
    found = _LABEL_VALUES.fullmatch(query)
    if found is None:
        yield f"{query} is no label_values(...)"
        return
    selector, label = found.groups()
    several = re.match(r'\{__name__=~"([^"]+)"', selector)
    own = several[1].split("|") if several else [selector.partition("{")[0]]
    for series in own:
        if series not in names:
            yield f"{series} is no series that is emitted or recorded"
        elif label not in (labels := names[series] or frozenset((label,))):
            yield f"{series} has no label {label}; it has {', '.join(sorted(labels))}"
    for used in _VARIABLE.findall(selector):
        if used not in before:
            yield f"${used} comes later, or never"


def _panel_source(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> Iterator[str]:
    for panel in panels(dashboard):
        for part in (panel, *panel["targets"]):
            if part["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
                yield f"{panel['title']}: not the variable's data source"


def _words(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> Iterator[str]:
    for panel in panels(dashboard):
        if not panel["title"]:
            yield "a panel without a title"
        if not re.search(r"Good|正常|供对照|like\.", panel["description"]):
            yield f"{panel['title']}: the description does not say what good looks like"


def _units(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> Iterator[str]:
    for panel in panels(dashboard):
        if panel["type"] == "table":
            columns = {one["matcher"]["options"]: one["properties"] for one in panel["fieldConfig"]["overrides"]}
            renamed = panel["transformations"][-1]["options"]["renameByName"]
            for column in (title for name, title in renamed.items() if name.startswith("Value")):
                unit = [each["value"] for each in columns.get(column, ()) if each["id"] == "unit"]
                if not set(unit) & UNITS:
                    yield f"{panel['title']}: column {column} has no unit"
            continue
        unit = panel["options"]["yAxis"] if panel["type"] == "heatmap" else panel["fieldConfig"]["defaults"]
        if unit.get("unit") not in UNITS:
            yield f"{panel['title']}: no unit, or none that is known: {unit.get('unit')}"


def _targets(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> Iterator[str]:
    for panel in panels(dashboard):
        if not panel["targets"]:
            yield f"{panel['title']}: asks nothing"


def _promql(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> Iterator[str]:
    events = ((one["name"], one["expr"]) for one in dashboard["annotations"]["list"])
    for title, expr in (*_queries(dashboard), *events):
        yield from (f"{title}: {line}" for line in check(expr, names))


def _windows(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> Iterator[str]:
    for title, expr in _queries(dashboard):
        for window in re.findall(r"\[[^\]]*\]", expr):
            if not SMALLEST_WINDOW.fullmatch(window):
                yield f"{title}: {window} is none of $__rate_interval, $__range, 15m and more"


def _counters(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> Iterator[str]:
    """What only rises is shown as a rate, but for the number of device faults by code, which is the point there."""
    for title, expr in _queries(dashboard):
        for name in re.findall(r"\b(\w+_(?:total|bucket|count|sum))\b(?:\{[^}]*\})?(?!\[|\{|\w)", expr):
            begin = rf"(?:group by \([^)]*\)|last_over_time) ?\({name}"
            if name in names and name != "watchkeeper_device_fault_codes_total" and not re.search(begin, expr):
                yield f"{title}: {name} without rate or increase"


def _fixed(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> Iterator[str]:
    if dashboard["editable"]:
        yield "can be edited in the browser, and lost"
    if dashboard["id"] is not None or not re.fullmatch(r"wk-[a-z-]{1,37}", dashboard["uid"]):
        yield f"id {dashboard['id']}, uid {dashboard['uid']}: no id, and a uid chosen once"
    if not isinstance(dashboard["schemaVersion"], int) or dashboard["schemaVersion"] < 36:
        yield f"schemaVersion {dashboard['schemaVersion']} is older than any Grafana that is supported"


def _size(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> Iterator[str]:
    count = sum(panel["type"] != "row" for panel in dashboard["panels"])
    if count > MOST_OPEN_PANELS:
        yield f"{count} panels are open; {MOST_OPEN_PANELS} are as many as anybody reads"
    length = len(json.dumps(dashboard, ensure_ascii=False).encode())
    if length > MOST_BYTES:
        yield f"{length} bytes do not go into a ConfigMap"
    for panel in panels(dashboard):
        if "maxDataPoints" in panel and panel["maxDataPoints"] is not None:
            yield f"{panel['title']}: coarse lines (maxDataPoints)"


def _links(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> Iterator[str]:
    for url in re.findall(r'"url": "(/d/[^"]+)"', json.dumps(dashboard, ensure_ascii=False).replace('\\"', "'")):
        uid = url.removeprefix("/d/").partition("?")[0]
        if uid not in uids:
            yield f"{url}: there is no dashboard {uid}"
        if "${__url_time_range}" not in url:
            yield f"{url}: the time shown is not carried along"
    ways = [one for one in dashboard["links"] if one["type"] == "dashboards" and one["includeVars"] and one["keepTime"]]
    if not ways:
        yield "no way to the other dashboards with time and variables"


def _used(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> Iterator[str]:
    known = {*_variables(dashboard), *BUILT_IN}
    everything = [expr for _, expr in _queries(dashboard)] + [one["expr"] for one in dashboard["annotations"]["list"]]
    asked = {name for expr in everything for name in _VARIABLE.findall(expr)}
    for name in sorted(asked - known):
        yield f"${name} is no variable here"
    for name, one in _variables(dashboard).items():
        if one["type"] == "query" and name not in asked:
            yield f"{name} narrows nothing"


def _bounded(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> Iterator[str]:
    for panel in panels(dashboard):
        for target in panel["targets"]:
            if wrong := PER_REQUEST & set(re.findall(r"\w+", target["legendFormat"])):
                yield f"{panel['title']}: a line for each {', '.join(wrong)}"


def _overlap(dashboard: dict[str, Any], names: Names, uids: Set[str]) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])):  # fmt: skip
            if cell in taken or cell[0] >= 24:
                yield f"{panel['title']} lies over {taken.get(cell, 'the edge')}"
                return
            taken[cell] = panel["title"]


_RULES: Final[dict[str, Callable[[dict[str, Any], Names, Set[str]], Iterator[str]]]] = {
    "template-datasource": _datasource, "template-on-time-change-reload": _reload, "template-label-promql": _labels,
    "panel-datasource": _panel_source, "panel-title-description": _words, "panel-units": _units,
    "panel-no-targets": _targets, "target-promql": _promql, "target-rate-interval": _windows,
    "target-counter-agg": _counters, "uneditable-dashboard": _fixed, "size": _size, "links": _links,
    "variables": _used, "bounded-legends": _bounded, "layout": _overlap,
}  # fmt: skip
RULES: Final = tuple(_RULES)
