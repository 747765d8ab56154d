"""JSON Schemas, compiled."""

from typing import Any, Final

import msgspec

MAX_CHARACTERS: Final = 65_536
_PATTERN_BYTES: Final = 1_000_000


def compiled(schema: str) -> Any:
    """
    A validator; None when it is no schema. References to other documents are refused, never fetched; patterns run in
    time linear in the text.
    """
    import jsonschema_rs

    if len(schema) > MAX_CHARACTERS:
        return None
    patterns = jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES)
    try:
        return jsonschema_rs.validator_for(msgspec.json.decode(schema), pattern_options=patterns, offline=True)
    except (ValueError, RecursionError, jsonschema_rs.ReferencingError):
        return None
