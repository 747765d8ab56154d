"""Which field of OTLP/JSON is of the wrong type, for its sender. Nothing of what it holds is said."""

import re
from typing import Final

_FAULT: Final = re.compile(r"Expected `([\w| ]+)`, got `(\w+)` - at `\$\.([\w.\[\]]+)`")
"""msgspec's words: types, and a path of names that are OTLP's own"""
_IN_JSON: Final = {"int": "integer", "str": "string", "float": "number", "bool": "boolean"}


def named(error: Exception) -> str:
    """
    Empty where no one field is at fault.

    >>> named(ValueError("Expected `int | null`, got `str` - at `$.status.code`"))
    'status.code: expected integer, got string'
    """
    found = _FAULT.fullmatch(str(error))
    if found is None:
        return ""
    wanted = " or ".join(_IN_JSON.get(one, one) for one in found[1].split(" | ") if one != "null")
    return f"{found[3]}: expected {wanted}, got {_IN_JSON.get(found[2], found[2])}"
