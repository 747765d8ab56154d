"""
What the tap adds to an answer and what it costs, beside litellm's proxy under the same load in one run.

An upstream streams 100 tokens at fixed times; K connections ask it for one stream after the other, in turn directly,
through `watchkeeper run` with one tap, and through litellm. Every token carries the clock of its sending:

- way of the first token: from the client's request to the first token in its hands, less the time that the upstream
  itself kept the request (it stamps both the arrival of the request and the sending of the token);
- way of a later token: from the upstream's send to the client's receipt;
- added: a percentile of the way through the proxy less the same percentile of the direct way, of all rounds together.

Requests per CPU second: hundreds of tokens passed on (or answers, where they are not streamed) by the user and system
time of the whole process and its children, from before the load until the process has nothing left to do.

Takes six minutes, and 700 MB of disk for litellm, which the first run installs.

python -m benchmarks.tap
"""

import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.tap_load import programs, usage
from benchmarks.tap_load.client import CHUNKS, Load, Measured
from benchmarks.tap_load.programs import Target


@dataclass(frozen=True)
class Level:
    """A load. `pace` is the ms between two tokens of a stream."""

    streams: int
    pace: float
    window_seconds: float
    rounds: int
    streamed: bool = True

    def __str__(self) -> str:
        return f"{self.streams}, {self.pace:g} ms" if self.streamed else f"{self.streams}, not streamed"


LEVELS = (Level(1, 2, 6, 3), Level(32, 20, 6, 3), Level(256, 40, 8, 2), Level(8, 0, 3, 3, streamed=False))
_WARM_UP = Level(4, 10, 1, 1)
_QUIET_SHARE = 0.1
"""of a core; below it a program has put the last round behind it"""


@dataclass(frozen=True)
class Round:
    """One load on one target. `requests` of all streams, also those that ended in part; CPU until nothing was left."""

    measured: Measured
    requests: float
    cpu_seconds: float

    @property
    def per_cpu_second(self) -> float:
        return self.requests / self.cpu_seconds if self.cpu_seconds else math.nan


def run(target: Target, level: Level) -> Round:
    load = Load(target.port, level.streams, level.pace, level.window_seconds, level.streamed, target.pid)
    command = [sys.executable, "-m", "benchmarks.tap_load.client", json.dumps(asdict(load))]
    before = usage.cpu_seconds(target.pid)
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=120, cwd=Path(__file__).parents[1])
    _wait_until_quiet(target)
    measured = Measured(**json.loads(answer.stdout))
    requests = measured.tokens / CHUNKS if level.streamed else measured.whole
    return Round(measured, requests, usage.cpu_seconds(target.pid) - before)


def _wait_until_quiet(target: Target) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        before = usage.cpu_seconds(target.pid)
        time.sleep(0.5)
        if usage.cpu_seconds(target.pid) - before < 0.5 * _QUIET_SHARE:
            return


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; NaN of nothing."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


def _first(one: Round) -> list[int]:
    return one.measured.first


def _later(one: Round) -> list[int]:
    return one.measured.chunk


def _ways(rounds: Sequence[Round], which: Callable[[Round], list[int]], share: float) -> tuple[float, list[float]]:
    """A percentile in ms: of all rounds together, and of each."""
    pooled = [way for one in rounds for way in which(one)]
    return percentile(pooled, share) / 1e3, [percentile(which(one), share) / 1e3 for one in rounds]


def _show(way: tuple[float, list[float]]) -> str:
    return f"{way[0]:.2f} ({min(way[1]):.2f}-{max(way[1]):.2f})"


def latency_rows(level: Level, by_target: dict[str, list[Round]]) -> list[str]:
    rows = []
    for name, rounds in by_target.items():
        cells = [str(level), name]
        for which in (_first, _later):
            for share in (0.5, 0.99):
                way = _ways(rounds, which, share)
                base = _ways(by_target["direct"], which, share)
                cells += [_show(way), "" if name == "direct" else f"{way[0] - base[0]:.2f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def cost_rows(level: Level, by_target: dict[str, list[Round]]) -> list[str]:
    rows, theirs = [], by_target["litellm"]
    for name, rounds in by_target.items():
        completed = sum(one.measured.completed for one in rounds)
        errors = sum(one.measured.errors for one in rounds)
        cells = [str(level), name, str(completed), str(errors)]
        if name == "direct":
            cells += [""] * 4
        else:
            rates = [one.per_cpu_second for one in rounds]
            ratios = [one.per_cpu_second / its.per_cpu_second for one, its in zip(rounds, theirs, strict=True)]
            busy = statistics.median(one.measured.cpu_seconds for one in rounds) / level.window_seconds
            cells += [
                f"{busy:.2f}",
                f"{statistics.median(rates):.1f} ({min(rates):.1f}-{max(rates):.1f})",
                "" if name == "litellm" else f"{statistics.median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f})",
                f"{max(one.measured.resident_mb for one in rounds):.0f}",
            ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def main() -> None:
    latency: list[str] = []
    cost: list[str] = []
    began = time.monotonic()
    load_before = os.getloadavg()[0]
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(programs.upstream())
        ours = stack.enter_context(programs.tap(upstream.port))
        targets = (upstream, ours, stack.enter_context(programs.litellm(upstream.port)))
        _, warmed_up, _ = (run(target, _WARM_UP) for target in targets)
        ours_rounds = [warmed_up]
        for level in LEVELS:
            by_target: dict[str, list[Round]] = {target.name: [] for target in targets}
            for number in range(level.rounds):
                for target in targets[number % 3 :] + targets[: number % 3]:
                    by_target[target.name].append(run(target, level))
            ours_rounds += by_target[ours.name]
            if level.streamed:
                latency += latency_rows(level, by_target)
            cost += cost_rows(level, by_target)
            print(f"{level}: done after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        counted = ours.metric_total("watchkeeper_requests_total")
        answers = sum(one.measured.whole for one in ours_rounds)
    print(f"{CHUNKS} tokens a stream; litellm {programs.LITELLM}; load of the machine before: {load_before:.1f}\n")
    print("Way in ms: all rounds (the rounds apart); added: less the same percentile of the direct way\n")
    print("| streams, a token every | through | first token, median | added | p99 | added", end="")
    print(" | later token, median | added | p99 | added |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    print("\n".join(latency))
    print(
        "\n| streams, a token every | through | finished in the windows | errors | cores busy | requests per CPU s",
        end="",
    )
    print(" | times litellm's | resident MB |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(cost))
    print(f"\nwatchkeeper_requests_total {counted:.0f} (of {answers} whole answers), {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
