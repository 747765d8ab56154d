"""
Boards as JSON of Grafana 11 to 13, by grafanalib 0.7.1: all that is known here of either, and the one import of it.

grafanalib is of 2024 and writes schema 12. What it lacks is added here: the newer schema, exemplars, heat maps, bar
gauges, states, links of data, transformations and hidden columns.
"""

import json
import re
from typing import Any, Final

import attrs
from grafanalib import core as lib
from grafanalib._gen import DashboardEncoder

from dashboards.alert import Text
from dashboards.grafana.board import Board, Event, Jump, Panel, Query, Row, Shown, Steps, Variable

SCHEMA: Final = 39
"""of Grafana 11.0, the oldest that is supported; newer ones migrate it when they load it"""
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
TAG: Final = "watchkeeper"
_OBSOLETE: Final = ("__inputs", "rows", "style", "hideControls", "sharedCrosshair", "gnetId")
_OBSOLETE_OF_TARGET: Final = ("step", "intervalFactor", "metric", "target", "query")
_OBSOLETE_OF_PANEL: Final = ("editable", "error")
_OF_ROW: Final = ("id", "type", "title", "gridPos", "collapsed", "panels")
_ALL: Final = {"selected": True, "text": "All", "value": "$__all"}
_COLUMNS: Final = 24
_attributes: Any = attrs.define(slots=False, kw_only=True)
"""grafanalib has no types: what is derived from it has none either"""


@_attributes
class PrometheusQuery(lib.Target):  # type: ignore[misc]
    """A target as Grafana's own editor writes it, with exemplars."""

    exemplar: Any = attrs.field(default=False)

    def to_json_data(self) -> dict[str, Any]:
        data: dict[str, Any] = super().to_json_data()
        for key in _OBSOLETE_OF_TARGET:
            data.pop(key, None)
        return data | {"range": not self.instant, "exemplar": self.exemplar, "editorMode": "code"}


@_attributes
class Visual(lib.Panel):  # type: ignore[misc]
    """A panel of any type, in the form of today; grafanalib's own classes write that of years ago."""

    type: Any = attrs.field(default="timeseries")
    options: Any = attrs.field(factory=dict)
    field_config: Any = attrs.field(factory=dict)

    def to_json_data(self) -> dict[str, Any]:
        made: dict[str, Any] = self.panel_json(
            {"type": self.type, "options": self.options, "fieldConfig": self.field_config}
        )
        return made


def _told(data: Any) -> Any:
    """Without what says nothing; the first step of a threshold begins at null."""
    if isinstance(data, dict):
        return {key: _told(value) for key, value in data.items() if value is not None or key == "value"}
    return [_told(one) for one in data] if isinstance(data, list) else data


def _panel_of_today(panel: dict[str, Any]) -> dict[str, Any]:
    """A row has a title and a place, and grafanalib gives it all that a panel has."""
    if panel["type"] == "row":
        inside = [_panel_of_today(one) for one in panel.get("panels", [])]
        return {key: panel[key] for key in _OF_ROW if key in panel} | {"panels": inside}
    return {key: value for key, value in panel.items() if key not in _OBSOLETE_OF_PANEL}


class Writer:
    """Writes boards in one language: `en` or `zh`."""

    def __init__(self, language: str) -> None:
        self._language = language

    def dashboard(self, board: Board) -> dict[str, Any]:
        """
        :return: JSON data; the same for the same board
        """
        made = lib.Dashboard(
            title=self._say(board.title),
            description=self._say(board.about),
            uid=board.uid,
            tags=[TAG],
            timezone="browser",
            refresh=board.refresh,
            time=lib.Time(board.since, "now"),
            editable=False,
            graphTooltip=1,
            schemaVersion=SCHEMA,
            templating=lib.Templating(list=[self._datasource(), *map(self._variable, board.variables)]),
            annotations=lib.Annotations(list=[self._event(event) for event in board.events]),
            links=[self._ways()],
            panels=self._rows(board.rows),
        ).auto_panel_ids()
        data: dict[str, Any] = _told(json.loads(json.dumps(made.to_json_data(), cls=DashboardEncoder)))
        for key in _OBSOLETE:
            data.pop(key, None)
        data["timepicker"].pop("time_options", None)
        data["panels"] = [_panel_of_today(panel) for panel in data["panels"]]
        for variable in data["templating"]["list"]:
            variable.pop("useTags", None)
            variable["current"] = _ALL if variable["type"] == "query" else {}
            if variable["type"] == "query":
                variable["allowCustomValue"] = True
        return data | {"id": None, "version": 1, "weekStart": "", "fiscalYearStartMonth": 0, "liveNow": False}

    def _say(self, text: Text | str) -> str:
        return text if isinstance(text, str) else str(getattr(text, self._language))

    def _datasource(self) -> Any:
        return lib.Template(name="datasource", label="Data Source", type="datasource", query="prometheus")

    def _variable(self, variable: Variable) -> Any:
        return lib.Template(
            name=variable.name, label=self._say(variable.title), type="query", dataSource=DATASOURCE,
            query={"query": variable.query, "refId": variable.name}, multi=True, includeAll=True, allValue=".*",
            refresh=2, sort=1,
        )  # fmt: skip

    def _event(self, event: Event) -> dict[str, Any]:
        return {
            "name": self._say(event.name), "datasource": DATASOURCE, "enable": event.on, "expr": event.expr,
            "iconColor": event.color, "titleFormat": event.title, "step": "60s", "useValueForTime": False,
        }  # fmt: skip

    def _ways(self) -> dict[str, Any]:
        """To all others, with time and variables."""
        return {
            "title": "watchkeeper", "type": "dashboards", "tags": [TAG], "asDropdown": True, "includeVars": True,
            "keepTime": True, "targetBlank": False, "icon": "external link", "tooltip": "", "url": "",
        }  # fmt: skip

    def _rows(self, rows: tuple[Row, ...]) -> list[Any]:
        made: list[Any] = []
        top = 0
        for row in rows:
            panels, bottom = self._placed(row.panels, top + 1)
            inside = panels if row.collapsed else []
            made.append(lib.RowPanel(title=self._say(row.title), gridPos=lib.GridPos(1, _COLUMNS, 0, top),
                                     collapsed=row.collapsed, panels=inside))  # fmt: skip
            if not row.collapsed:
                made.extend(panels)
            top = top + 1 if row.collapsed else bottom
        return made

    def _placed(self, panels: tuple[Panel, ...], top: int) -> tuple[list[Any], int]:
        """From left to right, on the next line where there is no room. :return: panels, and where they end"""
        made = []
        left, line = 0, 0
        for panel in panels:
            if left + panel.width > _COLUMNS:
                top, left, line = top + line, 0, 0
            made.append(self._panel(panel, lib.GridPos(panel.height, panel.width, left, top)))
            left, line = left + panel.width, max(line, panel.height)
        return made, top + line

    def _panel(self, panel: Panel, place: Any) -> Any:
        is_table, is_heat = panel.kind == "table", panel.kind == "heatmap"
        targets = [
            PrometheusQuery(
                expr=query.expr, legendFormat="" if is_table else self._say(query.legend) or "__auto",
                refId=chr(ord("A") + index), datasource=DATASOURCE, instant=panel.kind in ("table", "stat", "bargauge")
                and not self._has_line(panel), format={"table": "table", "heatmap": "heatmap"}.get(panel.kind,
                "time_series"), exemplar=query.exemplar,
            )
            for index, query in enumerate(panel.queries)
        ]  # fmt: skip
        return Visual(
            type=panel.kind, title=self._say(panel.title), description=self._say(panel.about), dataSource=DATASOURCE,
            targets=targets, gridPos=place, maxDataPoints=None, transparent=False,
            transformations=self._transformations(panel) if is_table else [],
            options=self._options(panel),
            field_config={"defaults": {} if is_heat else self._defaults(panel), "overrides": self._overrides(panel)},
        )  # fmt: skip

    @staticmethod
    def _has_line(panel: Panel) -> bool:
        """A number whose course is drawn behind it: what rises and falls, not what is counted over a day."""
        return panel.kind == "stat" and "$__rate_interval" in panel.queries[0].expr

    def _options(self, panel: Panel) -> dict[str, Any]:
        reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        if panel.kind == "timeseries":
            legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
            return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
        if panel.kind == "stat":
            drawn = "area" if self._has_line(panel) else "none"
            text = "value_and_name" if panel.queries[0].legend else "value"
            return {"reduceOptions": reduce, "colorMode": "value", "graphMode": drawn, "justifyMode": "auto",
                    "orientation": "auto", "textMode": text, "wideLayout": True}  # fmt: skip
        if panel.kind == "bargauge":
            return {"reduceOptions": reduce, "displayMode": "gradient", "orientation": "horizontal",
                    "showUnfilled": True, "valueMode": "color", "namePlacement": "left", "sizing": "auto",
                    "minVizHeight": 12, "minVizWidth": 8, "maxVizHeight": 28}  # fmt: skip
        if panel.kind == "state-timeline":
            legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
            return {"mergeValues": True, "showValue": "never", "rowHeight": 0.85, "alignValue": "left",
                    "legend": legend, "tooltip": {"mode": "single", "sort": "none"}}  # fmt: skip
        if panel.kind == "heatmap":
            return self._heat(panel)
        sort = [{"displayName": self._say(panel.sort), "desc": True}] if panel.sort else []
        return {"showHeader": True, "cellHeight": "sm", "sortBy": sort, "footer": {"show": False}}

    @staticmethod
    def _heat(panel: Panel) -> dict[str, Any]:
        color = {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "scale": "exponential",
                 "fill": "dark-orange", "reverse": False}  # fmt: skip
        return {"calculate": False, "cellGap": 1, "color": color, "yAxis": {"axisPlacement": "left", "unit": panel.unit},
                "rowsFrame": {"layout": "auto"}, "tooltip": {"mode": "single", "yHistogram": False}, "showValue": "never",
                "legend": {"show": True}, "filterValues": {"le": 1e-9}, "exemplars": {"color": "rgba(255,0,255,0.7)"},
                "cellValues": {"unit": "short"}}  # fmt: skip

    def _defaults(self, panel: Panel) -> dict[str, Any]:
        made: dict[str, Any] = {"unit": panel.unit or "short", "thresholds": _thresholds(panel.steps),
                                "mappings": [self._mapping(one) for one in panel.shown]}  # fmt: skip
        for key, value in (("min", panel.low), ("max", panel.high), ("decimals", panel.decimals)):
            if value is not None:
                made[key] = value
        if panel.kind == "timeseries":
            dense = any("{{" in self._say(query.legend) for query in panel.queries) or len(panel.queries) > 2
            made["color"] = {"mode": "palette-classic"}
            made["custom"] = {
                "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 0 if panel.stacked else 1, "showPoints": "never",
                "fillOpacity": 75 if panel.stacked else 0 if dense else 8, "gradientMode": "none", "spanNulls": False,
                "axisPlacement": "auto", "axisLabel": "", "scaleDistribution": {"type": "linear"},
                "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
                "thresholdsStyle": {"mode": "dashed" if panel.dashed else "off"},
            }  # fmt: skip
        elif panel.kind in ("stat", "bargauge", "state-timeline"):
            made["color"] = {"mode": "thresholds"}
        if panel.kind == "state-timeline":
            made["custom"] = {"fillOpacity": 75, "lineWidth": 0}
        if panel.kind == "table":
            made["custom"] = {"align": "auto", "filterable": True, "cellOptions": {"type": "auto"}}
        if panel.jump and panel.kind != "table":
            made["links"] = [self._link(panel.jump, "__field.labels.{}")]
        return made

    def _overrides(self, panel: Panel) -> list[dict[str, Any]]:
        if panel.kind != "table":
            return [_override(name, {"color": {"mode": "fixed", "fixedColor": color}}) for name, color in panel.colors]
        made = [self._column(query) for query in panel.queries]
        if panel.jump:
            jump = self._link(panel.jump, '__data.fields["{}"]', dict(panel.columns))
            made += [_override(self._say(title), {"links": [jump]}) for _, title in panel.columns[:1]]
            made += [
                _override(self._say(title), {"links": [jump]})
                for label, title in panel.columns[1:]
                if label in {one for _, one in panel.jump.variables}
            ]
        return made

    def _column(self, query: Query) -> dict[str, Any]:
        """Unit, colours and, for shares, a bar of the column that a query makes."""
        settings: dict[str, Any] = {"unit": query.unit}
        if query.steps:
            settings["thresholds"] = _thresholds(query.steps)
            settings["color"] = {"mode": "thresholds"}
        if query.bar:
            settings["custom.cellOptions"] = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
            settings |= {"min": 0} | ({"max": 1} if query.unit == "percentunit" else {})
        elif query.steps:
            settings["custom.cellOptions"] = {"type": "color-text"}
        return _override(self._say(query.legend), settings)

    def _transformations(self, panel: Panel) -> list[dict[str, Any]]:
        """One row for each set of labels; columns named, in order; the rest is left out."""
        many = len(panel.queries) > 1
        values = [f"Value #{chr(ord('A') + index)}" if many else "Value" for index in range(len(panel.queries))]
        names = {label: self._say(title) for label, title in panel.columns}
        names |= {value: self._say(query.legend) for value, query in zip(values, panel.queries, strict=True)}
        order = {name: index for index, name in enumerate([*dict(panel.columns), *values])}
        organize = {"id": "organize", "options": {
            "excludeByName": dict.fromkeys(("Time", *panel.hidden), True), "indexByName": order,
            "renameByName": names,
        }}  # fmt: skip
        return ([{"id": "merge", "options": {}}] if many else []) + [organize]

    def _link(self, jump: Jump, form: str, titles: dict[str, Text] | None = None) -> dict[str, Any]:
        """With the time shown, and variables filled from labels; a table's labels go by the titles of its columns."""
        given = []
        for variable, label in jump.variables:
            if titles is not None and label not in titles:
                given.append(f"${{{variable}:queryparam}}")
                continue
            name = self._say(titles[label]) if titles is not None else label
            given.append(f"var-{variable}=${{{form.format(name)}}}")
        url = "&".join([f"/d/{jump.uid}?${{__url_time_range}}", "var-datasource=${datasource}", *given])
        return {"title": self._say(jump.title), "url": url, "targetBlank": False}

    def _mapping(self, one: Shown) -> dict[str, Any]:
        shown = {f"{one.value:g}": {"text": self._say(one.text), "color": one.color, "index": int(one.value)}}
        return {"type": "value", "options": shown}


def _thresholds(steps: Steps) -> dict[str, Any]:
    made = [{"color": color, "value": value} for value, color in steps] or [{"color": "green", "value": None}]
    return {"mode": "absolute", "steps": made}


def _override(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    properties = [{"id": key, "value": value} for key, value in settings.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def text_of(data: dict[str, Any]) -> str:
    """As it lies in the repository."""
    return json.dumps(data, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def name_of(uid: str) -> str:
    """File name of a dashboard."""
    return re.sub(r"[^a-z-]", "-", uid) + ".json"
