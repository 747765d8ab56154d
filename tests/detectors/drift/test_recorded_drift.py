"""Real traffic and real answers: quiet on themselves, awake on a real change."""

import csv
import gzip
import itertools
import json
import zlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from detectors.drift.bands import Floats
from detectors.drift.kinds import Kind
from detectors.drift.odds import horizon
from detectors.drift.packs import build
from detectors.drift.watch import Watch
from watchkeeper.core.testkit import recorded

DATA = recorded().parent / "data"
TRACES = sorted(DATA.glob("azure-*.csv.gz"))
ANSWERS = sorted(DATA.glob("alpaca-eval-*.jsonl.gz"))
MONTH = horizon(10.0)


def trace(path: Path) -> tuple[Floats, Floats, Floats]:
    """Seconds since the first request, prompt tokens, generated tokens."""
    with gzip.open(path, "rt") as file:
        rows = list(csv.reader(file))[1:]
    times = np.array([datetime.fromisoformat(row[0][:26]).replace(tzinfo=UTC).timestamp() for row in rows])
    return times - times[0], np.array([float(row[1]) for row in rows]), np.array([float(row[2]) for row in rows])


def style(path: Path) -> dict[str, Floats]:
    """Numbers that tell how an answer is written, not what it says."""
    with gzip.open(path, "rt") as file:
        texts = [json.loads(line)["response"] for line in file]
    return {
        "characters": np.array([float(len(text)) for text in texts]),
        "markup": np.array([sum(text.count(mark) for mark in "*#-`|") / (len(text) + 1) for text in texts]),
        "ratio": np.array([len(text.encode()) / len(zlib.compress(text.encode())) for text in texts]),
        "bold": np.array([text.count("**") / (len(text) + 1) for text in texts]),
    }


def alarms(watch: Watch, values: Floats, times: Floats) -> list[int]:
    found = []
    for place, (value, now) in enumerate(zip(values.tolist(), times.tolist(), strict=True)):
        watch.update(value, now)
        found += [place] * len(watch.crossings)
    return found


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
@pytest.mark.parametrize("column", [1, 2], ids=["prompt tokens", "generated tokens"])
def test_an_hour_of_real_traffic_gives_no_page_within_its_own_reference_nor_shuffled(path: Path, column: int) -> None:
    read = trace(path)
    times, values = read[0], read[column]
    pack = build("tokens", Kind.NUMBER, values, made_at=0.0, times=times)

    assert alarms(Watch(pack, 0.5, MONTH), values, times) == []
    assert alarms(Watch(pack, 0.5, MONTH), np.random.default_rng(1).permutation(values), times) == []


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
def test_prompts_that_grow_by_half_are_found_within_600_requests_at_the_median(path: Path) -> None:
    times, values, _ = trace(path)
    pack = build("prompt tokens", Kind.NUMBER, values, made_at=0.0, times=times)
    delays = []
    for start in range(1000, values.size - 4000, 1000):
        longer = np.concatenate([values[:start], values[start : start + 4000] * 1.5])
        found = [place - start for place in alarms(Watch(pack, 1.0, MONTH), longer, times[: longer.size])]
        assert found
        assert found[0] >= 0
        delays.append(found[0])

    assert np.median(delays) <= 600


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.name)
def test_fifty_shuffles_of_one_models_answers_stay_quiet(path: Path) -> None:
    chance = np.random.default_rng(2)
    signals = style(path)
    for values in signals.values():
        pack = build("style", Kind.NUMBER, values, made_at=0.0)
        watch = Watch(pack, 1 / len(signals), MONTH, tick_observations=10)
        stream = np.concatenate([chance.permutation(values) for _ in range(50)])

        assert alarms(watch, stream, np.arange(stream.size, dtype=np.float64)) == []


@pytest.mark.parametrize(
    ("before", "after"),
    list(itertools.permutations(ANSWERS, 2)),
    ids=lambda path: path.name.removeprefix("alpaca-eval-"),
)
def test_another_models_answers_are_found_within_300_on_some_signal(before: Path, after: Path) -> None:
    chance = np.random.default_rng(3)
    order, first = chance.permutation(805), []
    now = style(after)
    for name, values in style(before).items():
        pack = build("style", Kind.NUMBER, values, made_at=0.0)
        watch = Watch(pack, 1 / len(now), MONTH, tick_observations=10)
        quiet = alarms(watch, chance.permutation(values), np.arange(values.size, dtype=np.float64))
        found = alarms(watch, now[name][order], np.arange(order.size, dtype=np.float64) + values.size)
        assert quiet == []
        first += found[:1]

    assert min(first) < 300
