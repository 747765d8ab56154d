"""
values.yaml with what its comments say: the convention of helm-docs and of helm-values-schema-json.

    # -- Port of metrics. Further lines of the comment go on.
    # @schema minimum: 1; maximum: 65535
    # @default -- what the README shows instead of the default
    # @schema kubernetes: [Toleration]        (a type of Kubernetes', or a list of it)

A comment counts if it stands right above its key, without an empty line between. A line `#` ends the description: what
follows it is for those who read values.yaml.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

Path = tuple[str, ...]


class ValuesError(Exception):
    """values.yaml cannot be read as it is meant: `PATH: what is wrong and what to write`."""


@dataclass(frozen=True, slots=True)
class Value:
    """A key of values.yaml."""

    path: Path
    default: Any
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """what `@schema` says: keywords of JSON Schema, or our own `kubernetes: Toleration`, `kubernetes: [Toleration]`"""
    shown: str = ""
    """what `@default` says"""
    children: tuple["Value", ...] = ()

    @property
    def name(self) -> str:
        return ".".join(self.path)


def read(text: str, shapes: Container[str] = ()) -> tuple[Value, ...]:
    """
    The top level's keys.

    :param shapes: last parts of keys whose values are somebody else's: what is below them needs no description
    :raises ValuesError: a comment that cannot be read, or a key without a description
    :raises yaml.YAMLError: no YAML
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValuesError("values.yaml is not a mapping")
    return _values(root, (), text.splitlines(), shapes)


def _values(node: yaml.MappingNode, above: Path, lines: list[str], shapes: Container[str]) -> tuple[Value, ...]:
    made: list[Value] = []
    for key, value in node.value:
        path = (*above, str(key.value))
        described = _described(path, yaml.SafeLoader("").construct_document(value), _above(lines, key.start_mark.line))
        if isinstance(value, yaml.MappingNode) and not (value.flow_style or path[-1] in shapes or described.schema):
            described = replace(described, children=_values(value, path, lines, shapes))
        made.append(described)
    return tuple(made)


def _above(lines: list[str], line: int) -> list[str]:
    """The comment right above a line, without its marks."""
    first = line
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return [re.sub(r"^\s*# ?", "", text).rstrip() for text in lines[first:line]]


def _described(path: Path, default: Any, comment: list[str]) -> Value:
    description: list[str] = []
    schema: dict[str, Any] = {}
    shown, speaking = "", False
    for line in comment:
        if line.startswith("-- "):
            description, speaking = [line.removeprefix("-- ")], True
        elif line.startswith("@schema "):
            schema |= _keywords(".".join(path), line.removeprefix("@schema "))
        elif line.startswith("@default -- "):
            shown = line.removeprefix("@default -- ")
        elif not line:
            speaking = False
        elif speaking:
            description.append(line.strip())
    if not description:
        raise ValuesError(f"{'.'.join(path)}: has no description; write `# -- …` right above it")
    return Value(path, default, " ".join(description), schema, shown)


def _keywords(name: str, text: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for part in text.split(";"):
        keyword, colon, value = part.partition(":")
        if not colon:
            raise ValuesError(f"{name}: `@schema {text}` is not `keyword: value; keyword: value`")
        try:
            made[keyword.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ValuesError(f"{name}: `{part.strip()}` in `@schema` is no YAML") from None
    return made
