"""What the configuration of an engine may say, and the secrets it names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collector._pages.source import PagesSource
from collector.engines import EngineTarget, build, poll_seconds
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.testkit.engine_pages import pages, value, vllm_page
from watchkeeper.core.vocabulary import engines

NOW = 1_000_000.0
NewSource = Callable[..., PagesSource]


def test_headers_and_a_renewed_token_are_sent(
    engine: Any, new_source: NewSource, answer: Any, ledger: Ledger, tmp_path: Path
) -> None:
    engine.respond = answer(vllm_page())
    token = tmp_path / "token"
    source = new_source(
        EngineTarget(url=f"{engine.url}/metrics", headers={"X-Team": "a"}, bearer_token_file=str(token))
    )

    up = []
    for turn, text in enumerate(["first\n", "second", "two\nlines", None]):
        token.write_text(text) if text else token.unlink()
        up.append(value(source.read(NOW + 5 * turn), engines.ENGINE_UP))

    assert up == [1.0, 1.0, 0.0, 0.0]
    assert pages(ledger, NOW)["not_permitted"] == 2.0
    assert [headers["authorization"] for headers in engine.headers] == ["Bearer first", "Bearer second"]
    assert engine.headers[0]["x-team"] == "a"


def test_the_same_engine_twice_and_an_unreadable_authority_are_told_together(ledger: Ledger, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none.pem")

    with pytest.raises(ConfigError) as refused:
        build(
            (
                EngineTarget(url="http://a:1"), EngineTarget(url="http://a:1/"),
                EngineTarget(url="https://b", ca_file=nowhere), EngineTarget(url="https://c", ca_file=__file__),
            ),
            ledger,
        )  # fmt: skip

    assert len(refused.value.problems) == 3
    assert "a:1 is listed 2 times" in str(refused.value)
    assert "engines[2].ca_file" in str(refused.value)


@pytest.mark.parametrize(
    "url", ["", "host:8000", "ftp://host", "http://", "http://host:0", "http://host:99999", "http://u:p@host"]
)
def test_an_address_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url must"):
        EngineTarget(url=url)


def test_an_engine_with_a_path_and_without_may_be_the_same_and_other_paths_are_not(ledger: Ledger) -> None:
    with pytest.raises(ConfigError, match="http:8000 is listed with /metrics and without a path"):
        build((EngineTarget(url="http://http:8000"), EngineTarget(url="http://http:8000/metrics")), ledger)

    models = (EngineTarget(url="http://a:1/metrics?model=x"), EngineTarget(url="http://a:1/metrics?model=y"))
    build(models, ledger).close()


def test_a_header_that_would_break_the_request_is_refused() -> None:
    for headers in ({"a": "b\r\nc: d"}, {"X Team": "a"}, {"X-Team:": "a"}, {"": "a"}):
        with pytest.raises(ValueError, match="headers"):
            EngineTarget(url="http://host", headers=headers)


def test_the_source_is_asked_often_enough_for_the_shortest_interval() -> None:
    assert poll_seconds((EngineTarget(url="http://a"),)) == 1.0
    assert poll_seconds((EngineTarget(url="http://a", interval_seconds=0.5), EngineTarget(url="http://b"))) == 0.25
