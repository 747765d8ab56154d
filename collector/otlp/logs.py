"""A batch of log records to records: events that tell of a whole call, and messages that belong to one."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from collector.otlp import facets, fields, judging, kinds, refusals
from collector.otlp.calls import LOG, Calls
from collector.otlp.judges import Judges
from collector.otlp.messages import EVENTS, Key, Messages
from collector.otlp.observed import Observed
from collector.otlp.origins import Origin
from collector.otlp.senders import Senders
from collector.otlp.spans import Reader
from collector.otlp.tally import Tally
from collector.otlp.writers import Writers
from watchkeeper.core.records import Text

DETAILS: Final = "gen_ai.client.inference.operation.details"
_OTHER_EVENTS: Final = ("gen_ai.", "llm.")

LogItem = tuple[Observed, Callable[[], object], Origin]
"""the record, what decodes its body, and who sent it"""


class Logs:
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

    def take(self, records: Iterable[LogItem], tally: Tally, now: float) -> None:
        reader = Reader(tally.invalid, self._max_text_characters)
        spoken: dict[Key, None] = {}
        for seen, body, origin in records:
            event = seen.name or seen.found.get("event_name", "")
            if event == DETAILS:
                self._details(seen, origin, reader, tally, now)
            elif event in EVENTS:
                if seen.trace_id:  # else it has no span either, and its metrics are all there is
                    self._senders.saw(origin.sender, now)
                self._message(seen, event, body, spoken, tally, now)
            elif event.startswith(judging.PREFIX) or (fields.JUDGES in seen.found and judging.NAME in seen.found):
                self._judge(seen, event, body, origin, tally, now)
            elif event.startswith(_OTHER_EVENTS):
                tally.ignored[refusals.EVENT_NOT_USED] += 1
            else:
                tally.ignored[refusals.NOT_GENAI] += 1
        for key in spoken:
            self._say(key, tally)

    def _judge(
        self, seen: Observed, event: str, body: Callable[[], object], origin: Origin, tally: Tally, now: float
    ) -> None:
        try:
            why_not = self._judges.of_log(seen, event, body, origin, tally, now)
        except refusals.Rejected as why:
            tally.rejected[why.reason] += 1
            return
        if why_not:
            tally.ignored[why_not] += 1

    def _details(self, seen: Observed, origin: Origin, reader: Reader, tally: Tally, now: float) -> None:
        operation = reader.operation(seen) or "chat"
        if operation not in kinds.INFERENCE:
            tally.ignored[refusals.EVENT_NOT_USED] += 1
            return
        self._senders.saw(origin.sender, now)
        self._writers.saw(origin, now)
        completion = reader.completion(seen, operation, origin, now, timed=False)
        if not seen.trace_id:
            call = self._calls.by_response(completion.response_id, seen.end_ns / 1e9)
            if call is None:
                self._calls.count_without_ids(msgspec.structs.replace(completion, at=seen.end_ns / 1e9))
                tally.completions.append(completion)
            else:
                call.logged = True
                tally.add(call, completion, refusals.SAME_CALL)
            return
        call, new, repeated = self._calls.judge(completion, b"", 0.0, LOG, now)
        if repeated:
            tally.repeat(completion)
        elif new:
            tally.completions.append(completion)
        else:
            tally.add(call, completion, refusals.SAME_CALL)

    def _message(
        self, seen: Observed, event: str, body: Callable[[], object], spoken: dict[Key, None], tally: Tally, now: float
    ) -> None:
        if seen.trace_id:
            key = (seen.trace_id, seen.span_id)
            try:
                self._messages.add(key, event, body(), now)
            except refusals.Rejected as why:
                tally.rejected[why.reason] += 1
                return
            spoken[key] = None
        tally.ignored[refusals.MESSAGE_EVENT] += 1

    def _say(self, key: Key, tally: Tally) -> None:
        """Text whose span was here first goes out as an addition to it."""
        if not self._messages.chosen(key):
            return
        call = self._calls.find(*key)
        if call is None:
            return
        held = self._messages.take(key)
        if held is None or call.identity is None:
            return
        said = msgspec.structs.replace(
            call.identity,
            text=Text(held.prompt.text, held.answer.text) if held.prompt.text or held.answer.text else None,
            finish_reasons=tuple(held.answer.reasons),
            tool_names=tuple(held.answer.tools),
        )
        bits = facets.of(said) & ~call.given & (facets.TEXT | facets.FINISH | facets.TOOLS)
        call.identity = None
        if bits:
            call.given |= bits
            tally.completions.append(facets.only(said, bits, call.request_model, call.response_model))
