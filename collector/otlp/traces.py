"""A batch of spans to records, each call counted once."""

from collections.abc import Iterable
from typing import Final

from collector.otlp import kinds, refusals
from collector.otlp.attributes import PROVIDER_RANK
from collector.otlp.calls import SPAN, Calls
from collector.otlp.messages import Messages
from collector.otlp.observed import Observed
from collector.otlp.origins import Origin
from collector.otlp.senders import Senders
from collector.otlp.spans import Reader, is_engine
from collector.otlp.tally import Tally

_LEGACY_PROVIDER_RANK: Final = 1
"""`gen_ai.system`: its senders put text into log records of their own"""

_LAST: Final = 1 << 64
"""later than any time"""


class Traces:
    """Not thread-safe."""

    def __init__(self, calls: Calls, messages: Messages, senders: Senders, max_text_characters: int) -> None:
        self._calls = calls
        self._messages = messages
        self._senders = senders
        self._max_text_characters = max_text_characters

    def take(self, spans: Iterable[tuple[Observed, Origin]], tally: Tally, now: float) -> None:
        """
        Inner spans start later than the ones around them, so they are judged in that order, whatever order they
        were sent in. Engines come last: their clients say more about a call, and are then known.
        """
        reader = Reader(tally.invalid, self._max_text_characters)
        heard: Origin | None = None
        for seen, origin in sorted(spans, key=_inner_first):
            operation = reader.operation(seen)
            if operation in kinds.INFERENCE:
                if origin is not heard:
                    self._senders.saw(origin.sender, now)
                    heard = origin
                self._call(seen, operation, origin, reader, tally, now)
            elif operation in (kinds.NONE, kinds.OUTER):
                self._calls.link(seen.trace_id, seen.span_id, seen.parent_id, now)
                tally.ignored[refusals.SAME_CALL if operation else refusals.NOT_GENAI] += 1
            elif not self._calls.link(seen.trace_id, seen.span_id, seen.parent_id, now):
                tally.ignored[refusals.DUPLICATE] += 1
            elif (sample := reader.sample(seen, operation, origin, now)) is not None:
                self._senders.saw(origin.sender, now)
                tally.samples.append(sample)
            else:
                tally.ignored[refusals.NO_DURATION] += 1

    def _call(self, seen: Observed, operation: str, origin: Origin, reader: Reader, tally: Tally, now: float) -> None:
        if self._messages:
            self._messages.attach(seen)
        completion = reader.completion(seen, operation, origin, now)
        start, response_id = seen.start_ns / 1e9, completion.response_id
        same = None
        if self._calls.has_untimed and response_id:
            same = self._calls.untimed_by_response(origin.service, response_id, start, seen.end_ns / 1e9)
        call, new, repeated = self._calls.judge(completion, seen.parent_id, start, SPAN, now, same)
        if repeated:
            tally.ignored[refusals.DUPLICATE] += 1
            return
        if new:
            tally.completions.append(completion)
        else:
            tally.add(call, completion, refusals.SAME_CALL)
        if response_id:
            self._calls.remember_response(origin.service, response_id, call)
        if completion.text is None and seen.found.get(PROVIDER_RANK) == _LEGACY_PROVIDER_RANK:
            call.identity = completion


def _inner_first(item: tuple[Observed, Origin]) -> int:
    seen = item[0]
    return _LAST - seen.start_ns if is_engine(seen) else -seen.start_ns
