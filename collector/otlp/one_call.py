"""One model call, as far as it was told of."""

from typing import Final

import msgspec

from collector.otlp import facets
from watchkeeper.core.records import Completion, Vantage

SLACK_SECONDS: Final = 1.0
"""how far apart the clocks of a client and its engine may be"""
TWIN_SLACK_SECONDS: Final = 0.1
"""how far apart two instrumentations of one program may see the ends of a call"""

_CLIENT: Final = Vantage.CLIENT


Tellers = tuple[str, ...]
"""a service, and the instrumentations in it that told of a call; nothing = not known"""
ALONE: Final = 2
"""so long are those with one instrumentation: where there are more, they know each other's traces"""


class Lone(msgspec.Struct, gc=False, eq=False):
    """The one span that is known of a trace: most traces have no other, so it is kept small."""

    touched_at: float
    span_id: bytes
    parent_id: bytes
    signals: int


class Call(Lone, gc=False, eq=False):
    """
    `given` are the facets reported so far; times in unix seconds, 0 = not known.

    It is also the span that told of it first, for as long as no other of its trace is known. What comes by a log record
    without ids has no trace at first, and was touched when it was written.
    """

    given: int
    start: float
    seconds: float | None
    """from its start to its end"""
    client: bool
    engine: bool
    request_model: str
    response_model: str
    response_id: str
    duration_seconds: float | None
    first_token_seconds: float | None
    """both as the client saw them"""
    output_tokens: int | None
    """no more than these three are kept of what tells a pace, and none where one client told all of it"""
    input_tokens: int | None = None
    tellers: Tellers = ()
    logged: bool = False
    """whether a log record without ids was found to be this call"""
    identity: Completion | None = None
    """kept while text may still come as log records of its own"""

    @property
    def end(self) -> float:
        return self.start + (self.seconds or 0.0)

    def holds(self, start: float, end: float) -> bool:
        """Whether the interval lies within the call's own, give or take the clocks."""
        return bool(self.start) and self.start - SLACK_SECONDS <= start and end <= self.end + SLACK_SECONDS

    def lies_within(self, start: float, end: float) -> bool:
        """Whether the call's own interval lies within this one, give or take the clocks."""
        return bool(self.start) and start - SLACK_SECONDS <= self.start and self.end <= end + SLACK_SECONDS

    def is_twin(self, seen: Completion, start: float, teller: Tellers) -> bool:
        """
        Whether another instrumentation of the same program tells of this call again, by all that both know: one of the
        two was made within the other, and model and input are the same. None tells of a call twice.
        """
        seconds = seen.duration_seconds
        same_answer = bool(self.response_id) and self.response_id == seen.response_id
        if not same_answer and self.input_tokens and seen.input_tokens and self.input_tokens != seen.input_tokens:
            return False
        if not self.client or not self.start or self.seconds is None or seconds is None:
            return False
        if not set(teller[1:]).isdisjoint(self.tellers[1:]):
            return False
        later, sooner = start - self.start, self.end - (start + seconds)
        within = later >= -TWIN_SLACK_SECONDS and sooner >= -TWIN_SLACK_SECONDS
        around = later <= TWIN_SLACK_SECONDS and sooner <= TWIN_SLACK_SECONDS
        return (within or around) and (same_answer or self._has_model_of(seen))

    def _has_model_of(self, seen: Completion) -> bool:
        own = _names(self.request_model, self.response_model)
        return not own.isdisjoint(_names(seen.request_model, seen.response_model))

    def join(self, seen: Completion, start: float, teller: Tellers = ()) -> None:
        """Another observer of the same call."""
        if teller != self.tellers:
            self.tellers = told_by(self.tellers, teller)
        if seen.vantage is _CLIENT:
            self.client = True
        else:
            self.engine = True
        if not self.start and start:
            self.start, self.seconds = start, seen.duration_seconds

    def add(self, seen: Completion, bits: int) -> float | None:
        """
        Take note of the facets in `bits`, new with this observation. Seconds per output token after the first, when
        they complete what tells it: from this observer's own two times if it has both, else with the one known.
        """
        self.given |= bits
        if self.output_tokens is None:
            self.output_tokens = seen.output_tokens
        if seen.vantage is not _CLIENT:
            return None
        duration, first = seen.duration_seconds, seen.time_to_first_token_seconds
        if duration is None or first is None:
            duration = self.duration_seconds if duration is None else duration
            first = self.first_token_seconds if first is None else first
        self.duration_seconds, self.first_token_seconds = duration, first
        completed = bits & facets.CLIENT not in (0, facets.CLIENT) and not facets.CLIENT & ~self.given
        tokens = seen.output_tokens or self.output_tokens or 0
        if not completed or duration is None or first is None or tokens < 2 or duration < first:
            return None
        return (duration - first) / (tokens - 1)


def told_by(tellers: Tellers, teller: Tellers) -> Tellers:
    """The first service's, and the instrumentations of both."""
    more = tuple(scope for scope in teller[1:] if scope not in tellers[1:])
    return (*tellers, *more) if tellers else teller


def _names(*models: str) -> set[str]:
    """Without the provider that gateways put before them."""
    return {model.rpartition("/")[2] for model in models if model}


def call_of(seen: Completion, parent_id: bytes, start: float, signal: int, now: float, teller: Tellers = ()) -> Call:
    """
    A call that nobody told of before.

    :param start: unix seconds, 0 = not known
    """
    client = seen.vantage is _CLIENT
    seconds, first, tokens = seen.duration_seconds, seen.time_to_first_token_seconds, seen.output_tokens
    duration = seconds
    if not client:
        duration = first = None
    elif duration is not None and first is not None:
        duration = first = tokens = None  # two objects less in each of very many
    return Call(  # by position: names cost more, and this is the hot path
        now,
        seen.span_id,
        parent_id,
        signal,
        facets.of(seen),
        start,
        seconds,
        client,
        not client,
        seen.request_model,
        seen.response_model,
        seen.response_id,
        duration,
        first,
        tokens,
        seen.input_tokens,
        teller,
    )
