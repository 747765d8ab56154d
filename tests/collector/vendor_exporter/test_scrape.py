"""Reading exporters over HTTP: what works, and what each fault looks like."""

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from collector.vendor_exporter import PLUGIN, build, problems
from collector.vendor_exporter.config import ExporterTarget
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Reading
from watchkeeper.core.vocabulary import device_exporters as vocabulary
from watchkeeper.core.vocabulary import devices, health

GPU = 'gpu="0",UUID="GPU-a",Hostname="n1"'
PAGE = f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}} 40\nDCGM_FI_DEV_GPU_UTIL{{{GPU}}} 50\nDCGM_FI_DEV_SOMETHING{{{GPU}}} 3\n"


def value(reading: Reading, metric: Any, **labels: str) -> float | None:
    wanted = {(name.replace("_", "."), text) for name, text in labels.items()}
    found = [one.value for one in reading.samples if one.metric == metric and wanted <= set(one.labels)]
    assert len(found) <= 1
    return found[0] if found else None  # type: ignore[return-value]


def test_a_page_becomes_device_metrics(exporter: Any, page: Any, new_source: Any) -> None:
    exporter.respond = page(PAGE)
    reading = new_source(ExporterTarget(exporter.url)).read(1000.0)

    assert exporter.paths == ["/metrics"]
    assert value(reading, devices.UTILIZATION, hw_id="GPU-a", hw_vendor="nvidia") == 0.5
    assert value(reading, vocabulary.EXPORTER_UP, server_port=str(exporter.port)) == 1
    assert value(reading, vocabulary.UNMAPPED) == 1
    assert reading.items == 1


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("<html>hello</html>", 200, "html"),
        ('{"a": 1}', 200, "json"),
        ("", 200, "malformed"),
        ("vllm:num_requests_running 1\n", 200, "unknown_engine"),
        (PAGE[:-30], 200, "truncated"),
        ("no", 401, "not_permitted"),
        ("no", 404, "off"),
        ("no", 500, "server_error"),
        ("no", 302, "redirected"),
        ("no", 418, "http_error"),
    ],
)
def test_what_is_no_page_of_an_exporter(
    exporter: Any, page: Any, new_source: Any, body: str, status: int, reason: str
) -> None:
    exporter.respond = page(body, status)
    reading = new_source(ExporterTarget(exporter.url)).read(1000.0)

    assert value(reading, vocabulary.EXPORTER_UP) == 0
    assert value(reading, vocabulary.EXPORTER_FAULT, reason=reason) == 1
    assert {gap.metric for gap in reading.gaps} == {vocabulary.UNMAPPED, vocabulary.SILENT}
    assert reading.items == 0


def test_a_page_that_is_too_large_is_refused(exporter: Any, page: Any, new_source: Any) -> None:
    exporter.respond = page(PAGE * 100)
    reading = new_source(ExporterTarget(exporter.url, max_page_bytes=2048)).read(1000.0)

    assert value(reading, vocabulary.EXPORTER_FAULT, reason="too_large") == 1


def test_an_exporter_that_hangs_is_given_up(exporter: Any, new_source: Any) -> None:
    exporter.respond = lambda _handler: time.sleep(1.0)
    reading = new_source(ExporterTarget(exporter.url, timeout_seconds=0.1)).read(1000.0)

    assert value(reading, vocabulary.EXPORTER_FAULT, reason="timed_out") == 1


def test_nobody_there_and_back_again(
    exporter: Any, page: Any, new_source: Any, caplog: pytest.LogCaptureFixture, ledger: Ledger
) -> None:
    caplog.set_level(logging.INFO)
    source = new_source(ExporterTarget(exporter.url))
    exporter.respond = page(PAGE)
    source.read(1000.0)
    exporter.respond = page("broken", 500)
    down, *_ = [source.read(now) for now in (1015.0, 1030.0, 1045.0)]
    exporter.respond = page(PAGE)
    back = source.read(1060.0)

    assert value(down, devices.UP, hw_id="GPU-a") == 0
    assert value(back, devices.UP, hw_id="GPU-a") == 1
    assert value(back, vocabulary.EXPORTER_FAULT, reason="server_error") == 0
    told = [record.getMessage() for record in caplog.records if "answers 500" in record.getMessage()]
    assert len(told) == 1
    assert any("is back" in record.getMessage() for record in caplog.records)
    counts = {(one.metric, dict(one.labels).get("reason", "")): one.value for one in ledger.drain(0.0)}
    assert counts[(health.RECEIVED, "")] == 5
    assert counts[(health.ACCEPTED, "")] == 2
    assert counts[(health.REJECTED, "server_error")] == 3


def test_numbers_that_are_too_old_make_a_device_silent(
    exporter: Any, page: Any, new_source: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def npu(card: int, at: float) -> str:
        return f'npu_chip_info_power{{id="{card}",vdie_id="D{card}"}} 90 {at * 1000:.0f}\n'

    now = 1_763_772_000.0
    source = new_source(ExporterTarget(exporter.url, stale_after_seconds=60.0))
    exporter.respond = page(npu(0, now) + npu(1, now))
    source.read(now)
    exporter.respond = page(npu(0, now + 300) + npu(1, now))
    reading = source.read(now + 300)

    assert value(reading, devices.UP, hw_id="D0") == 1
    assert value(reading, devices.UP, hw_id="D1") == 0
    assert value(reading, devices.POWER, hw_id="D1") is None
    assert value(reading, vocabulary.SILENT) == 1
    assert (devices.POWER, "D1") in {(gap.metric, dict(gap.labels).get("hw.id")) for gap in reading.gaps}
    assert len([record for record in caplog.records if "older than 60 s" in record.getMessage()]) == 1


def test_a_device_with_some_new_numbers_is_not_silent(exporter: Any, page: Any, new_source: Any) -> None:
    now = 1_763_772_000.0
    card = 'id="0",vdie_id="D0"'
    exporter.respond = page(
        f"npu_chip_info_power{{{card}}} 90 {now * 1000:.0f}\n"
        f"npu_chip_info_temperature{{{card}}} 50 {(now - 900) * 1000:.0f}\n"
    )
    reading = new_source(ExporterTarget(exporter.url)).read(now)

    assert value(reading, devices.UP, hw_id="D0") == 1
    assert (value(reading, devices.POWER), value(reading, devices.TEMPERATURE)) == (90, None)
    assert value(reading, vocabulary.SILENT) == 0


def test_a_token_from_a_file_and_headers_are_sent(exporter: Any, page: Any, new_source: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    exporter.respond = page(PAGE)
    new_source(
        ExporterTarget(exporter.url, path="federate", bearer_token_file=str(token), headers={"X-Scope": "a"})
    ).read(1000.0)

    assert exporter.paths == ["/federate"]
    assert (exporter.headers[0]["authorization"], exporter.headers[0]["x-scope"]) == ("Bearer secret", "a")


def test_a_token_that_cannot_be_read(exporter: Any, new_source: Any, tmp_path: Path) -> None:
    target = ExporterTarget(exporter.url, bearer_token_file=str(tmp_path / "absent"))
    reading = new_source(target).read(1000.0)

    assert value(reading, vocabulary.EXPORTER_FAULT, reason="not_permitted") == 1
    assert exporter.paths == []


def test_each_exporter_at_its_own_pace(exporter: Any, page: Any, new_source: Any) -> None:
    exporter.respond = page(PAGE)
    source = new_source(ExporterTarget(exporter.url, interval_seconds=15.0))
    for now in (1000.0, 1005.0, 1014.0, 1015.0):
        source.read(now)

    assert len(exporter.paths) == 2


def test_what_is_wrong_with_the_configuration() -> None:
    twice = (ExporterTarget("http://node:9400"), ExporterTarget("http://node:9400/metrics"))
    absent = ExporterTarget("https://node:9400", ca_file="/absent.pem")

    assert problems(twice) == (
        "vendor_exporter: node:9400/metrics is listed 2 times and would count as often; keep one",
    )
    assert problems((absent,))[0].startswith("vendor_exporter[0].ca_file: /absent.pem:")
    with pytest.raises(ConfigError):
        build(twice, Ledger())
    for url in ("node:9400", "ftp://node", "http://", "http://u:p@node:1"):
        with pytest.raises(ValueError, match="url must"):
            ExporterTarget(url)


def test_doctor_says_what_it_finds(exporter: Any, page: Any) -> None:
    exporter.respond = page(PAGE)
    lines = PLUGIN.probe((ExporterTarget(exporter.url, timeout_seconds=60),))
    exporter.respond = page("no", 404)
    [refused] = PLUGIN.probe((ExporterTarget(exporter.url, timeout_seconds=60),))

    assert "dcgm-exporter (NVIDIA), 1 devices, 0 of them in pods; 2 metrics, 2 series mapped, 1 not" in lines[0]
    assert any("hw.power" in line for line in lines)
    assert any("what `accelerators` reads of nvidia devices counts" in line for line in lines)
    assert refused.startswith("! ")


def test_a_page_is_a_step_of_the_read_and_says_what_was_wrong(
    exporter: Any, page: Any, new_source: Any, ledger: Ledger
) -> None:
    exporter.respond = page("no", 401)
    ledger.steps.keep(share=1.0, slow_seconds=3600.0)

    with ledger.steps.timed("read vendor_exporter"):
        new_source(ExporterTarget(exporter.url)).read(1000.0)
    [read] = ledger.steps.drain()

    assert [(step.name, step.failure) for step in read.inner] == [("scrape", "not_permitted")]
    assert dict(read.inner[0].attributes) == {"server.address": "127.0.0.1", "server.port": str(exporter.port)}
