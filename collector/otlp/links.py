"""Spans that are nothing of GenAI but may lie between two model calls: whose child each of them is."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import msgspec

MAX_LINKS: Final = 20_000
MAX_LINKS_PER_TRACE: Final = 1024
_NONE: Final[Mapping[bytes, bytes]] = {}


class _Held(msgspec.Struct, gc=False, eq=False):
    touched_at: float
    parents: dict[bytes, bytes]


class Links:
    """Bounded in spans and age, apart from the memory of calls: a busy web server pushes out none. Not thread-safe."""

    def __init__(self) -> None:
        self._traces: OrderedDict[bytes, _Held] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        """Spans held."""
        return self._length

    def of(self, trace_id: bytes) -> Mapping[bytes, bytes]:
        """Span to parent."""
        held = self._traces.get(trace_id)
        return held.parents if held is not None else _NONE

    def add(self, trace_id: bytes, span_id: bytes, parent_id: bytes, now: float) -> bool:
        """False: it was seen before."""
        held = self._traces.get(trace_id)
        if held is None:
            self._traces[trace_id] = _Held(now, {span_id: parent_id})
        elif span_id in held.parents:
            return False
        else:
            if len(held.parents) >= MAX_LINKS_PER_TRACE:
                del held.parents[next(iter(held.parents))]
                self._length -= 1
            held.parents[span_id] = parent_id
            held.touched_at = now
            self._traces.move_to_end(trace_id)
        self._length += 1
        while self._length > MAX_LINKS:
            self._forget_first()
        return True

    def forget_old(self, now: float, max_age_seconds: float) -> None:
        while self._traces and now - next(iter(self._traces.values())).touched_at > max_age_seconds:
            self._forget_first()

    def _forget_first(self) -> None:
        _, held = self._traces.popitem(last=False)
        self._length -= len(held.parents)
