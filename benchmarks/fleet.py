"""
A fleet on the broker of the test kit: records and the calls in them per second with one and with two detectors on four
partitions, how long until all is judged again after a detector was killed, bytes per call, and logs of calls read.

Detectors are frozen while the records are sent, so that neither the sender nor its pace is measured.

python -m benchmarks.fleet [records] [calls]
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np

from detectors.drift import packs
from detectors.drift.kinds import Kind
from detectors.drift.packs import Pack
from watchkeeper.core.testkit import RunningWatchkeeper
from watchkeeper.core.testkit.kafka_broker import KafkaBroker
from watchkeeper.core.wire import StreamCounts, TickRecord, encode

START = 1_700_000_000.0
SEGMENTS, REPLICAS, SIGNALS, CALLS = 16, 50, 8, 20
"""calls: of one replica in one segment and tick"""
TICKS, STATE = "watchkeeper.ticks", "watchkeeper.state"


def references(folder: Path) -> dict[str, list[Pack]]:
    chance = np.random.default_rng(1)
    values = chance.lognormal(4.6, 0.6, 2000).tolist()
    made: dict[str, list[Pack]] = {}
    for segment in (f"shop/service-{number}/qwen" for number in range(SEGMENTS)):
        for place in range(SIGNALS):
            pack = packs.build(f"number-{place}", Kind.NUMBER, values, made_at=START, segment=segment)
            (folder / f"{pack.id}.json").write_bytes(pack.approved("ada", START, "benchmark").encode())
            made.setdefault(segment, []).append(pack)
    return made


def records(made: dict[str, list[Pack]], count: int) -> list[tuple[bytes, bytes]]:
    chance = np.random.default_rng(2)
    found: list[tuple[bytes, bytes]] = []
    tick = 0
    while len(found) < count:
        for replica in range(REPLICAS):
            for segment, held in made.items():
                streams = []
                for pack in held:
                    drawn = [int(pack.bin(value) or 0) for value in chance.lognormal(4.6, 0.6, CALLS).tolist()]
                    streams.append(StreamCounts(pack.signal, pack.id[:16], {b: drawn.count(b) for b in set(drawn)}))
                record = TickRecord(segment, f"pod-{replica}", "1", START + 10 * tick, tuple(streams))
                found.append((segment.encode(), encode(record)))
        tick += 1
    return found[:count]


def until(true: Callable[[], bool]) -> float:
    """Seconds that it took."""
    started = time.monotonic()
    while not true():
        if time.monotonic() - started > 300:
            raise TimeoutError
        time.sleep(0.05)
    return time.monotonic() - started


def judged(*running: RunningWatchkeeper) -> float:
    return sum(one.value("watchkeeper_fleet_records_total") or 0.0 for one in running)


def owned(one: RunningWatchkeeper) -> float:
    return one.value("watchkeeper_kafka_partitions") or 0.0


def cpu(*running: RunningWatchkeeper) -> float:
    """Seconds of processor time."""
    return sum(one.value("process_cpu_time_seconds_total") or 0.0 for one in running)


def detector(folder: Path, broker: KafkaBroker, name: str, session_seconds: float) -> RunningWatchkeeper:
    (folder / name).mkdir()
    settings: dict[str, Any] = {
        "role": "detector",
        "drift": {"references_folder": str(folder / "references"), "kept_every_seconds": 5.0},
        "kafka": {
            "enabled": True, "session_seconds": session_seconds, "connection": {"servers": [broker.address]},
        },
    }  # fmt: skip
    return RunningWatchkeeper(folder / name, settings).__enter__()


def topics(broker: KafkaBroker) -> None:
    broker.make({TICKS: 4, STATE: 4, "watchkeeper.dead": 1})


def rate(folder: Path, told: list[tuple[bytes, bytes]], detectors: int) -> float:
    """Records per second."""
    with KafkaBroker() as broker:
        topics(broker)
        running = [detector(folder, broker, f"{detectors}-{number}", 60.0) for number in range(detectors)]
        until(lambda: all(owned(one) == 4 / detectors for one in running))
        first = len(told) // 10
        broker.send(TICKS, told[:first])
        until(lambda: judged(*running) >= first)
        for one in running:
            os.kill(one.pid, signal.SIGSTOP)
        broker.send(TICKS, told[first:])
        for one in running:
            os.kill(one.pid, signal.SIGCONT)
        started, busy = time.monotonic(), cpu(*running)
        until(lambda: judged(*running) >= len(told))
        found = (len(told) - first) / (time.monotonic() - started)
        cost = (cpu(*running) - busy) / (len(told) - first)
        print(f"{detectors} detectors: {found:,.0f} records/s, {found * CALLS:,.0f} calls/s, "
              f"{cost * 1e6:.0f} us of processor time a record")  # fmt: skip
        for one in running:
            one.stop()
    return found


def takeover(folder: Path, told: list[tuple[bytes, bytes]], session_seconds: float) -> None:
    with KafkaBroker() as broker:
        topics(broker)
        running = [detector(folder, broker, f"{session_seconds}-{number}", session_seconds) for number in range(2)]
        until(lambda: all(owned(one) == 2 for one in running))
        broker.send(TICKS, told[:4000])
        until(lambda: judged(*running) >= 4000)
        os.kill(running[0].pid, signal.SIGKILL)
        broker.send(TICKS, [(key, value.replace(b"pod-", b"new-")) for key, value in told[:400]])
        took = until(lambda: owned(running[1]) == 4 and running[1].value("watchkeeper_kafka_lag") == 0)
        print(f"after kill -9 of one of two: the other has all and is at the end {took:.1f} s later "
              f"(session {session_seconds:g} s)")  # fmt: skip
        running[1].stop()


def sizes(told: list[tuple[bytes, bytes]]) -> None:
    size, each = sum(len(value) for _, value in told), len(told) * CALLS
    batches = (b"".join(value for _, value in told[at : at + 64]) for at in range(0, len(told), 64))
    packed = sum(len(lz4.frame.compress(one)) for one in batches)
    print(f"{size / len(told):.0f} bytes a record of {SIGNALS} signals and {CALLS} calls, "
          f"{size / each:.1f} a call, {packed / each:.1f} with lz4 in batches of 64")  # fmt: skip


def logs(folder: Path, count: int) -> None:
    body = json.dumps({"model": "qwen", "prompt_tokens": 120, "completion_tokens": 80, "latency_ms": 900}).encode()
    (folder / "logs").mkdir()
    with KafkaBroker() as broker:
        broker.make({"calls": 4})
        broker.send("calls", [(str(number % 4).encode(), body) for number in range(count)])
        settings = {"kafka": {"enabled": True, "ticks": False, "connection": {"servers": [broker.address]},
                              "calls": [{"topic": "calls", "service": "chat"}]}}  # fmt: skip
        with RunningWatchkeeper(folder / "logs", settings) as running:
            until(lambda: (running.value("watchkeeper_requests_total") or 0) > 0)
            first, started = running.value("watchkeeper_requests_total") or 0.0, time.monotonic()
            until(lambda: (running.value("watchkeeper_requests_total") or 0) >= count)
            found = (count - first) / (time.monotonic() - started)
    print(f"logs of calls: {found:,.0f} calls/s of {len(body)} bytes into the metrics of one process")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    calls = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "references").mkdir()
        told = records(references(folder / "references"), count)
        again = [(key, value.replace(b"pod-", b"two-")) for key, value in told]
        one, two = (rate(folder, told + again, detectors) for detectors in (1, 2))
        print(f"two to one: {two / one:.2f}, on {os.cpu_count()} cores that the broker shares")
        takeover(folder, told, 6.0)
        takeover(folder, told, 10.0)
        sizes(told)
        logs(folder, calls)


if __name__ == "__main__":
    main()
