"""
Processor milliseconds to parse and map the metrics page of an engine, beside prometheus_client parsing the same bytes.

python -m benchmarks.scrape [PAGE]

Without a file it makes a page of the shape of a large vLLM: several engine cores, all families, buckets up to a context
of a million tokens. The client's parser only parses; ours is given once alone and once with all that a scrape does:
which engine it is, the mapping, and the increments since the page before.
"""

import gc
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from collector._pages.page import parse
from collector.engines import TABLES
from collector.engines.deltas import Deltas
from collector.engines.mapping import samples
from collector.engines.recognise import observe_all, recognise
from collector.engines.vllm import ROWS
from watchkeeper.core.metric import Kind

ROUNDS = 25
CORES = 8
MAX_SERIES = 100_000
SECONDS = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
           1920.0, 7680.0)  # fmt: skip
TOKENS = tuple(float(digit * 10**power) for power in range(6) for digit in (1, 2, 5))
FINISH = ("stop", "length", "abort", "error", "repetition")
MODEL = "Qwen/Qwen3-235B-A22B-Instruct-2507"


def large_page(chance: random.Random) -> bytes:
    """Every family that a row of vLLM's table knows, and as many again that none does, for each engine core."""
    lines: list[str] = []
    for number, name in enumerate(dict.fromkeys(source.name for row in ROWS for source in row.sources)):
        kind = next(row.metric.kind for row in ROWS if any(source.name == name for source in row.sources))
        for spelled in (name, f"vllm:not_mapped_{number}"):
            lines += [f"# HELP {spelled} What it is, in a sentence of usual length.", f"# TYPE {spelled} {kind.value}"]
            lines += family(chance, spelled, kind)
    return ("\n".join(lines) + "\n").encode()


def family(chance: random.Random, name: str, kind: Kind) -> Iterator[str]:
    for core in range(CORES):
        labels = f'engine="{core}",model_name="{MODEL}"'
        if kind is Kind.HISTOGRAM:
            yield from histogram(chance, name, labels)
        elif "success" in name:
            for reason in FINISH:
                yield f'{name}{{{labels},finished_reason="{reason}"}} {chance.randrange(10**6)}.0'
        else:
            yield f"{name}{{{labels}}} {chance.random() if kind is Kind.GAUGE else chance.randrange(10**9)}"


def histogram(chance: random.Random, name: str, labels: str) -> Iterator[str]:
    bounds = TOKENS if name.endswith("_tokens") else SECONDS
    total = 0
    for bound in (*map(str, bounds), "+Inf"):
        total += chance.randrange(1000)
        yield f'{name}_bucket{{{labels},le="{bound}"}} {total}.0'
    yield f"{name}_count{{{labels}}} {total}.0"
    yield f"{name}_sum{{{labels}}} {total * chance.random()}"


def scrape(body: bytes, deltas: Deltas, now: float) -> int:
    """As the source does it; the number of samples."""
    recognised = recognise(parse(body, MAX_SERIES), TABLES)
    if recognised is None:
        raise SystemExit("no engine known here has such a page")
    observation = observe_all(recognised, {})
    advance = deltas.advance(observation.totals, now, recognised.families)
    return len(samples(observation, advance.increments, now))


def milliseconds(action: Callable[[], object]) -> float:
    """Of processor time: what else runs on the machine does not count."""
    gc.collect()
    started = time.process_time()
    action()
    return (time.process_time() - started) * 1000


def row(*cells: object) -> None:
    print("|", " | ".join(map(str, cells)), "|", flush=True)


def show(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def main() -> None:
    body = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else large_page(random.Random(1))
    text = body.decode()
    lines = sum(1 for line in text.splitlines() if line and not line.startswith("#"))
    deltas = Deltas(0.0, MAX_SERIES)
    brought = scrape(body, deltas, 0.0)
    print(f"python -m benchmarks.scrape\n\n{len(body):,} bytes, {lines:,} samples; {brought} samples of ours.")
    print(f"Medians (min-max) of {ROUNDS} rounds, one of each in turn.\n")
    theirs, parsed, whole = [], [], []
    for turn in range(ROUNDS):
        theirs.append(milliseconds(lambda: list(text_string_to_metric_families(text))))
        parsed.append(milliseconds(lambda: parse(body, MAX_SERIES)))
        whole.append(milliseconds(lambda now=5.0 * turn: scrape(body, deltas, now)))  # type: ignore[misc]
    row("what", "CPU, ms", "of the client's")
    row(*["---"] * 3)
    reference = statistics.median(theirs)
    for what, values in (
        ("prometheus_client, parsed", theirs),
        ("ours, parsed", parsed),
        ("ours, a whole scrape", whole),
    ):
        row(what, show(values), f"{statistics.median(values) / reference:.2f}")


if __name__ == "__main__":
    main()
