"""The quantities whose movement may explain a finding, and where each is read: metrics of the vocabulary, by rule."""

from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec

from detectors.signals.throttling import kind_of
from watchkeeper.core.metric import Metric
from watchkeeper.core.vocabulary import devices, engines, outputs, requests, signals


class Take(StrEnum):
    """How series of a metric become one value a step."""

    MEAN = "mean"
    """gauge: mean over series"""
    MAX = "max"
    """gauge: the largest"""
    RATE = "rate"
    """counter: what all series added, per second"""
    EVENTS = "events"
    """the same of something rare: before and after are compared by how often it happened"""
    EACH = "each"
    """histogram: mean of what was observed"""
    SHARE = "share"
    """counters: what `metric` added over what `of` added"""
    MOST = "most"
    """counter: the share of that value of the label `apart` which was the most frequent one before"""


Accepts = Callable[[str], bool]
Where = tuple[tuple[str, Accepts], ...]
"""(label, which of its values count); a label that a series does not have is the empty value"""


class Measure(msgspec.Struct, frozen=True):
    """
    One way to read a quantity. Series that differ in the label `apart` are never mixed: compared is the value seen most
    (vantages, units), or with `most_moved` the one that moved most (checks).
    """

    metric: Metric
    take: Take
    where: Where = ()
    of: Metric | None = None
    of_where: Where = ()
    apart: str = ""
    most_moved: bool = False


class Unit(StrEnum):
    """How a value is written."""

    NUMBER = "number"
    SECONDS = "seconds"
    SHARE = "share"
    PER_SECOND = "per second"
    PER_HOUR = "per hour"
    """of a value per second"""
    MEGAHERTZ = "MHz"
    """of a value in hertz"""
    CELSIUS = "Cel"
    WATTS = "W"


class Candidate(msgspec.Struct, frozen=True):
    """
    One quantity. `words` names it, `{}` in them the value of `apart`. `measures` are tried in this order. A move is
    counted in usual spreads, and a spread is at least `floor` (in the value's unit) and `floor_ratio` of the value.
    """

    name: str
    words: str
    unit: Unit
    measures: tuple[Measure, ...]
    floor: float
    floor_ratio: float = 0.05


def _is(*values: str) -> Accepts:
    return frozenset(values).__contains__


def _is_trouble(reason: str) -> bool:
    return bool(kind_of(reason))


_INPUT: Final[Where] = ((requests.TOKEN_TYPE, _is("input")),)
_OUTPUT: Final[Where] = ((requests.TOKEN_TYPE, _is("output")),)
_CACHED: Final[Where] = ((requests.TOKEN_TYPE, _is("cache_read")),)
_REASONING: Final[Where] = ((requests.TOKEN_TYPE, _is("reasoning")),)
_CORE: Final[Where] = (("clock", _is("core", "")),)
_CHIP: Final[Where] = (("hw.sensor_location", _is("chip", "")),)
_TASK: Final[Where] = (("hw.gpu.task", _is("general", "")),)
_TROUBLE: Final[Where] = ((devices.REASON, _is_trouble),)
_LENGTH: Final[Where] = (("gen_ai.response.finish_reason", _is("length")),)
_STRAGGLER: Final[Where] = ((signals.SIGNAL, _is("straggler")),)
_MEMORY_OR_LINK: Final[Where] = (("fault.class", _is("memory", "link", "bus")),)
_UNIT: Final = "cache.unit"


def _each(metric: Metric, where: Where = ()) -> Measure:
    """Latencies and lengths, each observer for itself where the metric tells them apart."""
    return Measure(metric, Take.EACH, where, apart=requests.VANTAGE if requests.VANTAGE in metric.labels else "")


CANDIDATES: Final = (
    Candidate(
        "throttled", "time with clocks held back, per second", Unit.SECONDS,
        (Measure(devices.THROTTLE_TIME, Take.RATE, _TROUBLE), Measure(devices.THROTTLED, Take.MAX, _TROUBLE)), 0.02,
    ),
    Candidate("clock", "core clock", Unit.MEGAHERTZ, (Measure(devices.CLOCK, Take.MEAN, _CORE),), 1e6, 0.02),
    Candidate(
        "temperature", "temperature of the hottest device", Unit.CELSIUS,
        (Measure(devices.TEMPERATURE, Take.MAX, _CHIP),), 2.0, 0.01,
    ),
    Candidate("power", "power of a device", Unit.WATTS, (Measure(devices.POWER, Take.MEAN),), 5.0),
    Candidate(
        "utilization", "utilisation of the devices", Unit.SHARE,
        (Measure(devices.UTILIZATION, Take.MEAN, _TASK),), 0.05,
    ),
    Candidate(
        "kv_cache", "KV cache in use", Unit.SHARE,
        (Measure(engines.KV_CACHE_MAX, Take.MAX), Measure(engines.KV_CACHE, Take.MAX)), 0.02,
    ),
    Candidate("preemptions", "preemptions", Unit.PER_HOUR, (Measure(engines.PREEMPTIONS, Take.EVENTS),), 0.0),
    Candidate("waiting", "requests waiting at an engine", Unit.NUMBER, (Measure(engines.WAITING, Take.MEAN),), 0.5),
    Candidate(
        "prefix_hits", "prompt taken from the prefix cache", Unit.SHARE,
        (
            Measure(engines.PREFIX_HITS, Take.SHARE, of=engines.PREFIX_QUERIES, apart=_UNIT),
            Measure(engines.PREFIX_HIT_RATIO, Take.MEAN),
            Measure(requests.TOKENS, Take.SHARE, _CACHED, of=requests.TOKENS, of_where=_INPUT),
            Measure(engines.CACHED_TOKENS, Take.SHARE, of=engines.TOKENS, of_where=_INPUT),
        ), 0.02,
    ),
    Candidate("first_token", "time to first token", Unit.SECONDS, (_each(requests.SERVER_FIRST_TOKEN),), 0.005),
    Candidate(
        "per_token", "time per output token", Unit.SECONDS,
        (_each(requests.SERVER_PER_TOKEN), _each(engines.INTER_TOKEN_LATENCY)), 0.0005,
    ),
    Candidate("duration", "duration of a call", Unit.SECONDS, (_each(requests.SERVER_DURATION),), 0.01),
    Candidate(
        "request_rate", "requests", Unit.PER_SECOND,
        (
            Measure(requests.REQUESTS, Take.RATE), Measure(engines.RECEIVED, Take.RATE),
            Measure(engines.FINISHED, Take.RATE),
        ), 0.02,
    ),
    Candidate("prompt_tokens", "prompt tokens", Unit.NUMBER, (_each(requests.CLIENT_TOKEN_USAGE, _INPUT),), 2.0),
    Candidate("generated_tokens", "generated tokens", Unit.NUMBER, (_each(requests.CLIENT_TOKEN_USAGE, _OUTPUT),), 2.0),
    Candidate("prefill_time", "prefill time", Unit.SECONDS, (_each(engines.PREFILL_TIME),), 0.005),
    Candidate(
        "throughput", "output tokens", Unit.PER_SECOND,
        (Measure(engines.TOKENS, Take.RATE, _OUTPUT), Measure(requests.TOKENS, Take.RATE, _OUTPUT)), 1.0,
    ),
    Candidate(
        "reasoning_share", "reasoning in the output", Unit.SHARE,
        (
            _each(outputs.REASONING_SHARE),
            Measure(requests.TOKENS, Take.SHARE, _REASONING, of=requests.TOKENS, of_where=_OUTPUT),
        ), 0.02,
    ),
    Candidate(
        "straggler", "score of the slowest device among its peers", Unit.NUMBER,
        (Measure(signals.SCORE, Take.MAX, _STRAGGLER),), 0.1,
    ),
    Candidate("memory_errors", "memory errors", Unit.PER_HOUR, (Measure(devices.ERRORS, Take.EVENTS),), 0.0),
    Candidate("remapped", "memory taken out of use", Unit.PER_HOUR, (Measure(devices.REMAPPED, Take.EVENTS),), 0.0),
    Candidate("link_errors", "link errors", Unit.PER_HOUR, (Measure(devices.LINK_ERRORS, Take.EVENTS),), 0.0),
    Candidate(
        "device_faults", "memory, link and bus faults", Unit.PER_HOUR,
        (Measure(devices.FAULTS, Take.EVENTS, _MEMORY_OR_LINK),), 0.0,
    ),
    Candidate(
        "marked", "answers marked by the check {}", Unit.SHARE,
        (
            Measure(outputs.FLAGGED, Take.SHARE, of=outputs.CHECKED, apart=outputs.CHECK, most_moved=True),
        ), 0.01,
    ),
    Candidate("surprise", "surprise of an answer, in nats", Unit.NUMBER, (_each(outputs.SURPRISE),), 0.02),
    Candidate("repetition", "repetition in an answer", Unit.SHARE, (_each(outputs.REPETITION),), 0.01),
    Candidate("compression", "compression of an answer", Unit.NUMBER, (_each(outputs.COMPRESSION),), 0.03),
    Candidate(
        "cut_short", "answers cut at their limit", Unit.SHARE,
        (Measure(requests.FINISH_REASONS, Take.SHARE, _LENGTH, of=requests.FINISH_REASONS),), 0.02,
    ),
    Candidate(
        "language", "answers in {}", Unit.SHARE, (Measure(outputs.LANGUAGE, Take.MOST, apart="language"),), 0.03,
    ),
    Candidate(
        "tenant", "requests of the tenant {}", Unit.SHARE,
        (Measure(requests.REQUESTS, Take.MOST, apart="tenant"),), 0.03,
    ),
    Candidate(
        "operation", "requests of the kind {}", Unit.SHARE,
        (Measure(requests.REQUESTS, Take.MOST, apart="gen_ai.operation.name"),), 0.03,
    ),
    Candidate("host", "CPU steal, disk and network of the host", Unit.NUMBER, (), 0.0),
)  # fmt: skip
"""the last is read nowhere yet: its cause is told as not measured"""

BY_NAME: Final = {candidate.name: candidate for candidate in CANDIDATES}
MEASURES: Final = tuple(dict.fromkeys(measure for candidate in CANDIDATES for measure in candidate.measures))
