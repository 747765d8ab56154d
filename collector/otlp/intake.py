"""
OTLP bodies in, one Reading out: decode, normalise, count each call once, hold until the pipeline takes it.

Everything is bounded before it is parsed, and whatever was acknowledged is in the next Reading.
"""

import logging
from collections.abc import Iterable, Mapping
from enum import StrEnum
from threading import Lock
from typing import Any, Final, Protocol

import msgspec

from collector.otlp import fields, json_bodies, ksana_table, protobuf_bodies, refusals
from collector.otlp.attributes import Attributes
from collector.otlp.calls import Calls
from collector.otlp.judges import Judges
from collector.otlp.logs import LogItem, Logs
from collector.otlp.messages import Messages
from collector.otlp.metrics import Metrics
from collector.otlp.observed import Observed
from collector.otlp.origins import Origin, Origins
from collector.otlp.pending import Pending
from collector.otlp.points import MetricItem
from collector.otlp.refusals import Overloaded, Refused, TooMany, Undecodable
from collector.otlp.senders import Senders
from collector.otlp.tally import Tally
from collector.otlp.traces import Traces
from collector.otlp.writers import Writers
from watchkeeper.core.inbox import Inbox
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Reading, Sample
from watchkeeper.core.vocabulary import health, links, operations, requests

__all__ = ["EMITS", "Encoding", "Intake", "Overloaded", "Refused", "Signal", "Taken", "TooMany", "Undecodable"]

MAX_TEXT_CHARACTERS: Final = 1 << 16
"""of a prompt, and of an answer"""
_PENDING_SHARE: Final = 0.25
"""of the queue, for metrics of senders not known yet"""
_ITEM_BYTES: Final = 1024
"""room asked for an item before it is known what becomes of it"""

_QUIET_SECONDS: Final = 60.0
_SOURCE: Final = (("source", "otlp"),)
_LOG: Final = logging.getLogger("watchkeeper.otlp")

EMITS: Final[tuple[Metric, ...]] = tuple(dict.fromkeys((
    requests.CLIENT_DURATION, requests.CLIENT_FIRST_CHUNK, requests.CLIENT_PER_CHUNK, requests.CLIENT_TOKEN_USAGE,
    requests.SERVER_DURATION, requests.SERVER_FIRST_TOKEN, requests.SERVER_PER_TOKEN, requests.TOKENS,
    *operations.METRICS, *ksana_table.METRICS,
)))  # fmt: skip
"""Metrics of the samples in a Reading, beside its completions."""


class Signal(StrEnum):
    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


class Encoding(StrEnum):
    PROTOBUF = "protobuf"
    JSON = "json"


class Taken(msgspec.Struct, frozen=True):
    """What goes into `partial_success`."""

    rejected: int = 0
    message: str = ""


class Settings(Protocol):
    """What the intake needs of the source's configuration."""

    @property
    def tenant_attribute(self) -> str: ...
    @property
    def tenant_header(self) -> str: ...
    @property
    def max_items_per_request(self) -> int: ...
    @property
    def queue_capacity_bytes(self) -> int: ...


class _Decoder(Protocol):
    """One encoding. What `split` returns has `items`, their number, and is for the other three to read."""

    def split(self, body: bytes, signal: str, max_items: int) -> Any: ...
    def spans(self, batch: Any, tenant: str, tally: Tally) -> Iterable[tuple[Observed, Origin]]: ...
    def logs(self, batch: Any, tenant: str, tally: Tally) -> Iterable[LogItem]: ...
    def metrics(self, batch: Any, tenant: str, tally: Tally) -> Iterable[tuple[MetricItem, Origin]]: ...


class Intake:
    """Takes requests from any thread, one after the other."""

    def __init__(self, config: Settings, ledger: Ledger, started_at: float) -> None:
        """:param started_at: unix seconds; running totals that began before it are only a baseline"""
        self._ledger = ledger
        self._max_items = config.max_items_per_request
        self._tenant_header = config.tenant_header.lower()
        self._lock = Lock()
        self._closed = False
        self._inbox: Inbox[Reading] = Inbox(config.queue_capacity_bytes)
        self._queue_length = self._taken_length = 0
        attributes, origins = Attributes(config.tenant_attribute), Origins(config.tenant_attribute)
        self._pending = Pending(int(config.queue_capacity_bytes * _PENDING_SHARE))
        self._calls, self._messages = Calls(), Messages(MAX_TEXT_CHARACTERS)
        self._senders = senders = Senders()
        self._attributes = attributes
        judges = Judges()
        writers = Writers(ledger)
        self._held_since: float | None = None
        self._traces = Traces(self._calls, self._messages, senders, judges, writers, MAX_TEXT_CHARACTERS)
        self._logs = Logs(self._calls, self._messages, senders, judges, writers, MAX_TEXT_CHARACTERS)
        self._metrics = Metrics(senders, attributes, started_at)
        self._decoders: dict[Encoding, _Decoder] = {
            Encoding.PROTOBUF: protobuf_bodies.Decoder(attributes, origins),
            Encoding.JSON: json_bodies.Decoder(attributes, origins),
        }
        self._forgot_at = float("-inf")
        self._start_at_zero()

    @property
    def queue_length(self) -> int:
        """Accepted items held, until they are folded."""
        return self._taken_length + self._queue_length + len(self._pending)

    @property
    def queue_size_bytes(self) -> int:
        return self._inbox.size_bytes + self._pending.size_bytes

    def queue_age_seconds(self, now: float) -> float:
        """How long the oldest of what is held has been ready for reading; 0 = nothing is."""
        since = self._held_since
        return max(0.0, now - since) if since is not None else 0.0

    def take(self, signal: Signal, encoding: Encoding, body: bytes, headers: Mapping[str, str], now: float) -> Taken:
        """
        One request.

        :param headers: names in lower case
        :param now: unix seconds
        :raises Undecodable: it is no OTLP request
        :raises TooMany: it brings more items than one may
        :raises Overloaded: nothing of it was taken; the same request may succeed later
        """
        tenant = headers.get(self._tenant_header, "") if self._tenant_header else ""
        with self._lock:
            if self._closed:
                raise Overloaded(refusals.SHUTTING_DOWN)
            return self._take(signal, encoding, body, tenant, now)

    def read(self, now: float) -> Reading:
        """Everything taken since the last call, but for metrics that wait for their sender to be known."""
        with self._lock:
            held = self._inbox.take()
            self._taken_length, self._queue_length = self._taken_length + self._queue_length, 0
            self._held_since = None
            released = self._release(now)
            silent = self._metrics.silent(now)
            self._calls.forget_old(now)
            self._messages.forget_old(now)
        return Reading(
            samples=(*(sample for reading in held for sample in reading.samples), *released),
            gaps=(*(gap for reading in held for gap in reading.gaps), *silent),
            completions=tuple(call for reading in held for call in reading.completions),
            items=sum(reading.items for reading in held) + len(released),
            judgements=tuple(judged for reading in held for judged in reading.judgements),
        )

    def folded(self) -> None:
        """What was read is counted, and no longer held."""
        with self._lock:
            self._taken_length = 0
            self._inbox.release()

    def close(self) -> None:
        """Refuse from now on; what is held can still be read."""
        with self._lock:
            self._closed = True
            self._inbox.close()

    def _take(self, signal: Signal, encoding: Encoding, body: bytes, tenant: str, now: float) -> Taken:
        decoder = self._decoders[encoding]
        tally = Tally()
        batch = decoder.split(body, signal.value, self._max_items)
        room = self._inbox.capacity_bytes - self.queue_size_bytes
        if (len(self._inbox) or len(self._pending)) and len(body) + _ITEM_BYTES * batch.items > room:
            raise Overloaded(refusals.QUEUE_FULL)
        if signal is Signal.TRACES:
            self._traces.take(decoder.spans(batch, tenant, tally), tally, now)
        elif signal is Signal.LOGS:
            self._logs.take(decoder.logs(batch, tenant, tally), tally, now)
        else:
            for item, origin in decoder.metrics(batch, tenant, tally):
                self._metrics.take(item, origin, tally, now)
        tally.invalid.update(self._attributes.invalid)
        self._attributes.invalid.clear()
        rejected = tally.rejected.total()
        self._hold(tally, now, batch.items - rejected - tally.ignored.total() - len(tally.held))
        self._settle(tally, now)
        self._tell_forgotten(now)
        self._count(signal, batch.items, tally)
        self._ledger.add(health.TAKEN_REQUESTS, 1, (*_SOURCE, ("signal", signal.value)))
        return Taken(rejected, _explained(tally)) if rejected else Taken()

    def _hold(self, tally: Tally, now: float, items: int) -> None:
        if items or tally.completions or tally.samples or tally.judgements:
            reading = Reading(
                tuple(tally.samples), tuple(tally.gaps), tuple(tally.completions), items, tuple(tally.judgements)
            )
            self._inbox.put(reading, tally.size_bytes)
            self._queue_length += items
            if self._held_since is None:
                self._held_since = now

    def _settle(self, tally: Tally, now: float) -> None:
        """Metrics that came before the first calls of their sender tell of the same calls."""
        for sender, sample in tally.held:
            self._pending.hold(sender, sample, now)
        for sender in self._senders.new():
            if same := self._pending.drop(sender):
                reason = (("signal", Signal.METRICS.value), ("reason", refusals.SAME_CALL))
                self._ledger.add(health.IGNORED, same, (("source", "otlp"), *reason))

    def _tell_forgotten(self, now: float) -> None:
        """One line when it begins, and again only after a while without."""
        if not (forgotten := self._calls.forgotten()):
            return
        self._ledger.add(health.CALLS_FORGOTTEN, forgotten, _SOURCE)
        if now - self._forgot_at > _QUIET_SECONDS:
            _LOG.warning(
                "otlp forgets spans before their 120 s, the memory of recent calls is full: calls that arrive twice may"
                " be counted twice; share the load among more watchkeepers (watchkeeper.calls.forgotten counts them)"
            )
        self._forgot_at = now

    def _release(self, now: float) -> list[Sample]:
        """Metrics whose senders have sent no calls in the meantime; all of them once nothing more can come."""
        released = self._pending.early()
        for sender, samples in self._pending.due(now, everything=self._closed):
            self._senders.missed(sender, now)
            released += samples
        return released

    def _count(self, signal: Signal, items: int, tally: Tally) -> None:
        labels = (("source", "otlp"), ("signal", signal.value))
        self._ledger.add(health.RECEIVED, items, labels)
        self._ledger.add(health.ACCEPTED, items - tally.rejected.total(), labels)
        for reason, count in tally.rejected.items():
            self._ledger.add(health.REJECTED, count, (*labels, ("reason", reason)))
        for reason, count in tally.ignored.items():
            self._ledger.add(health.IGNORED, count, (*labels, ("reason", reason)))
        for field, count in tally.invalid.items():
            self._ledger.add(health.INVALID_VALUES, count, (("source", "otlp"), ("field", field)))
        for who, count in tally.repeated.items():
            self._ledger.add(links.REPEATED, count, tuple(zip(links.LINK, ("otlp", *who), strict=True)))

    def _start_at_zero(self) -> None:
        """Every series is there from the start, so that its first increase shows."""
        self._ledger.add(health.CALLS_FORGOTTEN, 0, _SOURCE)
        for signal in Signal:
            self._ledger.add(health.TAKEN_REQUESTS, 0, (*_SOURCE, ("signal", signal.value)))
            tally = Tally()
            tally.rejected.update(dict.fromkeys(refusals.REJECTED_REASONS, 0))
            tally.ignored.update(dict.fromkeys(refusals.IGNORED_REASONS, 0))
            tally.invalid.update(dict.fromkeys(fields.INVALID_FIELDS, 0))
            self._count(signal, 0, tally)


def _explained(tally: Tally) -> str:
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(tally.rejected.items()))
    return f"rejected: {reasons}" + (f"; the first at {tally.first_fault}" if tally.first_fault else "")
