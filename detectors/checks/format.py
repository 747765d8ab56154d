"""
An answer that does not have the form that was asked for: JSON, or JSON that fits a schema.

Exact where the request says so (`response_format`, `format`, an output type of JSON); JSON in a Markdown fence is
unwrapped and counted as its own kind. Without such a request an answer that is one fenced or bare JSON document is
parsed all the same: `format` then says whether it is whole. Misses requirements that only the prompt's words make, and
says nothing of answers longer than 64 kB. A schema that cannot be compiled is counted as such and checks no more.
"""

from collections import OrderedDict
from typing import Any, Final

import msgspec

from detectors.checks._schemas import compiled
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import HEAD_CHARACTERS, Prepared
from watchkeeper.core.records import Flag, Score
from watchkeeper.core.vocabulary import outputs

_SCHEMAS: Final = 64
_ANY: Final = "{}"


class FormatConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """JSON and JSON Schema."""

    enabled: bool = True
    """exact, and only where JSON was asked for or given"""


class Format:
    """Keeps 64 compiled schemas, those used last."""

    def __init__(self, _: FormatConfig, __: Ledger) -> None:
        self._schemas: OrderedDict[str, Any] = OrderedDict()

    def score(self, call: Prepared) -> tuple[Score, ...]:
        schema, answer = call.text.schema, call.answer.strip()
        if not answer or len(call.text.answer) > HEAD_CHARACTERS or "length" in call.completion.finish_reasons:
            return ()
        is_fenced, body = unfenced(answer)
        if not schema and not (body[:1] in ("{", "[") and (is_fenced or body[-1:] in ("}", "]"))):
            return ()
        kinds = ["fenced"] if is_fenced and schema else []
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            kinds.append("not_json")
        else:
            if schema and schema != _ANY and (mistake := self._misfit(schema, value)):
                kinds.append(mistake)
        return (Flag("format", tuple((kind, 1) for kind in kinds)),)

    def _misfit(self, schema: str, value: object) -> str:
        if schema not in self._schemas:
            self._schemas[schema] = compiled(schema)
            if len(self._schemas) > _SCHEMAS:
                self._schemas.popitem(last=False)
        self._schemas.move_to_end(schema)
        validator = self._schemas[schema]
        if validator is None:
            return "schema_unusable"
        return "" if validator.is_valid(value) else "schema"


def unfenced(answer: str) -> tuple[bool, str]:
    """
    Whether the answer is one Markdown fence, and what is in it.

    >>> unfenced("```json\\n{}\\n```")
    (True, '{}')
    """
    if not (answer.startswith("```") and answer.endswith("```") and len(answer) > 6):
        return False, answer
    return True, answer[3:-3].partition("\n")[2].strip()


PLUGIN: Final = Plugin(
    name="format",
    summary="An answer that does not have the form that was asked for: JSON, or JSON that fits a schema.",
    config=FormatConfig,
    build=Format,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=outputs.VERDICTS,
)
