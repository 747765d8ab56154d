"""What a record tells of a call."""

from typing import Any

import pytest

from collector.otlp import facets
from watchkeeper.core.records import Completion, Text, Vantage

BOTH = {
    "text": (Text("hi", "ho"), facets.TEXT),
    "finish_reasons": (("stop",), facets.FINISH),
    "tool_names": (("look",), facets.TOOLS),
}
CLIENT = BOTH | {
    "duration_seconds": (0.0, facets.CLIENT_DURATION),
    "time_to_first_token_seconds": (0.0, facets.CLIENT_FIRST_TOKEN),
    "queue_seconds": (0.0, 0),
}
ENGINE = BOTH | {
    "duration_seconds": (0.0, facets.ENGINE_DURATION),
    "time_to_first_token_seconds": (0.0, facets.ENGINE_FIRST_TOKEN),
    "queue_seconds": (0.0, facets.ENGINE_PHASES),
    "prefill_seconds": (0.0, facets.ENGINE_PHASES),
    "decode_seconds": (0.0, facets.ENGINE_PHASES),
}


@pytest.mark.parametrize(("vantage", "table"), [(Vantage.CLIENT, CLIENT), (Vantage.ENGINE, ENGINE)])
def test_each_field_brings_its_facet_and_all_together_bring_all(
    vantage: Vantage, table: dict[str, tuple[Any, int]]
) -> None:
    whole = {field: value for field, (value, _) in table.items()}
    alone = {field: facets.of(Completion(0.0, vantage, **{field: value})) for field, value in whole.items()}

    assert facets.of(Completion(0.0, vantage)) == 0
    assert alone == {field: facet for field, (_, facet) in table.items()}
    assert facets.of(Completion(0.0, vantage, **whole)) == sum({facet for _, facet in table.values()})
