"""The tables of the chart's README. What stands outside of the marks is written by hand."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from chart_values.comments import Value, ValuesError

_MARKS: Final = re.compile(r"(<!-- (?P<name>[a-z]+): generated -->\n).*?(<!-- /(?P=name) -->)", re.DOTALL)
_LONGEST_DEFAULT: Final = 60


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
    """The single keys first, then a table for each key that has others below it."""
    single = [value for value in values if not value.children]
    groups = [value for value in values if value.children]
    parts = ["### For the whole", "", *_table(single)]
    for group in groups:
        parts += ["", f"### `{group.name}`", "", f"{_sentence(group.description)}", "", *_table(group.children)]
    return "\n".join(parts)


def _table(values: Sequence[Value]) -> Iterator[str]:
    yield "| key | default | |"
    yield "|---|---|---|"
    for value in _flat(values):
        yield f"| `{value.name}` | {_default(value)} | {_cell(_sentence(value.description))} |"


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
