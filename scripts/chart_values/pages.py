"""The tables of the chart's README. What stands outside of the marks is written by hand."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from chart_values.comments import Value, ValuesError

_MARKS: Final = re.compile(r"(<!-- (?P<name>[a-z]+): generated -->\n).*?(<!-- /(?P=name) -->)", re.DOTALL)
_LONGEST_DEFAULT: Final = 90
_SHARED_BY: Final = 3

Row = tuple[str, str, str]
"""of a table: name, default, description"""


def renewed(page: str, parts: Mapping[str, str]) -> str:
    """
    The page with its generated parts anew.

    >>> renewed("<!-- presets: generated -->\\nold\\n<!-- /presets -->", {"presets": "new"})
    '<!-- presets: generated -->\\nnew\\n<!-- /presets -->'

    :raises ValuesError: a part has no place on the page, or a place no part
    """
    places = [match["name"] for match in _MARKS.finditer(page)]
    if sorted(places) != sorted(parts):
        raise ValuesError(f"README.md: has places for {sorted(places)}, where {sorted(parts)} are generated")
    return _MARKS.sub(lambda match: f"{match[1]}{parts[match['name']].strip()}\n{match[3]}", page)


def presets(texts: Mapping[str, str]) -> str:
    """A table of what each says of itself: the comment that it begins with."""
    rows = ["| preset | is for |", "|---|---|"]
    for name, text in sorted(texts.items()):
        opening = re.match(r"(?:#.*\n)+", text)
        if opening is None:
            raise ValuesError(f"presets/{name}.yaml: begins with no comment that says what it is for")
        said = " ".join(line.lstrip("# ").strip() for line in opening[0].splitlines())
        rows.append(f"| [`{name}`](presets/{name}.yaml) | {_cell(said)} |")
    return "\n".join(rows)


def tables(values: Sequence[Value]) -> str:
    """The single keys first, then a table for each key that has others below it, then what many of them share."""
    single = [value for value in values if not value.children]
    groups = [value for value in values if value.children]
    shared = _shared(groups)
    parts = ["### For the whole", "", *_table(_rows(single))]
    for group in groups:
        own = [value for value in group.children if _likeness(value) not in shared]
        parts += ["", f"### `{group.name}`", "", _sentence(group.description), "", *_table(_rows(own))]
        if len(own) < len(group.children):
            parts += ["", "And the keys that [components share](#of-each-component)."]
    if shared:
        names = ", ".join(f"`{name}`" for name in dict.fromkeys(v.path[0] for same in shared.values() for v in same))
        parts += ["", "### Of each component", "", f"Below {names}, where it has them.", ""]
        alike = _rows([same[0] for same in shared.values()])
        parts += _table([(name.partition(".")[2], default, description) for name, default, description in alike])
    return "\n".join(parts)


def _shared(groups: Sequence[Value]) -> Mapping[str, Sequence[Value]]:
    """What is alike below several keys, in the order of the first."""
    found: dict[str, list[Value]] = {}
    for group in groups:
        for value in group.children:
            found.setdefault(_likeness(value), []).append(value)
    return {key: same for key, same in found.items() if len(same) >= _SHARED_BY}


def _likeness(value: Value) -> str:
    """Equal for values with the same name below the top level's, the same meaning and the same default."""
    return json.dumps([(row[0].partition(".")[2], *row[1:]) for row in _rows([value])])


def _rows(values: Sequence[Value]) -> list[Row]:
    return [(value.name, _default(value), value.description) for value in _flat(values)]


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield "| key | default | |"
    yield "|---|---|---|"
    for name, default, description in rows:
        yield f"| `{name}` | {default} | {_cell(_sentence(description))} |"


def _flat(values: Sequence[Value]) -> Iterator[Value]:
    for value in values:
        yield value
        yield from _flat(value.children)


def _default(value: Value) -> str:
    if value.shown:
        return _cell(value.shown)
    if value.children or value.default is None:
        return ""
    text = json.dumps(value.default, ensure_ascii=False)
    return f"`{_cell(text)}`" if len(text) <= _LONGEST_DEFAULT else "see [values.yaml](values.yaml)"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cell(text: Any) -> str:
    return str(text).replace("|", "\\|")
