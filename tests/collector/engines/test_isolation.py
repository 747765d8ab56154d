"""One engine holds up no other, whatever it does; nor does a mistake of ours in it."""

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from collector._pages.source import PagesSource
from collector.engines import EngineTarget
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Reading
from watchkeeper.core.testkit.engine_pages import llama_page, pages, value, vllm_page
from watchkeeper.core.vocabulary import engines

NOW = 1_000_000.0
NewSource = Callable[..., PagesSource]


def pages_read(source: PagesSource, until: Callable[[], bool]) -> int:
    """How many came, at least three, until something is so."""
    pages = turn = 0
    end = time.monotonic() + 60
    while pages < 3 or not until():
        assert time.monotonic() < end, pages
        pages += source.read(NOW + 5 * turn).items
        turn += 1
    return pages


def test_an_engine_that_hangs_holds_up_no_other(new_engine: Any, new_source: NewSource, answer: Any) -> None:
    well, hung = new_engine(), new_engine()
    well.respond = answer(vllm_page())
    hung.respond = hung.hang
    source = new_source(
        EngineTarget(url=hung.url, timeout_seconds=50), EngineTarget(url=well.url), patience_seconds=0.05
    )

    assert pages_read(source, until=lambda: bool(hung.asked)) >= 3
    assert len(hung.asked) == 1


def test_a_page_that_comes_late_is_brought_by_a_later_read(engine: Any, new_source: NewSource, answer: Any) -> None:
    release = threading.Event()

    def late(handler: BaseHTTPRequestHandler) -> None:
        release.wait(60)
        answer(vllm_page())(handler)

    engine.respond = late
    source = new_source(EngineTarget(url=engine.url, path="/metrics", timeout_seconds=50), patience_seconds=0.05)
    assert source.read(NOW) == Reading()

    release.set()
    reading = Reading()
    while not reading.items:
        reading = source.read(NOW + 1)

    assert value(reading, engines.RUNNING) == 2.0
    assert len(engine.asked) == 1


def test_after_close_nothing_is_read_and_no_socket_is_left(engine: Any, new_source: NewSource) -> None:
    engine.respond = engine.hang
    source = new_source(EngineTarget(url=engine.url, timeout_seconds=50), patience_seconds=0.05)
    source.read(NOW)

    source.close()
    source.close()

    assert source.read(NOW + 5) == Reading()


def test_our_own_mistake_in_one_engine_stays_there(
    new_engine: Any, new_source: NewSource, answer: Any, monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    well, ill = new_engine(), new_engine()
    well.respond, ill.respond = answer(vllm_page()), answer(llama_page())
    monkeypatch.setattr("collector.engines.target.names_model", lambda _page, table: 1 // (table.name == "vllm"))
    source = new_source(EngineTarget(url=ill.url), EngineTarget(url=well.url))

    reading = source.read(NOW)

    assert value(reading, engines.ENGINE_UP, server_port=str(well.port)) == 1.0
    assert value(reading, engines.ENGINE_UP, server_port=str(ill.port)) == 0.0
    assert pages(ledger, NOW) == {"received": 2.0, "accepted": 1.0, "internal": 1.0}


def test_a_name_server_that_hangs_holds_up_no_other_engine_and_no_shutdown(
    engine: Any, new_source: NewSource, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = socket.getaddrinfo

    def hang_for_one(host: str, *arguments: Any, **options: Any) -> Any:
        asked.append(host)
        if host == "hung.invalid":
            engine.released.wait(60)
        return ask("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang_for_one)
    engine.respond = answer(vllm_page())
    hung = [EngineTarget(url="http://hung.invalid:1", path=f"/{n}", timeout_seconds=0.1) for n in range(40)]
    source = new_source(
        *hung, EngineTarget(url=f"http://well.invalid:{engine.port}", timeout_seconds=50), patience_seconds=0.2
    )

    assert pages_read(source, until=lambda: "hung.invalid" in asked) >= 3
    closing = threading.Thread(target=source.close, daemon=True)
    closing.start()
    closing.join(60)

    assert not closing.is_alive()
    assert asked.count("hung.invalid") == 1


def test_each_page_is_a_step_of_the_read_and_says_what_was_wrong(
    new_engine: Any, new_source: NewSource, answer: Any, ledger: Ledger
) -> None:
    well, ill = new_engine(), new_engine()
    well.respond, ill.respond = answer(vllm_page()), answer("<html>", 500)
    source = new_source(EngineTarget(url=well.url), EngineTarget(url=ill.url))
    ledger.steps.keep(share=1.0, slow_seconds=3600.0)

    with ledger.steps.timed("read engines"):
        source.read(NOW)
    [read] = ledger.steps.drain()

    failures = {dict(step.attributes)["server.port"]: step.failure for step in read.inner}
    assert failures == {well.url.rpartition(":")[2]: "", ill.url.rpartition(":")[2]: "server_error"}
