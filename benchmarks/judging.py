"""
The whole pipeline in its own thread: CPU of a completion of 1 kB + 1 kB with everything on, and memory of 200 streams.

.venv/bin/python -m benchmarks.judging   (half a minute)
"""

import gc
import multiprocessing
import random
import time
from typing import Any

import msgspec
import numpy as np

from detectors.drift import packs
from detectors.drift.kinds import Kind
from watchkeeper.agent import config as configuration
from watchkeeper.agent import registry
from watchkeeper.agent.drift.drift import Drift
from watchkeeper.agent.drift.judge import Judge
from watchkeeper.agent.drift.streams import segment_of, values_of
from watchkeeper.agent.process import resident_bytes
from watchkeeper.agent.references.observations import Wanted, gather
from watchkeeper.agent.references.proposals import propose
from watchkeeper.agent.replay.rehearsal import Fixed, rows
from watchkeeper.agent.wiring import Judges, judges, wire
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Segment
from watchkeeper.core.records import Completion, Reading, Text

_CALLS = 4000
_PER_SECOND = 50
_START = 1.7e9
_SENTENCES = (
    "The harbour was rebuilt after the storm of 1953, and the old quay became a market.",
    "Please list three reasons why the committee might refuse the plan, with numbers.",
    "Water boils at a lower temperature where the air is thinner.",
    "他说，明天上午九点在图书馆门口见面，不要迟到。",
    "| year | visitors |\n|---|---|\n| 2019 | 1,204 |\n| 2020 | 311 |",
    "I think that the second paragraph repeats what the first one says already.",
    "def area(width, height):\n    return width * height",
    "Several readers wrote to us that the map on page four is out of date.",
)


def _text(chance: random.Random, size: int) -> str:
    parts: list[str] = []
    length = 0
    while length < size:
        part = chance.choice(_SENTENCES)
        parts.append(f"{part} {chance.randrange(1000)}")
        length += len(part.encode()) + 5
    return " ".join(parts)


def _calls(seed: int) -> list[Completion]:
    chance = random.Random(seed)
    return [
        Completion(
            at=_START + place / _PER_SECOND,
            namespace="shop",
            service="chat",
            request_model="qwen",
            duration_seconds=chance.lognormvariate(0, 0.5),
            time_to_first_token_seconds=chance.lognormvariate(-2, 0.5),
            input_tokens=int(chance.lognormvariate(5.5, 0.5)),
            output_tokens=int(chance.lognormvariate(5, 0.5)) + 2,
            finish_reasons=("stop",),
            max_output_tokens=1024,
            trace_id=chance.randbytes(16),
            span_id=chance.randbytes(8),
            text=Text(_text(chance, 1000), _text(chance, 1000)),
        )
        for place in range(_CALLS)
    ]


def _config() -> Any:
    parts = registry.sources(), registry.exporters(), registry.signals(), registry.checks()
    return configuration.load(None, {}, configuration.root_type(*parts))


def _cpu_us(config: Any, found: Judges, drift: Drift | None, calls: list[Completion]) -> float:
    """Microseconds a completion, ticks included."""
    pipeline = wire(config, found, drift, Ledger(), [lambda _batch: None], is_tapped=False).pipeline
    pipeline.tick(_START)
    next_tick = _START + config.tick_seconds
    gc.collect()
    started = time.thread_time()
    for start in range(0, len(calls), 25):
        part = tuple(calls[start : start + 25])
        now = part[-1].at
        pipeline.accept("otlp", Reading(completions=part, items=len(part)), now)
        while now >= next_tick:
            pipeline.tick(next_tick)
            next_tick += config.tick_seconds
    return (time.thread_time() - started) / len(calls) * 1e6


def _drift(active: Fixed) -> Drift:
    return Drift(active, None, None, Ledger(), now=_START, days=30.0, tick_seconds=10.0, max_segments=64)


def pipeline_table() -> None:
    config, normal, calls = _config(), _calls(1), _calls(2)
    found = judges(config, registry.signals(), registry.checks(), Ledger(), [])
    nothing = Judges((), ())
    made = propose(gather(rows(normal, found), Wanted()), packs.Plan(), {}, _START)
    active = Fixed({one.key: one.made for one in made if isinstance(one.made, packs.Pack)})
    bare = [msgspec.structs.replace(call, text=None) for call in calls]
    variants = (
        ("series alone, no text", nothing, None, bare),
        (f"the same, {len(found.watched)} signals and causes", Judges(found.watched, ()), None, bare),
        (f"the same, text and {len(found.running)} checks", found, None, calls),
        (f"the same, {len(active.active())} streams of drift: everything on", found, active, calls),
    )
    measured: dict[str, list[float]] = {name: [] for name, *_ in variants}
    for _ in range(3):
        for name, judged, fixed, given in variants:
            measured[name].append(_cpu_us(config, judged, _drift(fixed) if fixed else None, given))
    print("| 1 kB + 1 kB, 50 completions a second, ticks included | us a completion, median of 3 (range) |\n|---|---|")
    for name, figures in measured.items():
        print(f"| {name} | {np.median(figures):.0f} ({min(figures):.0f} - {max(figures):.0f}) |")
    assert segment_of(calls[0]).text in {segment for segment, _ in active.active()}
    assert values_of(calls[0], ())


def _judged(data: list[bytes], keys: list[tuple[str, str]], answer: Any) -> None:
    """In a process of its own, so that nothing is counted but what judging holds."""
    chance = np.random.default_rng(2)
    packs.decode(data[0])
    gc.collect()
    before = resident_bytes()
    judge = Judge(30.0, 10.0)
    judge.use({key: packs.decode(one) for key, one in zip(keys, data, strict=True)})
    for tick in range(40):
        for key in keys:
            stream = judge.stream(key)
            assert stream is not None
            for value in chance.random(20) < 0.02 if stream.pack.kind is Kind.FLAG else chance.lognormal(5, 0.6, 20):
                stream.add(float(value))
        judge.tick(_START + tick * 10, _START + tick * 10 + 10)
    gc.collect()
    answer.put(resident_bytes() - before)


def memory_table() -> None:
    chance = np.random.default_rng(1)
    times = (np.arange(10_000) * 3.0).tolist()
    keys = [(Segment("shop", f"s{place}", "m").text, "x") for place in range(200)]
    context = multiprocessing.get_context("spawn")
    print("\n| 200 streams, references of 10,000 observations, 40 ticks of history | resident MB |\n|---|---|")
    for kind in (Kind.FLAG, Kind.NUMBER):
        data = []
        for segment, _ in keys:
            values = chance.random(10_000) < 0.02 if kind is Kind.FLAG else chance.lognormal(5, 0.6, 10_000)
            one = packs.build("x", kind, values.astype(float), made_at=0.0, times=times, segment=segment)
            data.append(one.encode())
        answer = context.Queue()
        child = context.Process(target=_judged, args=(data, keys, answer))
        child.start()
        print(f"| {kind.value}s | {answer.get() / 1e6:.1f} |")
        child.join()


if __name__ == "__main__":
    pipeline_table()
    memory_table()
