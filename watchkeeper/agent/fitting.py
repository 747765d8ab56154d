"""Whether a value of a YAML file fits a type, and an operator's words for where it does not."""

import difflib
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Annotated, Any, Final, Literal

import msgspec

_NO_TEXT: Final = re.compile("[\0\ud800-\udfff]")
_UNITS: Final = ("seconds", "bytes", "ratio", "milliseconds", "days", "mebibytes", "characters")
_HIDDEN: Final = re.compile(r"canaries|capture\.patterns|headers\b")
"""keys whose values may be secrets: what is wrong with them is said without them"""
_MAY_HIDE: Final = re.compile(r"[@?#]|password|secret|token")
"""in an address: what it says besides where"""
_MOST_SHOWN: Final = 80
"""characters of a value"""
_MOST_PLACES: Final = 3


def check(value: object, wanted: Any, path: str) -> Iterator[str]:
    """Every way in which `value` does not fit the type `wanted`; nothing when it fits."""
    bare = _bare(wanted)
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        yield from _check_struct(value, bare, path)
    elif typing.get_origin(bare) is Literal:
        choices = [str(choice) for choice in typing.get_args(bare)]
        if value not in typing.get_args(bare):
            near = nearest(str(value), choices)
            hint = f"; did you mean '{near}'?" if near else ""
            yield f"{path}: expected one of {', '.join(choices)}, got '{_shown(value)}'{hint}"
    elif typing.get_origin(bare) is tuple and isinstance(value, list):
        for index, item in enumerate(value):
            yield from check(item, typing.get_args(bare)[0], f"{path}[{index}]")
    elif isinstance(value, float) and not isfinite(value):
        yield f"{path}: expected a finite number, got {value}"
    elif not _is_text(value):
        yield f"{path}: holds a NUL or a surrogate, which no text has; remove it"
    else:
        try:
            msgspec.convert(value, wanted)
        except msgspec.ValidationError as error:
            yield f"{path}: {_explain(str(error), value, path)}"


def kind(value: object) -> str:
    """What a value of YAML is, in words."""
    if isinstance(value, bool):
        return str(value).lower()
    names = {dict: "settings", list: "a list", str: "text", int: "a number", float: "a number", type(None): "nothing"}
    return names.get(type(value), f"a {type(value).__name__}")


def _check_struct(value: object, struct: type[msgspec.Struct], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        hint = f"; write {path}: {{enabled: false}}" if value is False and "enabled" in struct.__struct_fields__ else ""
        yield f"{path or 'the file'}: expected settings (key: value), got {kind(value)}{hint}"
        return
    fields = _fields(struct)
    problems: list[str] = []
    for key, inner in value.items():
        where = f"{path}.{key}" if path else str(key)
        if key in fields:
            problems.extend(check(inner, fields[key].type, where))
        else:
            problems.append(f"{where}: unknown setting{_suggest(str(key), struct)}")
    missing = (name for name, field in fields.items() if field.required and name not in value)
    problems.extend(f"{path}.{name}: is required".lstrip(".") for name in missing)
    yield from problems
    if not problems:
        try:
            msgspec.convert(value, struct)
        except msgspec.ValidationError as error:  # a rule that a type cannot say
            yield _broken_rule(str(error), value, path)


def _broken_rule(said: str, section: Mapping[str, object], path: str) -> str:
    """One that begins with a key is about that alone; others are between keys, and told of their section."""
    key, is_joint, rest = re.sub(r"^(\w+) must be ", r"\1: must be ", said).partition(": ")
    if not is_joint or key not in section:
        return f"{path or 'the file'}: {said}"
    given = section[key]
    show = rest.startswith("must be ") and isinstance(given, str) and not _MAY_HIDE.search(given)
    shown = f", got '{_shown(given)}'" if show else ""
    return f"{path}.{key}: {rest}{shown}".lstrip(".")


def _bare(wanted: Any) -> Any:
    return typing.get_args(wanted)[0] if typing.get_origin(wanted) is Annotated else wanted


def _fields(wanted: Any) -> dict[str, Any]:
    """By name, of a section; of what is none, no fields."""
    bare = _bare(wanted)
    is_section = isinstance(bare, type) and issubclass(bare, msgspec.Struct)
    return {field.encode_name: field for field in msgspec.structs.fields(bare)} if is_section else {}


def _is_text(value: object) -> bool:
    """Whether it can be written out and name a file, if it is text or a section of texts. YAML can say what is not."""
    texts = (*value, *value.values()) if isinstance(value, dict) else (value,)
    return not any(_NO_TEXT.search(text) for text in texts if isinstance(text, str))


def _suggest(key: str, section: type[msgspec.Struct]) -> str:
    """What of the section, or below it, may have been meant."""
    known = list(_fields(section))
    outer, dot, inner = key.partition(".")
    if dot and inner.partition(".")[0] in _fields(_type_of(section, outer)):
        return f"; a dot is no section: write {outer}: {{{inner}: ...}}"
    stem = re.sub(r"_?(ms|s|sec|secs|seconds|millis|milliseconds|minutes|min|mb|mib|kb|kib|gb|bytes)$", "", key)
    same_stem = [name for name in known if stem and any(name == f"{stem}_{unit}" for unit in _UNITS)]
    if same_stem:
        return f"; did you mean '{same_stem[0]}' (in {same_stem[0].rpartition('_')[2]})?"
    places = [f"'{place}'" for place in _below(key, section)]
    if 0 < len(places) <= _MOST_PLACES:
        return f"; did you mean {' or '.join(places)}?"
    if near := nearest(key, known):
        return f"; did you mean '{near}'?"
    return f"; known here: {', '.join(sorted(known))}"


def _below(key: str, section: Any) -> Iterator[str]:
    """Paths from here to settings of that name."""
    for name, field in _fields(section).items():
        for inner in _fields(field.type):
            if inner == key:
                yield f"{name}.{key}"
        yield from (f"{name}.{path}" for path in _below(key, field.type))


def _type_of(section: Any, key: str) -> Any:
    field = _fields(section).get(key)
    return field.type if field else None


def nearest(given: str, known: Sequence[str]) -> str:
    """Of what is known; empty where none is near. Whatever the case of letters."""
    lowered = {one.lower(): one for one in known}
    return lowered[near[0]] if (near := difflib.get_close_matches(given.lower(), lowered, 1)) else ""


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _explain(message: str, value: object, path: str) -> str:
    """msgspec's own words, in the operator's: no type names of Python, the value shown, the unit named."""
    said, regex, pattern = message.partition(" - at `")[0].replace("`", "").partition(" matching regex ")
    said = said.lower() + regex + pattern  # a pattern says which case it wants
    said = re.sub(r"^expected int", "expected a whole number", said)
    said = re.sub(r"^expected float", "expected a number", said).replace("expected bool", "expected true or false")
    said = re.sub(r"\b(expected|got) str\b", r"\1 text", said).replace("got null", "got nothing")
    said = re.sub(r"\bgot (int|float)\b", "got a number", said).replace("got bool", f"got {kind(value)}")
    said = said.replace("expected array", "expected a list (- key: value)").replace("got object", "got settings")
    said = said.replace("got array", "got a list")
    if _HIDDEN.search(path) or isinstance(value, bool | dict | list | None):
        return said
    wanted = said.partition(", got ")[0]
    unit = next((unit for unit in _UNITS if path.endswith(unit)), None)
    if isinstance(value, str) and unit:
        return f"{wanted} of {unit}, got '{_shown(value)}' (write the plain number, the unit is in the name)"
    if isinstance(value, str) and value.replace(".", "", 1).isdigit():
        return f"{said}: remove the quotes from '{_shown(value)}'"
    if isinstance(value, str) and wanted.endswith("number"):
        return f"{wanted}, got '{_shown(value)}' (write the plain number)"
    if isinstance(value, int | float) and (wanted == said or wanted.endswith("number")):
        return f"{wanted}, got {value:g}"
    return f"{said} ('{_shown(value)}')"
