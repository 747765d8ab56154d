"""Each call counted once when the tap and the caller's own spans both tell of it."""

from collections import OrderedDict
from typing import Final

from msgspec.structs import replace

from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Completion, Vantage
from watchkeeper.core.vocabulary import health

KEPT_SECONDS: Final = 120.0
MAX_TRACES: Final = 20_000
_SOURCE: Final = (("source", "tap"),)


class _Brought:
    """How much each side has brought of one trace: of the tap, of all others."""

    __slots__ = ("at", "calls", "reasons", "texts")

    def __init__(self) -> None:
        self.at = 0.0
        self.calls = [0, 0]
        self.reasons = [0, 0]
        self.texts = [0, 0]


class Once:
    """
    The tap knows of a call only the trace that its request named, not which span of it. So both sides' calls of a trace
    are numbered as they come, and one counts when its side is ahead of the other: k calls seen from both sides are k.

    Bounded in time and number; what is forgotten early may be counted twice, and is counted as forgotten.
    """

    def __init__(self, ledger: Ledger, max_traces: int = MAX_TRACES) -> None:
        self._ledger = ledger
        self._max_traces = max_traces
        self._traces: OrderedDict[bytes, _Brought] = OrderedDict()
        ledger.add(health.CALLS_FORGOTTEN, 0, _SOURCE)

    def of(self, call: Completion, now: float) -> Completion:
        """
        The record as it is to be taken in: without what the other side has brought already. Its own times stay.

        :param now: unix seconds
        """
        if not call.trace_id:
            return call
        brought = self._trace(call.trace_id, now)
        side = 0 if call.vantage is Vantage.TAP else 1
        counts = call.counts and _ahead(brought.calls, side)
        keeps_reasons = bool(call.finish_reasons) and _ahead(brought.reasons, side)
        keeps_text = call.text is not None and _ahead(brought.texts, side)
        if (counts, keeps_reasons, keeps_text) == (call.counts, bool(call.finish_reasons), call.text is not None):
            return call
        return replace(
            call,
            counts=counts,
            finish_reasons=call.finish_reasons if keeps_reasons else (),
            text=call.text if keeps_text else None,
        )

    def _trace(self, trace_id: bytes, now: float) -> _Brought:
        traces = self._traces
        brought = traces.get(trace_id)
        if brought is None:
            self._forget(now)
            brought = traces[trace_id] = _Brought()
        else:
            traces.move_to_end(trace_id)
        brought.at = now
        return brought

    def _forget(self, now: float) -> None:
        traces = self._traces
        while traces:
            oldest = next(iter(traces.values()))
            is_old = not 0 <= now - oldest.at <= KEPT_SECONDS
            if not is_old and len(traces) < self._max_traces:
                return
            if not is_old:
                self._ledger.add(health.CALLS_FORGOTTEN, max(oldest.calls), _SOURCE)
            traces.popitem(last=False)


def _ahead(numbers: list[int], side: int) -> bool:
    numbers[side] += 1
    return numbers[side] > numbers[1 - side]
