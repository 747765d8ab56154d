"""Promises of both detectors that the agent relies on."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detectors.drift.block import Block
from detectors.drift.kinds import Kind
from detectors.drift.packs import build
from detectors.drift.watch import Watch
from watchkeeper.core.interfaces import Detector

PACK = build("x", Kind.NUMBER, np.random.default_rng(1).normal(size=20_000), made_at=0.0)
Make = Callable[[], Detector]


@pytest.mark.parametrize(
    "make", [lambda: Watch(PACK, 0.5, 1000.0), lambda: Block(PACK, 0.5, 1000.0)], ids=["watch", "block"]
)
class TestDetector:
    def test_the_same_input_gives_the_same_verdicts(self, make: Make) -> None:
        values = np.random.default_rng(2).normal(0.2, 1.0, 2000).tolist()
        one, other = make(), make()

        said = [one.update(value, place * 0.1) for place, value in enumerate(values)]
        assert said == [other.update(value, place * 0.1) for place, value in enumerate(values)]
        assert len({verdict.score for verdict in said}) > 5

    def test_memory_and_state_do_not_grow_with_the_stream(self, make: Make) -> None:
        detector, chance = make(), np.random.default_rng(3)
        sizes = []
        for place in range(3000):
            counts = chance.multinomial(200, np.full(PACK.bins, 1 / PACK.bins)).tolist()
            detector.tick(counts, place * 10.0, place * 10.0)
            sizes.append(len(detector.state()))

        assert sizes[-1] <= max(sizes[:300]) + 64


def test_drift_reads_no_clock_no_file_and_no_unseeded_chance() -> None:
    folder = Path(sys.modules["detectors.drift"].__path__[0])
    text = "".join(path.read_text() for path in folder.glob("*.py"))

    for forbidden in ("import time", "import random", "datetime", "open(", "logging", "socket", "default_rng()"):
        assert forbidden not in text


def test_drift_needs_neither_scipy_nor_pandas() -> None:
    script = (
        "import sys, detectors.drift.watch, detectors.drift.block, detectors.drift.report, detectors.drift.distances"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", f"{script}; print(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout

    assert not {"scipy", "pandas"} & set(loaded.split())
