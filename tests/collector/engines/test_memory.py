"""A refused page is freed as soon as it is refused, by reference counts alone: the collector of cycles runs seldom."""

import gzip
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

MIB = 1 << 20
PAGES = 20
PROGRAM = """
import gc, sys
from pathlib import Path
from collector.engines import TABLES, EngineTarget
from collector._pages.source import PagesSource
from collector.engines.target import Target
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import health

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

ledger = Ledger()
target = EngineTarget(url=sys.argv[1], interval_seconds=1.0, timeout_seconds=float(sys.argv[3]))
source = PagesSource([Target(target, TABLES, ledger)], 60.0)
gc.disable()
now, reasons, sizes = 0.0, [], []
for _ in range(2 + int(sys.argv[2])):
    source.read(now := now + 2)
    counts = ((dict(sample.labels), sample.value) for sample in ledger.drain(now) if sample.metric == health.REJECTED)
    reasons += [labels["reason"] for labels, value in counts if value]
    sizes.append(resident())
print(*sorted(set(reasons)), len(reasons), sizes[-1] - sizes[1])
"""


def breaks_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(8 * MIB))
    handler.end_headers()
    handler.wfile.write(b"#" * (6 * MIB))


def refused(engine: Any, timeout_seconds: float) -> tuple[str, int, int]:
    """The reasons said in another process, how many pages were refused, and the bytes it grew by."""
    command = [sys.executable, "-c", PROGRAM, f"{engine.url}/metrics", str(PAGES), str(timeout_seconds)]
    reason, count, grown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return reason, int(count), int(grown)


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        ("too_large", lambda answer: answer(b"#" * (9 * MIB))),
        ("too_large", lambda answer: answer(gzip.compress(bytes(64 * MIB)), Content_Encoding="gzip")),
        ("malformed", lambda answer: answer(b"x" * (6 * MIB) + b"\n")),
        ("malformed", lambda answer: answer(b"\xff" * (6 * MIB), Content_Encoding="gzip")),
        ("truncated", lambda _: breaks_off),
    ],
    ids=["too large", "bomb", "no page", "no gzip", "breaks off"],
)
def test_refused_pages_leave_nothing_behind(engine: Any, answer: Any, reason: str, make: Callable[[Any], Any]) -> None:
    engine.respond = make(answer)

    said, count, grown = refused(engine, timeout_seconds=30)

    assert (said, count) == (reason, PAGES + 2)
    assert grown < 32 * MIB


def test_pages_that_stop_half_way_leave_nothing_behind(engine: Any) -> None:
    def stops(handler: BaseHTTPRequestHandler) -> None:
        breaks_off(handler)
        engine.hang(handler)

    engine.respond = stops

    said, count, grown = refused(engine, timeout_seconds=0.3)

    assert (said, count) == ("timed_out", PAGES + 2)
    assert grown < 32 * MIB
