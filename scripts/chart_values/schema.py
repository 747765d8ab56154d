"""
values.schema.json: what helm checks before it renders anything.

Draft 7, because helm up to 3.17 knows no later one; there, whatever stands beside `$ref` is not looked at. Every level
that is the chart's refuses keys that it does not know, so that a typo fails the install. `global` and the keys of
charts that this one includes stay open: their owners write there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from chart_values import kubernetes, program
from chart_values.comments import Value, ValuesError

Schema = dict[str, Any]

SHAPES: Final[Mapping[str, Schema]] = {**kubernetes.SHAPES, "config": {"$ref": f"#/definitions/{program.ROOT}"}}
"""By the last part of a key: what its value must be, unless `@schema` says otherwise."""

_TYPES: Final[Mapping[type, str]] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def document(chart: str, values: Sequence[Value], included: Iterable[str], config_schema: Mapping[str, Any]) -> Schema:
    """
    :param chart: its name
    :param included: names of the charts that this one includes
    :param config_schema: what `watchkeeper config-schema` prints
    :raises ValuesError: a key of which nothing says what it may be
    """
    top = _mapping(values)
    for name in ("global", *sorted(included)):
        top["properties"].setdefault(name, {"type": "object"})
        top["properties"][name].pop("additionalProperties", None)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"Values of the chart {chart}",
        **top,
        "definitions": _definitions(top, program.definitions(config_schema)),
    }


def _definitions(top: Schema, configuration: Mapping[str, Schema]) -> dict[str, Schema]:
    named = kubernetes.referred(top)
    others = {name for name in named if not name.startswith("watchkeeper.")}
    made = {**configuration, **kubernetes.definitions(others)}
    return {name: made[name] for name in sorted(made)}


def _mapping(values: Sequence[Value]) -> Schema:
    properties = {value.path[-1]: _schema(value) for value in values}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _schema(value: Value) -> Schema:
    return {"description": value.description, **(_mapping(value.children) if value.children else _of_leaf(value))}


def _of_leaf(value: Value) -> Schema:
    said = dict(value.schema)
    match said.pop("kubernetes", None):
        case str(kind):
            return kubernetes.one(kind)
        case [str(kind)]:
            return kubernetes.several(kind)
    if "type" in said or "enum" in said:
        return said
    if shape := SHAPES.get(value.path[-1]):
        return {**shape, **said}
    return {**_guessed(value), **said}


def _guessed(value: Value) -> Schema:
    """By the default, where it tells."""
    if kind := _TYPES.get(type(value.default)):
        return {"type": kind}
    if isinstance(value.default, list) and value.default and "items" not in value.schema:
        kinds = {_TYPES.get(type(entry)) for entry in value.default}
        if len(kinds) == 1 and (kind := kinds.pop()):
            return {"type": "array", "items": {"type": kind}}
    if isinstance(value.default, list) and "items" in value.schema:
        return {"type": "array"}
    raise ValuesError(
        f"{value.name}: its default, {value.default!r}, does not tell what it may be; write `# @schema type: …`"
    )
