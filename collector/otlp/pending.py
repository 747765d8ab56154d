"""Metrics of senders not heard of before, until it is known that their calls do not come one by one as well."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from collector.otlp.senders import Sender
from collector.otlp.tally import SAMPLE_BYTES
from watchkeeper.core.records import Sample

HOLD_SECONDS: Final = 10.0
"""spans are sent every 5 s by default, so a sender's first ones are here by then"""


class Pending:
    """One sample stands for one data point. Bounded in bytes: what is held longest goes out early. Not thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._max_samples = max_bytes // SAMPLE_BYTES
        self._held: OrderedDict[Sender, tuple[float, list[Sample]]] = OrderedDict()
        self._early: list[Sample] = []
        self._length = 0

    def __len__(self) -> int:
        """Samples held."""
        return self._length

    @property
    def size_bytes(self) -> int:
        return self._length * SAMPLE_BYTES

    def hold(self, sender: Sender, sample: Sample, now: float) -> None:
        held = self._held.get(sender)
        if held is None:
            held = self._held[sender] = (now, [])
        held[1].append(sample)
        self._length += 1
        while self._held and self._length - len(self._early) > self._max_samples:
            _, (_, samples) = self._held.popitem(last=False)
            self._early += samples

    def drop(self, sender: Sender) -> int:
        """Forget what is held of a sender; how many samples that were."""
        _, samples = self._held.pop(sender, (0.0, ()))
        self._length -= len(samples)
        return len(samples)

    def early(self) -> list[Sample]:
        """Those there was no more room for."""
        samples, self._early = self._early, []
        self._length -= len(samples)
        return samples

    def due(self, now: float, everything: bool) -> Iterator[tuple[Sender, list[Sample]]]:
        """Those held long enough; a clock that was set back ends the wait too."""
        while self._held:
            sender, (since, samples) = next(iter(self._held.items()))
            if not everything and 0 <= now - since < HOLD_SECONDS:
                return
            del self._held[sender]
            self._length -= len(samples)
            yield sender, samples
