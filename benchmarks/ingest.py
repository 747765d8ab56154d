"""
CPU microseconds a span costs from socket to series, beside rotel receiving the same bytes and throwing them away.

Checks of answers read text and nothing else, which a receiver does not: they are off but for a line of their own.

python -m benchmarks.ingest
"""

import random
import statistics
import time
from collections import defaultdict

from benchmarks import processes
from benchmarks.processes import Receiver
from benchmarks.spans import SPANS_PER_BODY, body

ROUNDS = 9
BODIES = 40
MODELS = 20
SETTLE_SECONDS = 1.0
IDLE_SHARE = 0.03
"""of a core: below it nothing that was sent is still being worked off"""


def microseconds_per_span(receiver: Receiver, over_grpc: bool, bodies: list[bytes]) -> float:
    before = receiver.cpu_seconds()
    (receiver.send_grpc if over_grpc else receiver.send_http)(bodies)
    used, last = receiver.cpu_seconds(), 0.0
    while used - last > IDLE_SHARE * SETTLE_SECONDS:
        time.sleep(SETTLE_SECONDS)
        last, used = used, receiver.cpu_seconds()
    return (used - before) / (len(bodies) * SPANS_PER_BODY) * 1e6


def compare(
    ours: Receiver, theirs: Receiver, text_bytes: int, protocols: tuple[str, ...], chance: random.Random
) -> list[list[str]]:
    """Rows of the table, one a protocol. All take turns, so that a machine which slows down does so for each."""
    costs: dict[tuple[str, Receiver], list[float]] = defaultdict(list)
    size = 0
    for number in range(ROUNDS + 1):
        for protocol in protocols:  # spans of its own for each: sent again they would be repetitions, which cost less
            bodies = [body(chance, time.time_ns(), MODELS, text_bytes) for _ in range(BODIES)]
            size = len(bodies[0]) // SPANS_PER_BODY
            for receiver in (ours, theirs):
                cost = microseconds_per_span(receiver, protocol == "gRPC", bodies)
                if number:  # the first round warms up
                    costs[protocol, receiver].append(cost)
    rows = []
    for protocol in protocols:
        mine, other = costs[protocol, ours], costs[protocol, theirs]
        ratio = statistics.median(a / b for a, b in zip(mine, other, strict=True))
        text = "1 kB + 1 kB" if text_bytes else "none"
        rows.append([protocol, text, str(size), _show(mine), _show(other), f"{ratio:.1f}"])
    return rows


def main() -> None:
    chance = random.Random(1)
    print(f"{ROUNDS} rounds in turn of {BODIES} bodies of {SPANS_PER_BODY} spans, {MODELS} models; medians (min-max)\n")
    print("| protocol | text | bytes a span | watchkeeper, us a span | rotel, us a span | ratio |")
    print("|---|---|---|---|---|---|")
    with processes.watchkeeper(checks=False) as ours, processes.rotel() as theirs:
        for text_bytes in (0, 1000):
            for row in compare(ours, theirs, text_bytes, ("HTTP", "gRPC"), chance):
                _print(row)
        counted = next(
            line for line in ours.metrics_page().splitlines() if line.startswith("watchkeeper_pipeline_exported_total")
        )
        with processes.watchkeeper() as checking:
            [row] = compare(checking, theirs, 1000, ("HTTP",), chance)
            _print([row[0], f"{row[1]}, with all default checks", *row[2:]])
    print(f"\n{counted} (of {4 * (ROUNDS + 1) * BODIES * SPANS_PER_BODY} sent without checks)")


def _print(row: list[str]) -> None:
    print(f"| {' | '.join(row)} |", flush=True)


def _show(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


if __name__ == "__main__":
    main()
