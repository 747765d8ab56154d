"""Where a page is looked for when nobody says; and the JSON that is gone once it was read."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from collector._pages.fault import Refused
from collector._pages.source import PagesSource
from collector.engines import TABLES
from collector.engines.config import EngineTarget
from collector.engines.paths import Paths
from watchkeeper.core.testkit.engine_pages import by_path, pages, status, value, vllm_page
from watchkeeper.core.vocabulary import engines

NOW = 1_000_000.0
NewSource = Callable[..., PagesSource]
TRTLLM = '# TYPE trtllm_num_requests_running gauge\ntrtllm_num_requests_running{model_name="m"} 3\n'
RECORDS = '[{"iter": 7, "iterLatencyMS": 3.5}]'


def test_the_page_of_trtllm_serve_is_found_without_touching_its_json(engine: Any, new_source: NewSource) -> None:
    engine.respond = by_path({"/prometheus/metrics": status(200, TRTLLM), "/metrics": status(200, RECORDS)})
    source = new_source(EngineTarget(url=engine.url))

    running = [value(source.read(NOW + 5 * turn), engines.RUNNING) for turn in range(3)]

    assert running == [3.0, 3.0, 3.0]
    assert engine.asked.count("/metrics") == 0


@pytest.mark.parametrize("given", ["", "/metrics"])
@pytest.mark.parametrize("records", [RECORDS, "[]"])
def test_json_that_reading_removes_is_read_once_and_the_operator_told(
    given: str, records: str, engine: Any, new_source: NewSource, ledger: Any, caplog: pytest.LogCaptureFixture
) -> None:
    engine.respond = by_path({"/metrics": status(200, records)})
    source = new_source(EngineTarget(url=engine.url + given))

    readings = [source.read(NOW + 5 * turn) for turn in range(4)]

    assert engine.asked.count("/metrics") == 1
    assert [value(reading, engines.ENGINE_FAULT, reason="off") for reading in readings] == [1.0] * 4
    assert pages(ledger, NOW)["off"] == 4.0
    [record] = caplog.records
    assert "return_perf_metrics" in record.getMessage()

    engine.respond = by_path({"/prometheus/metrics": status(200, TRTLLM), "/metrics": status(200, records)})
    assert value(source.read(NOW + 20), engines.RUNNING) == 3.0


def test_the_path_is_learnt_and_kept_over_trouble(engine: Any, new_source: NewSource) -> None:
    source = new_source(EngineTarget(url=engine.url))
    for turn, respond in enumerate(
        [status(200, vllm_page()), status(503), status(200, "[]"), status(200, vllm_page())]
    ):
        engine.respond = by_path({"/metrics": respond})
        last = source.read(NOW + 5 * turn)

    assert value(last, engines.ENGINE_UP) == 1.0
    assert engine.asked[:3] == ["/prometheus/metrics", "/metrics", "/metrics"]
    assert engine.asked[-1] == "/metrics"


def test_a_page_that_moved_is_found_again_in_the_same_scrape(engine: Any, new_source: NewSource) -> None:
    source = new_source(EngineTarget(url=engine.url))
    engine.respond = by_path({"/metrics": status(200, vllm_page())})
    source.read(NOW)
    engine.respond = by_path({"/v1/metrics": status(200, vllm_page())})

    assert value(source.read(NOW + 5), engines.ENGINE_UP) == 1.0


def test_a_server_that_errs_at_unknown_paths_is_still_asked_at_the_next(engine: Any, new_source: NewSource) -> None:
    for odd in (status(400), status(403), status(500), status(302, Location="/ui"), status(200, "<html>\n")):
        engine.respond = by_path({"/prometheus/metrics": odd, "/metrics": status(200, vllm_page())})

        assert value(new_source(EngineTarget(url=engine.url)).read(NOW), engines.ENGINE_UP) == 1.0


def test_whoever_answers_after_nobody_did_is_looked_at_anew() -> None:
    paths = Paths("/metrics", TABLES)
    assert paths.shun("/metrics", b" [1]") is not None
    assert "/metrics" not in paths.candidates()

    paths.forget()

    assert paths.candidates() == ("/metrics",)


def test_what_is_remembered_of_a_path_left_alone_does_not_hold_its_answer() -> None:
    paths = Paths("", TABLES)
    refused = paths.shun("/metrics", b"[]")
    assert refused is not None

    with pytest.raises(Refused):
        raise refused

    [kept] = paths.shunned()
    assert kept.detail == refused.detail
    assert kept.__traceback__ is None


def test_after_an_outage_the_path_of_the_json_is_asked_again(engine: Any, new_source: NewSource) -> None:
    source = new_source(EngineTarget(url=engine.url))
    [target] = source._targets
    patient = target.config
    up = []
    for turn, respond in enumerate(
        [by_path({"/metrics": status(200, RECORDS)}), engine.hang, by_path({"/metrics": status(200, vllm_page())})]
    ):
        engine.respond = respond
        hangs = respond == engine.hang
        target.config = msgspec.structs.replace(patient, timeout_seconds=0.3) if hangs else patient
        reading = source.read(NOW + 5 * turn)
        up.append((value(reading, engines.ENGINE_UP), value(reading, engines.ENGINE_FAULT, reason="timed_out")))

    assert up == [(0.0, None), (0.0, 1.0), (1.0, 0.0)]


def test_a_page_that_was_there_is_not_shunned_for_one_odd_answer() -> None:
    paths = Paths("", TABLES)
    paths.found("/metrics")

    assert paths.shun("/metrics", b"[]") is None
    assert paths.candidates()[0] == "/metrics"


def test_without_a_port_the_unreachable_engine_says_which_was_tried(
    new_source: NewSource, caplog: pytest.LogCaptureFixture
) -> None:
    new_source(EngineTarget(url="http://nowhere.invalid", timeout_seconds=50)).read(NOW)

    assert "`url` names none, so 80 was tried" in caplog.text
