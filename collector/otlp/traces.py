"""A batch of spans to records, each call counted once."""

from collections.abc import Iterable
from operator import attrgetter
from typing import Final

import msgspec

from collector.otlp import fields, kinds, refusals
from collector.otlp.attributes import PROVIDER_RANK
from collector.otlp.calls import SPAN, Calls
from collector.otlp.judges import Judges
from collector.otlp.messages import Messages
from collector.otlp.observed import Observed
from collector.otlp.one_call import Tellers
from collector.otlp.origins import Origin
from collector.otlp.senders import Senders
from collector.otlp.spans import Reader
from collector.otlp.tally import Tally
from collector.otlp.writers import Writers
from watchkeeper.core.records import Completion, Sample, Vantage

_LEGACY_PROVIDER_RANK: Final = 1
"""`gen_ai.system`: its senders put text into log records of their own"""

_ENGINE: Final = Vantage.ENGINE
_LAST: Final = 1 << 64
"""later than any time"""


class _Understood(msgspec.Struct, gc=False):
    """A span and what it means: a call, a sample, or nothing for `reason`; without one it was a judgement."""

    order: int
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    start: float
    legacy: bool
    record: Completion | Sample | None
    reason: str = ""
    teller: Tellers = ()


_order = attrgetter("order")


class Traces:
    """Not thread-safe."""

    def __init__(
        self,
        calls: Calls,
        messages: Messages,
        senders: Senders,
        judges: Judges,
        writers: Writers,
        max_text_characters: int,
    ) -> None:
        self._calls = calls
        self._messages = messages
        self._senders = senders
        self._judges = judges
        self._writers = writers
        self._max_text_characters = max_text_characters
        self._heard: Origin | None = None
        """whose call was the last, in the request at hand"""
        self._teller: Tellers = ()
        """by whom it was told"""

    def take(self, spans: Iterable[tuple[Observed, Origin]], tally: Tally, now: float) -> None:
        """
        Inner spans start later than the ones around them, so they are judged in that order, whatever order they
        were sent in. Engines come last: their clients say more about a call, and are then known.
        """
        reader = Reader(tally.invalid, self._max_text_characters)
        self._heard = None
        understood = [self._understand(seen, origin, reader, tally, now) for seen, origin in spans]
        understood.sort(key=_order)
        for item in understood:
            if isinstance(item.record, Completion):
                self._call(item, item.record, tally, now)
            elif item.record is None:
                self._calls.link(item.trace_id, item.span_id, item.parent_id, now)
                if item.reason:
                    tally.ignored[item.reason] += 1
            elif self._calls.operation(item.trace_id, item.span_id, item.parent_id, now):
                tally.samples.append(item.record)
            else:
                tally.ignored[refusals.DUPLICATE] += 1

    def _understand(self, seen: Observed, origin: Origin, reader: Reader, tally: Tally, now: float) -> _Understood:
        operation = reader.operation(seen)
        record: Completion | Sample | None = None
        order, legacy, reason = -seen.start_ns, False, ""
        if operation in kinds.INFERENCE:
            if self._messages:
                self._messages.attach(seen)
            if origin is not self._heard:
                self._heard = origin
                self._senders.saw(origin.sender, now)
                self._writers.saw(origin, now)
                self._teller = (origin.service, origin.scope)
                self._calls.heard(origin.sender, self._teller)
            record = reader.completion(seen, operation, origin, now)
            legacy = record.text is None and seen.found.get(PROVIDER_RANK) == _LEGACY_PROVIDER_RANK
            if record.vantage is _ENGINE:
                order += _LAST
        elif operation in (kinds.NONE, kinds.OUTER):
            reason = refusals.SAME_CALL if operation else refusals.NOT_GENAI
        else:
            self._senders.saw(origin.sender, now)
            record, reason = reader.sample(seen, operation, origin, now), refusals.NO_DURATION
        if fields.JUDGES in seen.found or seen.events:
            reason = self._judges.of_span(seen, origin, operation in kinds.INFERENCE, tally, now)
        return _Understood(
            order,
            seen.trace_id,
            seen.span_id,
            seen.parent_id,
            seen.start_ns / 1e9,
            legacy,
            record,
            reason,
            self._teller,
        )

    def _call(self, item: _Understood, call_seen: Completion, tally: Tally, now: float) -> None:
        call, new, repeated = self._calls.judge(call_seen, item.parent_id, item.start, SPAN, now, item.teller)
        if repeated:
            tally.repeat(call_seen)
            return
        if new:
            tally.completions.append(call_seen)
        else:
            tally.add(call, call_seen, refusals.SAME_CALL)
        if item.legacy:
            call.identity = call_seen
