"""What differs between two configurations, a line for each key."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

_MOST: Final = 50


def differences(before: str | None, after: str) -> list[str]:
    """
    `key: old -> new`, at most fifty.

    :param before: JSON; None where there was none
    """
    if before is None:
        return ["the first that is known"]
    old, new = dict(_leaves(msgspec.json.decode(before), "")), dict(_leaves(msgspec.json.decode(after), ""))
    lines = [
        f"{key}: {_shown(old, key)} -> {_shown(new, key)}"
        for key in sorted(old.keys() | new.keys())
        if _shown(old, key) != _shown(new, key)
    ]
    return lines if len(lines) <= _MOST else [*lines[:_MOST], f"and {len(lines) - _MOST} more"]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{place}]")
    else:
        yield path, value


def _shown(leaves: dict[str, Any], key: str) -> str:
    return msgspec.json.encode(leaves[key]).decode() if key in leaves else "(not there)"
