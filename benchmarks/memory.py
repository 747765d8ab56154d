"""
Resident memory of `watchkeeper run`: idle, then while a million spans over 200 models arrive.

python -m benchmarks.memory
"""

import random
import time

from benchmarks import processes
from benchmarks.spans import SPANS_PER_BODY, body

SPANS = 1_000_000
MODELS = 200
STEPS = 10
IDLE_SECONDS = 10


def main() -> None:
    chance = random.Random(2)
    print("| after | resident MB | lines of /metrics |")
    print("|---|---|---|")
    with processes.watchkeeper() as ours:
        time.sleep(IDLE_SECONDS)
        print(
            f"| {IDLE_SECONDS} s idle | {ours.resident_mb():.0f} | {ours.metrics_page().count(chr(10))} |", flush=True
        )
        sent = 0
        for _ in range(STEPS):
            for _ in range(SPANS // STEPS // SPANS_PER_BODY):
                ours.send_http([body(chance, time.time_ns(), MODELS, 0)])
                sent += SPANS_PER_BODY
            print(f"| {sent:,} spans | {ours.resident_mb():.0f} | {ours.metrics_page().count(chr(10))} |", flush=True)
        time.sleep(IDLE_SECONDS)
        print(f"| {IDLE_SECONDS} s later | {ours.resident_mb():.0f} | {ours.metrics_page().count(chr(10))} |")


if __name__ == "__main__":
    main()
