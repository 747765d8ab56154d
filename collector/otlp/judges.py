"""Spans and log records that judge an answer, to Judgements; each told once."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from collector.otlp import judging, refusals
from collector.otlp.attributes import TENANT
from collector.otlp.judging import Dialect, Said
from collector.otlp.observed import Observed
from collector.otlp.origins import Origin
from collector.otlp.spans import when
from collector.otlp.tally import Tally
from watchkeeper.core.records import Judgement

MAX_REMEMBERED: Final = 8192
"""judgements that are known again when they are sent again"""

_Key = tuple[bytes, bytes, str, int, Said]


class Judges:
    """Not thread-safe."""

    def __init__(self) -> None:
        self._told: OrderedDict[_Key, None] = OrderedDict()

    def of_span(self, seen: Observed, origin: Origin, is_call: bool, tally: Tally, now: float) -> str:
        """
        What a span's attributes and its events say: of itself where it is a model call, else of the span above it.

        Why nothing came of it; "" = something did.
        """
        span_id = seen.span_id if is_call else seen.parent_id or seen.span_id
        told: list[tuple[Said, int, str]] = []
        names: set[str] = set()
        dialect = judging.FEEDBACK if judging.FEEDBACK_NAME in seen.found else judging.RESULT
        if judging.FEEDBACK_NAME in seen.found or judging.NAME in seen.found:
            response_id = _response_id(seen.found.get("response_id"))
            for said in judging.judgements(dialect, dialect.event, seen.found, None, tally.invalid):
                told.append((said, seen.end_ns, response_id))
                names.add(said.name)
        for event in seen.events:
            known = judging.dialect_of(event.name)
            if known is None or len(told) >= judging.MAX_PER_ITEM:
                continue
            response_id = _response_id(event.found.get(judging.RESPONSE_ID))
            for said in judging.judgements(known, event.name, event.found, None, tally.invalid):
                if said.name not in names:  # an evaluation's own span may say it twice
                    told.append((said, event.at_ns or seen.end_ns, response_id))
        return self._tell(told, seen, span_id, origin, tally, now)

    def of_log(
        self, seen: Observed, event: str, body: Callable[[], object], origin: Origin, tally: Tally, now: float
    ) -> str:
        """
        What a log record says of the span that it names, or of an answer by its id. Why nothing came of it, or "".

        :raises Rejected: its body is broken
        """
        dialect = judging.dialect_of(event) or judging.RESULT
        said = judging.judgements(
            dialect, event or dialect.event, seen.found, body() if _has_body(dialect) else None, tally.invalid
        )
        response_id = _response_id(seen.found.get("response_id"))
        told = [(one, seen.end_ns, response_id) for one in said]
        return self._tell(told, seen, seen.span_id, origin, tally, now)

    def _tell(
        self,
        told: list[tuple[Said, int, str]],
        seen: Observed,
        span_id: bytes,
        origin: Origin,
        tally: Tally,
        now: float,
    ) -> str:
        before = len(tally.judgements)
        trace_id = seen.trace_id or seen.lone_trace_id
        for said, at_ns, response_id in told:
            if at_ns and (trace_id or response_id) and self._knows((trace_id, span_id, response_id, at_ns, said)):
                continue
            tally.judgements.append(
                Judgement(
                    at=when(at_ns, now),
                    name=said.name,
                    score=said.score,
                    label=said.label,
                    namespace=origin.namespace,
                    service=origin.service,
                    request_model=seen.found.get("request_model", ""),
                    tenant=seen.found.get(TENANT) or origin.tenant,
                    trace_id=trace_id,
                    span_id=span_id,
                    response_id=response_id,
                )
            )
        if len(tally.judgements) > before:
            return ""
        return refusals.DUPLICATE if told else refusals.NO_SCORE

    def _knows(self, key: _Key) -> bool:
        """Whether it was told before: two users never judge in the same nanosecond."""
        if key in self._told:
            return True
        if len(self._told) >= MAX_REMEMBERED:
            self._told.popitem(last=False)
        self._told[key] = None
        return False


def _has_body(dialect: Dialect) -> bool:
    return bool(dialect.listed)


def _response_id(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= judging.MAX_NAME_CHARACTERS else ""
