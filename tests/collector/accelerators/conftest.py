"""Vendors' libraries without their hardware: compiled once, copied for every test, loaded by the real bindings."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from collector.accelerators.driver import CountError, Driver
from collector.accelerators.places import Nobody
from collector.accelerators.source import AcceleratorsSource
from collector.accelerators.vendor import Vendor
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import Reading, Sample
from watchkeeper.core.testkit import FakeLibrary
from watchkeeper.core.vocabulary import devices

FAKES = Path(__file__).parent / "fakes"

MakeFake = Callable[..., FakeLibrary]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> MakeFake:
    """`compiled("nvml.c", "libnvidia-ml.so.1", "OLD_DRIVER")`: compiled once in a session."""
    made: dict[tuple[str, ...], FakeLibrary] = {}

    def compile_once(source: str, name: str, *defines: str) -> FakeLibrary:
        key = (source, name, *defines)
        if key not in made:
            made[key] = FakeLibrary.compile(FAKES / source, tmp_path_factory.mktemp("fake") / name, defines)
        return made[key]

    return compile_once


@pytest.fixture
def fake(compiled: MakeFake, tmp_path: Path) -> Iterator[MakeFake]:
    """`fake("nvml.c", "libnvidia-ml.so.1")`: this test's own library. What it hangs in is let go at the end."""
    given: list[FakeLibrary] = []

    def copy(source: str, name: str, *defines: str) -> FakeLibrary:
        given.append(compiled(source, name, *defines).copy(tmp_path / f"library{len(given)}" / name))
        return given[-1]

    yield copy
    for library in given:
        library.path.with_name(f"{library.path.name}.script").write_text("", encoding="utf-8")


START = 1_800_000_000.0
PATIENT = 60.0
"""seconds, where nothing hangs: a machine that stands still for a while is no device that hangs"""


class Watched:
    """A source that is read by hand, second by second, and remembers what its series show, as the agent does."""

    def __init__(self, make: Callable[[CountError], Driver], vendor: str = "nvidia", patience: float = PATIENT) -> None:
        self.ledger = Ledger()
        self.vendor = Vendor(vendor, make(self._count), self.ledger)
        self.source = AcceleratorsSource([self.vendor], Nobody(), 1.0, patience)
        self.now = START
        self.shown: dict[tuple[Metric, tuple[tuple[str, str], ...]], float] = {}
        self.errors: dict[tuple[str, str], float] = {}

    def read(self, seconds: float = 1.0, ticks: int = 1) -> Reading:
        """Let so much time pass before each tick, and read."""
        reading = Reading()
        for _ in range(ticks):
            self.now += seconds
            reading = self.source.read(self.now)
            self._remember(reading.samples)
            self._remember(self.ledger.drain(self.now))
            for gap in reading.gaps:
                if gap.is_one_series:
                    self.shown.pop((gap.metric, gap.labels), None)
                elif gap.metric.kind is Kind.GAUGE:
                    self._forget(gap.metric, set(gap.labels))
        return reading

    def until(self, condition: Callable[[], bool], seconds: float = 1.0) -> None:
        """Read until something is so; a driver's own threads need real time."""
        end = time.monotonic() + PATIENT
        while not condition():
            assert time.monotonic() < end, f"never came; errors {self.errors}, unreadable {self.vendor.unreadable}"
            self.read(seconds)
            time.sleep(0.02)

    def value(self, metric: Metric, **labels: str) -> float | None:
        """Sum over the series with these labels (`_` for `.`); None when there is none."""
        found = [value for (of, has), value in self.shown.items() if of is metric and _has(has, labels)]
        return sum(found) if found else None

    def metrics(self) -> set[Metric]:
        return {metric for metric, _ in self.shown}

    def close(self) -> None:
        self.source.close()

    def _count(self, call: str, code: str) -> None:
        self.ledger.add(devices.CALL_ERRORS, 1, (("hw.vendor", self.vendor.name), ("call", call), ("code", code)))

    def _remember(self, samples: Iterable[Sample]) -> None:
        for sample in samples:
            assert isinstance(sample.value, float | int)
            assert {name for name, _ in sample.labels} <= set(sample.metric.labels)
            key = (sample.metric, sample.labels)
            before = self.shown.get(key, 0.0) if sample.metric.kind is Kind.COUNTER else 0.0
            self.shown[key] = before + sample.value

    def _forget(self, metric: Metric, labels: set[tuple[str, str]]) -> None:
        for key in [key for key in self.shown if key[0] is metric and labels <= set(key[1])]:
            del self.shown[key]


def _has(labels: tuple[tuple[str, str], ...], wanted: dict[str, str]) -> bool:
    return wanted.items() <= {name.replace(".", "_"): value for name, value in labels}.items()


@pytest.fixture(autouse=True)
def unhurried() -> Iterator[pytest.MonkeyPatch]:
    """What a device that hangs is given up after."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("collector.accelerators.roll_call.LOOK_SECONDS", PATIENT)
        patch.setattr("collector.accelerators.nvidia.gpm._LOCK_SECONDS", PATIENT)
        yield patch


@pytest.fixture
def watch(unhurried: pytest.MonkeyPatch) -> Iterator[Callable[..., Watched]]:
    """
    `watch(lambda count_error: Nvidia(count_error, path), vendor="nvidia", patience=0.3)`: with a patience where a
    device hangs, and is waited for so long. Others may then be late as well, once: read `until` it is as it should be.
    """
    made: list[Watched] = []

    def start(make: Callable[[CountError], Driver], vendor: str = "nvidia", patience: float = PATIENT) -> Watched:
        if patience != PATIENT:
            unhurried.undo()
        made.append(Watched(make, vendor, patience))
        return made[-1]

    yield start
    for watched in made:
        watched.close()
