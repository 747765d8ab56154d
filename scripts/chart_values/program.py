"""The program's own schema of its configuration, as a part of the chart's."""

from collections.abc import Mapping
from typing import Any, Final

Schema = dict[str, Any]

ROOT: Final = "watchkeeper.Config"

_LEFT_OUT: Final = frozenset({"default", "title"})  # docs/config.md has them
_SET_BY_THE_CHART: Final = ("role",)


def definitions(config_schema: Mapping[str, Any]) -> dict[str, Schema]:
    """
    Each type of the program's, under `watchkeeper.`, in the words of draft 7.

    :param config_schema: what `watchkeeper config-schema` prints
    """
    made = {f"watchkeeper.{name}": _plain(schema) for name, schema in config_schema["$defs"].items()}
    for key in _SET_BY_THE_CHART:
        del made[ROOT]["properties"][key]
    return made


def _plain(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_plain(entry) for entry in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {key: value for key, value in schema.items() if key not in _LEFT_OUT and value != []}
    if "properties" in made:
        made["properties"] = {name: _plain(value) for name, value in made["properties"].items()}
    for key in ("items", "additionalProperties", "anyOf"):
        if key in made:
            made[key] = _plain(made[key])
    if "$ref" in made:
        made["$ref"] = made["$ref"].replace("#/$defs/", "#/definitions/watchkeeper.")
    return _or_null(made)


def _or_null(schema: Schema) -> Schema:
    """
    One of two, the other of them null: told as one, so that a refusal is one sentence.

    >>> _or_null({"anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}]})
    {'type': ['number', 'null'], 'minimum': 0}
    """
    match schema:
        case {"anyOf": [{"type": str(kind)} as some, {"type": "null"}], **rest}:
            return {**rest, **some, "type": [kind, "null"]}
    return schema
