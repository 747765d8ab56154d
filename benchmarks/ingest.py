"""
CPU microseconds a span costs from socket to series, beside rotel receiving the same bytes and throwing them away.

Checks of answers read text and nothing else, which a receiver does not: they are off but for a line of their own.

python -m benchmarks.ingest
"""

import random
import statistics
import time

from benchmarks import processes
from benchmarks.processes import Receiver
from benchmarks.spans import SPANS_PER_BODY, body

ROUNDS = 5
BODIES = 40
MODELS = 20
SETTLE_SECONDS = 1.5
"""after the last answer, so that work still queued is counted too"""


def microseconds_per_span(receiver: Receiver, over_grpc: bool, bodies: list[bytes]) -> float:
    before = receiver.cpu_seconds()
    (receiver.send_grpc if over_grpc else receiver.send_http)(bodies)
    time.sleep(SETTLE_SECONDS)
    return (receiver.cpu_seconds() - before) / (len(bodies) * SPANS_PER_BODY) * 1e6


def compare(ours: Receiver, theirs: Receiver, text_bytes: int, over_grpc: bool, chance: random.Random) -> str:
    """One row of the table."""
    mine, other, size = [], [], 0
    for number in range(ROUNDS + 1):
        bodies = [body(chance, time.time_ns(), MODELS, text_bytes) for _ in range(BODIES)]
        size = len(bodies[0]) // SPANS_PER_BODY
        costs = [microseconds_per_span(receiver, over_grpc, bodies) for receiver in (ours, theirs)]
        if number:  # the first round warms both up
            mine.append(costs[0])
            other.append(costs[1])
    ratio = statistics.median(a / b for a, b in zip(mine, other, strict=True))
    text = "1 kB + 1 kB" if text_bytes else "none"
    cells = ("gRPC" if over_grpc else "HTTP", text, size, _show(mine), _show(other), f"{ratio:.1f}")
    return " | ".join(map(str, cells))


def main() -> None:
    chance = random.Random(1)
    print(f"{ROUNDS} rounds in turn of {BODIES} bodies of {SPANS_PER_BODY} spans, {MODELS} models; medians (min-max)\n")
    print("| protocol | text | bytes a span | watchkeeper, us a span | rotel, us a span | ratio |")
    print("|---|---|---|---|---|---|")
    with processes.watchkeeper(checks=False) as ours, processes.rotel() as theirs:
        for text_bytes in (0, 1000):
            for over_grpc in (False, True):
                print(f"| {compare(ours, theirs, text_bytes, over_grpc, chance)} |", flush=True)
        counted = next(
            line for line in ours.metrics_page().splitlines() if line.startswith("watchkeeper_pipeline_exported_total")
        )
        with processes.watchkeeper() as checking:
            row = compare(checking, theirs, 1000, False, chance)
            print(f"| {row.replace('1 kB + 1 kB', '1 kB + 1 kB, with all default checks')} |", flush=True)
    print(f"\n{counted} (of {4 * (ROUNDS + 1) * BODIES * SPANS_PER_BODY} sent without checks)")


def _show(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


if __name__ == "__main__":
    main()
