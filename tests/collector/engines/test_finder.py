"""An engine whose port nobody told is found on this machine, once, and then read as any other."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from collector._pages.source import PagesSource
from collector.engines import TABLES, problems, sglang, vllm
from collector.engines.config import EngineTarget
from collector.engines.doctor import Unusable, lines, look
from collector.engines.finder import Finder, ports
from collector.engines.table import Table
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Reading
from watchkeeper.core.testkit import free_port
from watchkeeper.core.testkit.engine_pages import pages, value, vllm_page
from watchkeeper.core.vocabulary import engines

NOW = 1_000_000.0
FIND = EngineTarget(find=True, timeout_seconds=60)


def listening_at(*given: int) -> tuple[Table, ...]:
    """The tables of vLLM and SGLang, as if these were their usual ports."""
    return tuple(
        msgspec.structs.replace(table, port=port) for table, port in zip((vllm.TABLE, sglang.TABLE), given, strict=True)
    )


@pytest.fixture
def searching(ledger: Ledger) -> Iterator[Callable[..., PagesSource]]:
    sources: list[PagesSource] = []

    def make(*given: int) -> PagesSource:
        sources.append(PagesSource([Finder(FIND, listening_at(*given), ledger)], 60.0))
        return sources[-1]

    yield make
    for source in sources:
        source.close()


def up(reading: Reading) -> list[tuple[str, object]]:
    """By port, "" where none is named."""
    return [
        (dict(sample.labels).get("server.port", ""), sample.value)
        for sample in reading.samples
        if sample.metric is engines.ENGINE_UP
    ]


def test_it_is_found_at_the_port_of_an_engine_that_it_is_not(
    engine: Any, answer: Any, searching: Callable[..., PagesSource]
) -> None:
    engine.respond = answer(vllm_page(running=2))

    reading = searching(free_port(), engine.port).read(NOW)

    assert value(reading, engines.RUNNING) == 2
    assert up(reading) == [(str(engine.port), 1.0)]


def test_until_it_listens_one_series_without_a_port_says_so_and_then_ends(
    engine: Any, answer: Any, searching: Callable[..., PagesSource], ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    engine.respond = answer("", status=404)
    nobody = free_port()
    source = searching(nobody, engine.port)

    before = [source.read(NOW), source.read(NOW + 5)]
    engine.respond = answer(vllm_page())
    after = source.read(NOW + 10)

    assert [up(reading) for reading in before] == [[("", 0.0)], [("", 0.0)]]
    assert pages(ledger, NOW)["off"] == 2.0
    assert [record.getMessage().partition(" at the ports")[0] for record in caplog.records] == [
        "no engine's page on this machine"
    ]
    assert f"{nobody}, {engine.port}, 80" in caplog.text
    [ended] = [gap for gap in after.gaps if gap.metric is engines.ENGINE_UP]
    assert (ended.labels, ended.is_one_series) == ((("server.address", "localhost"),), True)


def test_once_found_it_is_not_looked_for_again(
    new_engine: Callable[[], Any], answer: Any, searching: Callable[..., PagesSource]
) -> None:
    first, second = new_engine(), new_engine()
    second.respond = answer(vllm_page())
    source = searching(first.port, second.port)
    source.read(NOW)
    first.respond, second.respond = answer(vllm_page()), answer("", status=500)
    first.asked.clear()

    reading = source.read(NOW + 5)

    assert (up(reading), first.asked) == ([(str(second.port), 0.0)], [])


def test_of_two_engines_the_one_of_the_first_table_is_read(
    new_engine: Callable[[], Any], answer: Any, searching: Callable[..., PagesSource]
) -> None:
    first, second = new_engine(), new_engine()
    first.respond = second.respond = answer(vllm_page())

    assert up(searching(first.port, second.port).read(NOW)) == [(str(first.port), 1.0)]


def test_an_interval_lies_between_two_searches_and_before_the_second_read(
    engine: Any, answer: Any, searching: Callable[..., PagesSource]
) -> None:
    source = searching(free_port(), engine.port)
    source.read(NOW)
    asked = len(engine.asked)

    source.read(NOW + 4)
    assert len(engine.asked) == asked
    engine.respond = answer(vllm_page())
    source.read(NOW + 5)
    asked = len(engine.asked)
    source.read(NOW + 6)
    assert len(engine.asked) == asked


def test_the_doctor_reads_what_is_found_and_says_where_else_it_looked(engine: Any, answer: Any) -> None:
    tables = listening_at(free_port(), engine.port)

    [absent] = look([Finder(FIND, tables, Ledger())])
    engine.respond = answer(vllm_page())
    [found] = look([Finder(FIND, tables, Ledger())])

    assert isinstance(absent, Unusable)
    assert next(lines(absent)).startswith("! http://localhost: no engine's page on this machine at the ports")
    assert next(lines(found)).startswith(f"http://localhost:{engine.port}: vLLM")


def test_an_engine_whose_page_is_off_is_told_rather_than_ports_where_nobody_answers(engine: Any) -> None:
    def off(handler: Any) -> None:
        handler.send_response(404)
        handler.end_headers()
        handler.wfile.write(marked.off_mark)

    marked = next(table for table in TABLES if table.off_mark)
    engine.respond = off
    tables = (msgspec.structs.replace(marked, port=free_port()), msgspec.structs.replace(vllm.TABLE, port=engine.port))

    [absent] = look([Finder(FIND, tables, Ledger())])

    assert isinstance(absent, Unusable)
    assert marked.switch_on in absent.detail


def test_every_known_engines_port_is_tried_once_and_that_of_images() -> None:
    tried = ports(TABLES)

    assert set(tried) == {table.port for table in TABLES} | {80}
    assert len(tried) == len(set(tried))


def test_a_url_wins_over_looking_for_it() -> None:
    assert not EngineTarget(url="http://a:1", find=True).is_looked_for


def test_looking_for_it_twice_is_refused() -> None:
    assert problems((FIND, FIND)) == (
        "engines: `find` without a url is listed several times and would find the same engine; keep one",
    )


def test_what_else_is_said_of_it_follows_the_same_rules() -> None:
    with pytest.raises(ValueError, match="url must begin with https"):
        EngineTarget(find=True, ca_file="ca.pem")


@pytest.mark.parametrize("secret", [{"bearer_token_file": "token"}, {"headers": {"X-Key": "1"}}])
def test_what_may_be_secret_is_not_offered_to_whoever_listens(secret: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give `url`"):
        EngineTarget(find=True, **secret)
