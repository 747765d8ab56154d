"""Which numbers of which devices this process reads through the vendors' libraries, for sources that read them too."""

import threading
from collections.abc import Iterable
from typing import Final
from weakref import WeakKeyDictionary

from collector.accelerators.device_series import RENEW_SECONDS
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels, Sample
from watchkeeper.core.vocabulary import devices as vocabulary

HELD_SECONDS: Final = 2.5 * RENEW_SECONDS
"""a device of which the library has not said for so long that it was read is free for others"""
_MOST_SERIES: Final = 50_000


class Held:
    """One for each agent. Told by the thread of `accelerators` if `is_wanted`, asked by those of others."""

    def __init__(self) -> None:
        self.is_wanted = False
        """somebody will ask"""
        self._lock = threading.Lock()
        self._metrics: dict[str, set[Metric]] = {}
        self._read_at: dict[str, float] = {}
        self._noted: set[tuple[Metric, Labels]] = set()

    def tell(self, samples: Iterable[Sample], now: float) -> None:
        """What one sample of the devices brought: cheap for a series that came before."""
        with self._lock:
            if len(self._noted) > _MOST_SERIES:
                self._noted.clear()
            for sample in samples:
                key = (sample.metric, sample.labels)
                is_up = sample.metric is vocabulary.UP and sample.value == 1
                if is_up or key not in self._noted:
                    self._noted.add(key)
                    for name in _names(dict(sample.labels)):
                        self._metrics.setdefault(name, set()).add(sample.metric)
                        if is_up:
                            self._read_at[name] = now

    def has(self, device_id: str, parent: str, metric: Metric, now: float) -> bool:
        """
        Whether the library tells this now.

        :param parent: for a partition the device that it is of. An exporter may name it otherwise than the library, so
            what the library tells of some partition of a device it is taken to tell of all
        """
        with self._lock:
            return any(
                metric in self._metrics.get(name, ()) and abs(now - self._read_at.get(name, 0.0)) <= HELD_SECONDS
                for name in (device_id, *((_parts_of(parent),) if parent else ()))
            )

    def tells(self, metric: Metric, labels: Labels) -> bool:
        """Whether the library has told just this series."""
        with self._lock:
            return (metric, labels) in self._noted


_BY_AGENT: Final[WeakKeyDictionary[Ledger, Held]] = WeakKeyDictionary()
_LOCK: Final = threading.Lock()


def held_in(ledger: Ledger, *, asks: bool = True) -> Held:
    """
    That of the agent whose ledger this is: the ledger is what its sources have in common.

    :param asks: False for who only tells
    """
    with _LOCK:
        held = _BY_AGENT.setdefault(ledger, Held())
        held.is_wanted = held.is_wanted or asks
        return held


def _names(labels: dict[str, str]) -> tuple[str, ...]:
    if "hw.id" not in labels:
        return ()
    return (labels["hw.id"], _parts_of(labels["hw.parent"])) if "hw.parent" in labels else (labels["hw.id"],)


def _parts_of(parent: str) -> str:
    """No device has a line break in its id."""
    return f"{parent}\n"
