"""A fleet for tests: made traffic of sidecars as records, references in a folder, detectors as processes."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from detectors.drift import packs
from detectors.drift.kinds import Kind
from detectors.drift.packs import Pack
from watchkeeper.agent.drift.judge import JudgeState
from watchkeeper.agent.fleet.fleet import Fleet
from watchkeeper.agent.fleet.segment import SegmentState
from watchkeeper.agent.references.store import References
from watchkeeper.core.fleet import Checkpoint, Place, Resumed, Told
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.testkit import RunningWatchkeeper
from watchkeeper.core.testkit.kafka_broker import KafkaBroker
from watchkeeper.core.wire import StateRecord, StreamCounts, TickRecord, decode, encode

START = 1_700_000_000.0
TICK = 10.0
TICKS, STATE, DEAD = "watchkeeper.ticks", "watchkeeper.state", "watchkeeper.dead"
SEGMENTS = tuple(f"shop/service-{number}/qwen" for number in range(6))

Sent = tuple[TickRecord, float]
"""a record, and unix seconds at which it was sent"""


def approve(folder: Path, segments: Sequence[str] = SEGMENTS) -> dict[str, list[Pack]]:
    """Two signals of each segment: a number that is also judged by blocks, and a flag."""
    chance = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    times = [START - 86400 * 3 + 20.0 * place for place in range(6000)]
    made: dict[str, list[Pack]] = {}
    for segment in segments:
        for signal_, kind, values in (
            ("input_tokens", Kind.NUMBER, chance.lognormal(4.6, 0.6, 6000)),
            ("error", Kind.FLAG, (chance.random(6000) < 0.02).astype(float)),
        ):
            pack = packs.build(signal_, kind, values.tolist(), made_at=START - 100, times=times, segment=segment)
            approved = pack.approved("ada", START - 50, "calm week")
            (folder / f"{pack.id}.json").write_bytes(approved.encode())
            made.setdefault(segment, []).append(approved)
    return made


def traffic(
    made: dict[str, list[Pack]], ticks: int, replicas: int = 3, *, skew: float = 0.0, seed: int = 1, calls: int = 8
) -> list[Sent]:
    """What sidecars send, in the order of sending; from the middle on prompts of the first segment are longer."""
    chance = np.random.default_rng(seed)
    sent: list[Sent] = []
    for number in range(ticks + 3):
        for replica in range(replicas):
            behind = skew * replica / max(1, replicas - 1)
            at = (START + number * TICK - behind) // TICK * TICK
            for place, (segment, (tokens, error)) in enumerate(made.items()):
                middle = 5.0 if place == 0 and number > ticks // 2 else 4.6
                drawn = [tokens.bin(value) for value in chance.lognormal(middle, 0.6, calls).tolist()]
                bad = int((chance.random(calls) < 0.02).sum())
                counts = {int(one): drawn.count(one) for one in set(drawn)}  # type: ignore[arg-type]
                streams = (
                    StreamCounts("input_tokens", tokens.id[:16], counts),
                    StreamCounts("error", error.id[:16], {0: calls - bad, 1: bad}),
                )
                is_over = number >= ticks
                record = TickRecord(segment, f"pod-{replica}", "1", at, () if is_over else streams)
                sent.append((record, START + (number + 1) * TICK + replica * 0.1 - behind))
    return sent


def messages(sent: Sequence[Sent]) -> list[tuple[bytes, bytes]]:
    return [(record.segment.encode(), encode(record)) for record, _ in sent]


class Alone:
    """One judge that is never stopped: what all others are compared with."""

    def __init__(self, references: Path, **how: Any) -> None:
        self.checkpoints: list[Checkpoint] = []
        settings = {"days": 30.0, "tick_seconds": TICK, "grace_seconds": 60.0, "kept_every_seconds": 1e9} | how
        self.fleet = Fleet(References(references), self.checkpoints.append, Ledger(), **settings)
        self.place = Place(TICKS, 0)
        self.findings: list[Any] = []

    def judge(self, sent: Sequence[Sent]) -> dict[str, JudgeState]:
        self.fleet.take([Resumed(self.place, 0)], START)
        self.fleet.take([Told(self.place, at, time_, record) for at, (record, time_) in enumerate(sent)], START)
        self.findings = list(self.fleet.tick(START).findings)
        self.fleet.close(START)
        return evidence([state for checkpoint in self.checkpoints for state in checkpoint.states])


def evidence(states: Sequence[StateRecord]) -> dict[str, JudgeState]:
    """The newest of each segment."""
    newest: dict[str, StateRecord] = {}
    for state in states:
        known = newest.get(state.segment)
        if known is None or (state.life, state.offset) >= (known.life, known.offset):
            newest[state.segment] = state
    return {name: msgspec.msgpack.decode(one.body, type=SegmentState).judge for name, one in newest.items()}


def kept(broker: KafkaBroker) -> dict[str, JudgeState]:
    """What detectors have written."""
    return evidence([one for one in decoded(broker) if isinstance(one, StateRecord)])


def decoded(broker: KafkaBroker) -> list[Any]:
    return [decode(record.value) for record in broker.read(STATE)]


def same(one: dict[str, JudgeState], other: dict[str, JudgeState]) -> None:
    """Evidence to 1e-8, counts and findings exactly."""
    assert one.keys() == other.keys()
    for segment, state in one.items():
        against = other[segment]
        assert state.signals.keys() == against.signals.keys()
        for name, signal_ in state.signals.items():
            for ours, theirs in zip(signal_.arrays, against.signals[name].arrays, strict=True):
                np.testing.assert_allclose(np.frombuffer(ours), np.frombuffer(theirs), rtol=1e-8, atol=1e-8)
        assert state.blocks.keys() == against.blocks.keys()
        for name, block in state.blocks.items():
            assert block == against.blocks[name]
        assert state.findings.keys() == against.findings.keys()


@pytest.fixture
def kit() -> Any:
    """This module, for tests: pytest imports it under a name of its own."""
    return sys.modules[__name__]


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    with KafkaBroker() as running:
        running.make({TICKS: 4, STATE: 4, DEAD: 1})
        yield running


class Detectors:
    """Processes of the role, each with a folder of its own."""

    def __init__(self, folder: Path, broker: KafkaBroker, references: Path) -> None:
        self._folder, self._broker, self._references = folder, broker, references
        self.running: list[RunningWatchkeeper] = []

    def start(self, *, kept_every: float = 1.0, **more: Any) -> RunningWatchkeeper:
        folder = self._folder / f"detector-{len(self.running)}"
        folder.mkdir()
        settings = {
            "role": "detector",
            "drift": {"references_folder": str(self._references), "kept_every_seconds": kept_every},
            "kafka": {
                "enabled": True, "connection": {"servers": [self._broker.address]}, "session_seconds": 6.0, **more,
            },
        }  # fmt: skip
        detector = RunningWatchkeeper(folder, settings)
        self.running.append(detector.__enter__())
        return detector

    def kill(self, detector: RunningWatchkeeper) -> None:
        os.kill(detector.pid, signal.SIGKILL)

    def read(self, records: int, timeout_seconds: float = 60.0) -> None:
        """Until those that run have judged so many records together."""
        wait(lambda: sum(judged(one) for one in self.running) >= records, timeout_seconds, self.logs)

    def logs(self) -> str:
        return "\n".join(one.log() for one in self.running)


def judged(detector: RunningWatchkeeper) -> float:
    try:
        return detector.value("watchkeeper_fleet_records_total") or 0.0
    except OSError:
        return 0.0


def wait(until: Callable[[], bool], timeout_seconds: float = 60.0, said: Callable[[], str] = str) -> None:
    end = time.monotonic() + timeout_seconds
    while not until():
        if time.monotonic() > end:
            raise TimeoutError(said())
        time.sleep(0.2)


@pytest.fixture
def made(tmp_path: Path) -> dict[str, list[Pack]]:
    return approve(tmp_path / "references")


@pytest.fixture
def detectors(tmp_path: Path, broker: KafkaBroker, made: dict[str, list[Pack]]) -> Iterator[Detectors]:
    fleet = Detectors(tmp_path, broker, tmp_path / "references")
    yield fleet
    for one in fleet.running:
        one.stop()
