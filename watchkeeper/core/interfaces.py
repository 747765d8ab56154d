"""Roles a part can play, and how it is listed. Time is an argument; threads, retries and signals are the agent's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec

from watchkeeper.core.fleet import Checkpoint, Reached
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Assessment, Batch, Completion, Reading, Score, Verdict


class Source(Protocol):
    """Reads devices or pages, or drains the inbox that a push protocol fills."""

    def read(self, now: float) -> Reading:
        """
        Everything new since the last call.

        :param now: unix seconds
        :raises Unavailable: the thing read is not here; asked again slowly
        :raises Retryable: may succeed next time
        """
        ...

    def close(self) -> None:
        """Stop taking in and release sockets. What was already acknowledged can still be read once after this."""
        ...


@runtime_checkable
class Holding(Protocol):
    """A source whose queue is bounded and counts what `read` gave until that is folded."""

    def folded(self) -> None:
        """All that was read so far."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """
    A source that reads a log, and whose reader keeps what it made of it beside the log. Both may be called from any
    thread but `finish`, which comes when nothing else does any more.
    """

    def keep(self, checkpoint: Checkpoint) -> None:
        """Written by the source later; only then it counts as read. One of a partition that left is dropped."""
        ...

    def reached(self, places: Sequence[Reached]) -> None:
        """So much of logs without states was taken."""
        ...

    def finish(self) -> None:
        """After `close`: writes what is still to be kept and leaves."""
        ...


class Detector(Protocol):
    """Observations in, verdict out. No clock, no I/O, no unseeded randomness."""

    def update(self, value: float | str, now: float) -> Verdict:
        """One observation: a number, or a category's name. :param now: unix seconds"""
        ...

    def tick(self, counts: Sequence[int], at: float, now: float) -> Verdict:
        """
        The observations of a whole tick, counted per bin of the reference: what replicas add up to.

        :param at: unix seconds at which the tick began
        """
        ...

    def state(self) -> bytes:
        """What `restore` of a new one needs to go on as if there had been no restart."""
        ...

    def restore(self, data: bytes) -> None:
        """:raises WatchkeeperError: the state is not of this detector and reference"""
        ...


class Signal(Protocol):
    """Watches series of machines, services or data links and judges each subject. No clock, no I/O."""

    def update(self, batch: Batch) -> None:
        """What changed at a tick, of the metrics in the part's `reads`: totals since start, as exporters get them."""
        ...

    def assess(self, now: float) -> Sequence[Assessment]:
        """Every subject it knows, also those that are well; one left out is gone."""
        ...


class Check(Protocol):
    """Reads the text of one call and returns numbers about it. No clock, no I/O, bounded time for any text."""

    def score(self, call: Prepared) -> tuple[Score, ...]:
        """Empty where the check has nothing to go by: such an answer counts as not checked."""
        ...


@runtime_checkable
class Later(Protocol):
    """A check whose verdicts take long: `score` hands over to a thread of the check's own, bounded, and returns ()."""

    def due(self) -> Sequence[tuple[Completion, tuple[Score, ...]]]:
        """Verdicts since the last call, each with its call without the text; asked at every tick."""
        ...

    def close(self) -> None:
        """End the thread; what was not judged is gone."""
        ...


class Exporter(Protocol):
    """Takes what changed at a tick to one destination."""

    def write(self, batch: Batch) -> None:
        """
        Keep what changed; called from the pipeline's thread, so it never waits for a destination.

        An exporter that sends does so in a thread of its own, with the newest totals: a failed send loses nothing.
        """
        ...

    def close(self) -> None: ...


class Request(msgspec.Struct, frozen=True):
    """One GET to a served page. Header names in lower case."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    is_insider: bool = False
    """who asks showed a token of this port, or sits on this machine and asks for it by a name of loopback"""


class Answer(msgspec.Struct, frozen=True):
    body: bytes
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = {}


@runtime_checkable
class Served(Protocol):
    """An exporter that people or Prometheus come to: its paths are mounted on the agent's one HTTP port."""

    def routes(self) -> Mapping[str, Callable[[Request], Answer]]:
        """Path to handler. Handlers run outside the pipeline's thread and must not block on it."""
        ...


Part = TypeVar("Part", covariant=True)


class Plugin(msgspec.Struct, frozen=True):
    """
    One part, as its package lists it.

    `name` is the module's name, the config key, the test file and the docs heading. `config` is a frozen
    msgspec.Struct with defaults (or `tuple[Struct, ...]`, off when empty); a Struct with `enabled` is off when that
    is False. `build(config, ledger)` imports vendor libraries and binds sockets, raising ConfigError when it cannot.
    `metrics` is all that the part may emit. `interval_seconds` paces a source.
    """

    name: str
    summary: str
    config: Any
    build: Callable[[Any, Ledger], Any]
    metrics: tuple[Metric, ...] = ()
    reads: tuple[Metric, ...] = ()
    """of a signal: the metrics it watches"""
    reads_logprobs: bool = False
    """of a check: it is asked about calls without text, too, where they carry log probabilities"""
    roles: tuple[str, ...] = ("run",)
    interval_seconds: Callable[[Any], float] = lambda _config: 1.0
    problems: Callable[[Any], tuple[str, ...]] = lambda _config: ()
    """mistakes that types cannot tell, a line each that begins with the path to the key; opens no socket"""
    probe: Callable[[Any], tuple[str, ...]] = lambda _config: ()
    """lines for `watchkeeper doctor`: what it finds for this configuration; `! ` begins one that asks for action"""
