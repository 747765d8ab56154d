"""
Tool calls that cannot work.

Exact where the sender tells calls and offered tools apart: a name that was not offered, arguments that are not JSON or
not an object, arguments that do not fit the tool's schema, and the same call with the same arguments three times in one
answer. Results of tools that say they failed are counted as `result_error` when the whole result is an error. Misses
calls that are well-formed and wrong, and loops over several answers of a session.
"""

from collections import Counter, OrderedDict
from typing import Any, Final

import msgspec

from detectors.checks._schemas import compiled
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Flag, Score, Text
from watchkeeper.core.vocabulary import outputs

_SAME: Final = 3
_OFFERS: Final = 64
_MAX_OFFER: Final = 262_144
_ERRORS: Final = ("error", "traceback (most recent call last)", '{"error"', '{"status":"error"', "exception:")


class ToolCallConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tool calls that cannot work."""

    enabled: bool = True
    """exact, and only where tools are called"""


class ToolCall:
    """Keeps what 64 requests offered, those used last."""

    def __init__(self, _: ToolCallConfig, __: Ledger) -> None:
        self._offers: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def score(self, call: Prepared) -> tuple[Score, ...]:
        text = call.text
        if not text.calls and not text.context:
            return ()
        kinds: Counter[str] = Counter()
        offer = self._offer(text.tools) if text.tools and text.calls else {}
        for asked in text.calls:
            if kind := _mistake(asked.name, asked.arguments, offer):
                kinds[kind] += 1
        kinds["repeated"] = sum(count >= _SAME for count in Counter(map(_same, text.calls)).values())
        kinds["result_error"] = int(_failed(text))
        return (Flag("tool_call", tuple((kind, count) for kind, count in kinds.items() if count)),)

    def _offer(self, tools: str) -> dict[str, Any]:
        """Name to validator; a None accepts any arguments."""
        if tools not in self._offers:
            self._offers[tools] = _offered(tools) if len(tools) <= _MAX_OFFER else {}
            if len(self._offers) > _OFFERS:
                self._offers.popitem(last=False)
        self._offers.move_to_end(tools)
        return self._offers[tools]


def _same(call: Any) -> tuple[str, str]:
    return call.name, call.arguments


def _mistake(name: str, arguments: str, offer: dict[str, Any]) -> str:
    if offer and name and name not in offer:
        return "not_offered"
    if not arguments.strip():
        return ""
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return "not_json"
    if not isinstance(value, dict):
        return "not_an_object"
    validator = offer.get(name)
    return "" if validator is None or validator.is_valid(value) else "schema"


def _offered(tools: str) -> dict[str, Any]:
    try:
        listed = msgspec.json.decode(tools)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return {}
    offer = {}
    for tool in listed if isinstance(listed, list) else ():
        inner = tool.get("function") if isinstance(tool, dict) else None
        tool = inner if isinstance(inner, dict) else tool
        if isinstance(tool, dict) and isinstance(name := tool.get("name"), str):
            schema = next((found for key in _SCHEMA_KEYS if isinstance(found := tool.get(key), dict)), None)
            offer[name] = compiled(msgspec.json.encode(schema).decode()) if schema else None
    return offer


_SCHEMA_KEYS: Final = ("parameters", "input_schema", "inputSchema", "schema")


def _failed(text: Text) -> bool:
    head = text.context[:200].lstrip().lower().replace(" ", "")
    return head.startswith(tuple(word.replace(" ", "") for word in _ERRORS))


PLUGIN: Final = Plugin(
    name="tool_call",
    summary="Tool calls that cannot work.",
    config=ToolCallConfig,
    build=ToolCall,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=outputs.VERDICTS,
)
