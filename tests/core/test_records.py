import inspect
import re

import msgspec
import pytest

from watchkeeper.core import records
from watchkeeper.core.records import Completion, Text

RECORDS = [
    kind for _, kind in inspect.getmembers(records, inspect.isclass)
    if kind.__module__ == records.__name__ and issubclass(kind, msgspec.Struct)
]  # fmt: skip


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_what_crosses_a_stage_is_frozen_and_holds_no_dict(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen
    annotations = {name: str(kind) for name, kind in kind.__annotations__.items()}
    assert not [name for name, said in annotations.items() if re.search(r"\bdict\b", said, re.IGNORECASE)]


def test_a_completion_never_shows_its_text() -> None:
    call = Completion(at=1.0, text=Text("a secret question", "a secret answer"))

    assert "secret" not in repr(call) + str(call) + f"{call.text}"
