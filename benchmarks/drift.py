"""
Drift detectors beside those of river and frouros on the same streams: false alarms, delay, cost, bytes.

.venv/bin/python -m benchmarks.drift   (about five minutes; the first run makes an environment for the others)
"""

import json
import math
import subprocess
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import drift_streams
from benchmarks.drift_streams import AFTER, BEFORE, CHANGES, QUIET
from detectors.drift.bank import Bank, Watched
from detectors.drift.block import Block
from detectors.drift.kinds import Kind
from detectors.drift.packs import Pack, Plan, build
from detectors.drift.seasons import Season
from detectors.drift.watch import Watch

_ENVIRONMENT = Path(__file__).resolve().parents[1] / "build" / "drift-rivals"
_RIVALS = ("river==0.23.0", "typing_extensions", "frouros==0.9.0")  # river imports typing_extensions undeclared
_TICK = 50
_HORIZON = 10_000.0
_RECORDS = 500_000
_REPEATS = 40
_PER_DAY = 20_000
Feed = Callable[[np.ndarray], list[int]]
"""values to the places (records) of alarms"""


def rivals() -> dict[str, Any]:
    if not (_ENVIRONMENT / "ready").exists():
        venv.create(_ENVIRONMENT, with_pip=True, clear=True)
        subprocess.run([_ENVIRONMENT / "bin" / "pip", "install", "--quiet", *_RIVALS], check=True)
        (_ENVIRONMENT / "ready").touch()
    command = [_ENVIRONMENT / "bin" / "python", Path(__file__).with_name("drift_rivals.py")]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def pack(name: str, plan: Plan, times: np.ndarray | None = None) -> Pack:
    kind = Kind.FLAG if "%" in name else Kind.NUMBER
    return build(name, kind, drift_streams.reference(name), made_at=0.0, plan=plan, times=times)


def _ticks(one: Pack, values: np.ndarray, tick: Callable[[np.ndarray, float], int]) -> list[int]:
    places = np.searchsorted(one.edges, values, side="right")
    found = []
    for start in range(0, values.size - values.size % _TICK, _TICK):
        counts = np.bincount(places[start : start + _TICK], minlength=one.bins)
        found += [start + _TICK] * tick(counts, start * 86400 / _PER_DAY)
    return found


def watch(one: Pack) -> Feed:
    bank = Bank([Watched(one, 1.0)], _HORIZON)
    return lambda values: _ticks(one, values, lambda counts, at: int(bool(bank.tick({0: counts}, at))))


def block(one: Pack) -> Feed:
    detector = Block(one, 1.0, _HORIZON)

    def tick(counts: np.ndarray, at: float) -> int:
        detector.tick(counts, at, at)
        return int(bool(detector.crossings))

    return lambda values: _ticks(one, values, tick)


def by_hour(name: str) -> Pack:
    times = np.arange(40_000.0) * 86400 / _PER_DAY
    return pack(name, Plan(season=Season.HOUR), times)


def tight() -> Plan:
    return Plan(tolerance={"rate": 0.0, "location": 0.01, "spread": 0.01})


OURS: dict[str, Callable[[str], Feed]] = {
    "watchkeeper rate / pit": lambda name: watch(pack(name, Plan())),
    "same, tolerance 0.01 (flag 0)": lambda name: watch(pack(name, tight())),
    "watchkeeper block": lambda name: block(pack(name, Plan(block_size=100))),
    "watchkeeper pit by hour": lambda name: watch(by_hour(name)),
}


def measure(name: str, make: Callable[[str], Feed]) -> dict[str, Any]:
    alarms: dict[str, float] = {}
    delays: dict[str, list[int | None]] = {}
    spent = 0.0
    streams = ["season"] if "by hour" in name else list(QUIET)
    for stream in streams:
        feed, values = make(stream), drift_streams.quiet(stream, _RECORDS)
        began = time.process_time()
        alarms[stream] = len(feed(values)) / _RECORDS * 10_000
        spent += time.process_time() - began
    for change in CHANGES if "by hour" not in name else ():
        delays[change] = []
        for repeat in range(_REPEATS):
            late = [place - BEFORE for place in make(change)(drift_streams.changed(change, repeat)) if place > BEFORE]
            delays[change].append(late[0] if late else None)
    return {"records": _RECORDS, "alarms": alarms, "delays": delays, "us": spent / (_RECORDS * len(streams)) * 1e6}


def _delay(found: list[int | None]) -> str:
    ordered = sorted(AFTER * 10 if one is None else one for one in found)
    shown = [ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, math.ceil(0.95 * len(ordered)) - 1)]]
    missed = sum(one is None for one in found)
    text = " / ".join("never" if value > AFTER else f"{value:,}" for value in shown)
    return text + (f" ({missed} of {len(found)} missed)" if 0 < missed < len(found) else "")


def _table(results: dict[str, dict[str, Any]]) -> None:
    print("| alarms per 10,000 without drift | records |", " | ".join(QUIET), "| us a record | bytes |")
    print("|---|---|" + "---|" * (len(QUIET) + 2))
    for name, one in results.items():
        cells = [f"{one['alarms'][stream]:.3g}" if stream in one["alarms"] else "" for stream in QUIET]
        size = f"{one['bytes']:,}" if "bytes" in one else ""
        print(f"| {name} | {one['records']:,} | {' | '.join(cells)} | {one['us']:.2f} | {size} |")
    print("\n| records until found, median / 95 % |", " | ".join(CHANGES), "|")
    print("|---|" + "---|" * len(CHANGES))
    for name, one in results.items():
        if one["delays"]:
            print(f"| {name} | {' | '.join(_delay(one['delays'][change]) for change in CHANGES)} |")


def _costs() -> None:
    """One observation at a time, and 200 signals in one bank."""
    number, flag = pack("lognormal", Plan()), pack("2 % flag", Plan())
    values = drift_streams.quiet("lognormal", 100_000).tolist()
    single = Watch(number, 1.0, _HORIZON, tick_observations=100)
    began = time.process_time()
    for value in values:
        single.update(value, 0.0)
    each = (time.process_time() - began) / len(values) * 1e6
    print(f"\none observation at a time, ticks of 100: {each:.2f} us; state {len(single.state()):,} bytes")
    for label, packs in (("200 flags", [flag] * 200), ("100 flags and 50 numbers", [flag] * 100 + [number] * 50)):
        bank = Bank([Watched(one, 1 / len(packs)) for one in packs], 1e6)
        counts = {place: np.full(one.bins, 2) for place, one in enumerate(packs)}
        spans = []
        for number_of_tick in range(500):
            began = time.perf_counter()
            bank.tick(counts, number_of_tick * 10.0)
            spans.append((time.perf_counter() - began) * 1e6)
        print(f"a tick of {label} (200 or more rows of 20 tracks) in one bank: median {np.median(spans):.0f} us")


def main() -> None:
    results = rivals()
    results |= {name: measure(name, make) for name, make in OURS.items()}
    sizes = {"watchkeeper rate / pit": len(Watch(pack("beta", Plan()), 1.0, _HORIZON).state())}
    sizes["watchkeeper block"] = len(Block(pack("beta", Plan()), 1.0, _HORIZON).state())
    for name, size in sizes.items():
        results[name]["bytes"] = size
    print(
        f"ticks of {_TICK} records; promised: at most {10_000 / _TICK / _HORIZON:g} false alarms per 10,000 records\n"
    )
    _table(results)
    _costs()


if __name__ == "__main__":
    main()
