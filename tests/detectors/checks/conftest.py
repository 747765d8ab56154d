from collections.abc import Callable
from typing import Any

import pytest

from detectors import checks
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Category, Completion, Flag, Number, Score, Text

Said = dict[str, Any]
"""name of the score to its hits; with a `=` before it to its number or category"""


def build(name: str, **settings: object) -> Any:
    plugin = next(plugin for plugin in checks.PLUGINS if plugin.name == name)
    return plugin.build(plugin.config(**settings), Ledger())


def shown(scores: tuple[Score, ...]) -> Said:
    said: Said = {}
    for score in scores:
        if isinstance(score, Flag):
            said[score.name] = dict(score.hits)
        elif isinstance(score, Number | Category):
            said[score.name.replace("watchkeeper.output.", "=")] = score.value
    return said


@pytest.fixture
def look() -> Callable[..., Said]:
    """What a check says of an answer: `look("refusal", "No.", prompt="Why?", text={...}, config={...}, tokens=3)`."""

    def look(
        name: str,
        answer: str,
        prompt: str = "",
        text: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
        **completion: Any,
    ) -> Said:
        call = Completion(at=0.0, text=Text(prompt, answer, **(text or {})), **completion)
        return shown(build(name, **(config or {})).score(Prepared(call)))

    return look


@pytest.fixture
def of() -> Callable[[str, Completion], Said]:
    """What a check says of a whole record."""
    return lambda name, completion: shown(build(name).score(Prepared(completion)))


@pytest.fixture
def prose() -> dict[str, str]:
    return {
        "english": "The committee met on Thursday and talked about the budget for the coming year. Nobody was quite "
        "happy with the figures, but most agreed that a smaller surplus was better than none at all.",
        "chinese": "委员会在星期四开会讨论了明年的预算。虽然没有人对这些数字完全满意，"
        "但大多数人都同意，有一点盈余总比没有好。",
    }
