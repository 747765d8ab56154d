"""What records of calls tell of the way they came: how late, how whole. The hot path: plain numbers are added."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from watchkeeper.core.records import Completion, Distribution, Labels, Outcome, Sample
from watchkeeper.core.vocabulary import links

AHEAD_SECONDS: Final = 2.0
"""how far clocks may be apart, beyond what NTP leaves"""
_BOUNDS: Final = links.DELAY.buckets
_FIRST: Final = _BOUNDS[0]
_OK: Final = Outcome.OK

_Key = tuple[str, str, str, str]


class _Counts:
    """Of one tick. Calls without a part are counted, not those with it: they are few, and a call costs less so."""

    __slots__ = ("ahead", "calls", "delays", "inputs", "outputs", "reasons", "seconds", "soon", "texts")

    def __init__(self) -> None:
        self.calls = self.inputs = self.outputs = self.reasons = self.texts = self.soon = self.ahead = 0
        self.delays: list[int] = []
        """per bucket, made at the first that is not in the lowest"""
        self.seconds = 0.0


class LinkMeter:
    """Counts by source, namespace, service and model until they are drained. One thread owns it."""

    def __init__(self) -> None:
        self._counts: dict[_Key, _Counts] = {}

    def take(self, source: str, groups: Iterable[Sequence[Completion]], now: float) -> None:
        """
        Records as they came, before anything is left out of them.

        :param groups: at least one record each, all of one namespace, service and model
        :param now: unix seconds
        """
        for calls in groups:
            call = calls[0]
            key = (source, call.namespace, call.service, call.request_model)
            told = self._counts.get(key)
            if told is None:
                told = self._counts[key] = _Counts()
            _count(told, calls, now)

    def drain(self, now: float) -> Sequence[Sample]:
        """What was counted since the last drain, as samples at `now`."""
        if not self._counts:
            return ()
        counts, self._counts = self._counts, {}
        return [sample for key, told in counts.items() for sample in _samples(key, told, now)]


def _count(told: _Counts, calls: Sequence[Completion], now: float) -> None:
    soon = whole = textless = 0
    seconds = 0.0
    for call in calls:
        late = now - call.at
        if 0.0 <= late <= _FIRST:
            soon += 1
            seconds += late
        else:
            _note(told, late)
        outcome = call.outcome
        if outcome is not _OK and outcome is not None:
            continue
        if call.counts:
            whole += 1
            if call.input_tokens is None:
                told.inputs -= 1
            if call.output_tokens is None:
                told.outputs -= 1
            if not call.finish_reasons:
                told.reasons -= 1
            if call.text is None:
                textless += 1
        else:
            _add(told, call)
    told.soon += soon
    told.seconds += seconds
    told.calls += whole
    told.texts -= textless


def _add(told: _Counts, call: Completion) -> None:
    """What a later record brings of a call that was counted before."""
    if call.finish_reasons:
        told.reasons += 1
    if call.text is not None:
        told.texts += 1


def _note(told: _Counts, late: float) -> None:
    if late < 0:
        told.soon += 1
        told.ahead += late < -AHEAD_SECONDS
        return
    if not told.delays:
        told.delays = [0] * (len(_BOUNDS) + 1)
    told.delays[bisect_left(_BOUNDS, late)] += 1
    told.seconds += late


def _samples(key: _Key, told: _Counts, now: float) -> Iterable[Sample]:
    link: Labels = tuple(zip(links.LINK, key[:3], strict=True))
    delays = told.delays or [0] * (len(_BOUNDS) + 1)
    delays[0] += told.soon
    yield Sample(links.DELAY, Distribution(_BOUNDS, tuple(delays), told.seconds), now, link)
    yield Sample(links.AHEAD, told.ahead, now, link)
    of_model: Labels = (*link, (links.MODEL, key[3]))
    yield Sample(links.CALLS, told.calls, now, of_model)
    missing = (told.inputs, told.outputs, told.reasons, told.texts)
    for part, number in zip(links.PARTS, missing, strict=True):
        yield Sample(links.HAVING, told.calls + number, now, (*of_model, (links.PART, part)))
