"""
The consumer: partitions come with what was kept of them, records leave in order, what cannot be read is told.

kafka-python calls back within `poll`, in the thread that reads: all of this belongs to that thread but `keep` and
`reached`.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from kafka import ConsumerRebalanceListener, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError

from collector.kafka import KafkaConfig
from collector.kafka.calls import Calls
from collector.kafka.commits import Commits
from collector.kafka.group import Group
from collector.kafka.held import Held
from collector.kafka.keeper import Keeper
from collector.kafka.log import Log
from collector.kafka.states import newest
from watchkeeper.core.errors import Retryable
from watchkeeper.core.fleet import Checkpoint, Event, Left, Place, Reached, Restarted, Resumed, Told
from watchkeeper.core.kafka import advice, kind_of
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Completion, Reading
from watchkeeper.core.vocabulary import health, kafka
from watchkeeper.core.wire import TickRecord, Unreadable, decode

_LOG: Final = logging.getLogger("watchkeeper.source.kafka")
_POLL_SECONDS: Final = 0.25
_AT_ONCE: Final = 64
"""records in a reading: so many readings wait for the pipeline at most that memory stays small in a burst"""
_WATCH_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 15.0
"""for a partition whose evidence cannot be read: nothing is read while it is tried"""
_CLIENT: Final = (("client", "source"),)
_QUEUE: Final = (("queue", "kafka.read"),)


class KafkaSource:
    def __init__(self, config: KafkaConfig, settings: dict[str, Any], ledger: Ledger) -> None:
        self._config = config
        self._ledger = ledger
        self._group = Group(config, settings, ledger)
        self._keeper = Keeper(settings, config.state_topic, config.dead_topic, ledger)
        self._log = Log(settings)
        self._calls = {one.topic: Calls(one, ledger) for one in config.calls}
        self._topics = [*([config.ticks_topic] if config.ticks else []), *self._calls]
        self._consumer: Any = None
        self._closing = False
        self._events: list[Event] = []
        self._fresh: set[TopicPartition] = set()
        """assigned, paused until what was kept of them is read"""
        self._held: dict[TopicPartition, Held] = {}
        """what is ours and read"""
        self._owned: set[TopicPartition] = set()
        self._lives: dict[TopicPartition, int] = {}
        """how often logs began anew, as far as it was seen here: what was kept may not know yet"""
        self._commits = Commits(config.group, ledger)
        self._unread: dict[TopicPartition, tuple[Exception, float]] = {}
        """why what was kept of a fresh partition could not be read, and when to try again"""
        self._idle_at = float("-inf")
        """when the client had nothing to give last, on the monotonic clock"""
        self._watched_at = float("-inf")

    def read(self, now: float) -> Reading:
        """:raises Retryable: the brokers are away, or a topic is"""
        if self._closing:
            return Reading(log=self._drained())
        try:
            consumer = self._connected()
            self._keeper.write(self._is_ours, self._commit, now=False)
            self._commits.write(consumer, self._is_ours, now=False)
            problem = self._resume_fresh(consumer)
            if self._watch(consumer, now):
                self._keeper.hurry()  # who was thrown out of the group meanwhile loses what is not kept by then
                reading = Reading(log=self._drained())
            else:
                reading = self._read_on(consumer, problem)
        except (KafkaError, OSError, ValueError) as error:
            self._group.begin_patience(time.monotonic())
            raise self._failed(error) from None
        self._ledger.set(kafka.CONNECTED, 1.0, _CLIENT)
        return reading

    def _read_on(self, consumer: Any, problem: Exception | None) -> Reading:
        """:param problem: why we read nothing at all, raised unless the brokers give something all the same"""
        found = self._polled(consumer)
        if not found and problem is not None:
            raise problem
        if not found:
            self._idle_at = time.monotonic()
        reading = self._reading(found)
        self._join_anew_where_shut_out(consumer)
        return reading

    def keep(self, checkpoint: Checkpoint) -> None:
        self._keeper.put(checkpoint)

    def reached(self, places: Sequence[Reached]) -> None:
        self._commits.reached(places)

    def close(self) -> None:
        """Nothing more is read. What was read can still be kept, until `finish`."""
        self._closing = True

    def finish(self) -> None:
        self._keeper.write(self._is_ours, self._commit, now=True)
        self._keeper.close()
        self._log.close()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            self._commits.write(consumer, self._is_ours, now=True)
            consumer.close(timeout_ms=2000)

    def _connected(self) -> Any:
        if self._consumer is not None:
            return self._consumer
        consumer = self._group.consumer(time.monotonic())
        try:
            self._check_topics(consumer, self._topics)
            consumer.subscribe(self._topics, listener=_Listener(self))
        except Exception:
            consumer.close(timeout_ms=500)
            raise
        self._consumer = consumer
        self._count_owned()
        return consumer

    def _polled(self, consumer: Any) -> dict[TopicPartition, list[Any]]:
        try:
            found: dict[TopicPartition, list[Any]] = consumer.poll(
                timeout_ms=int(_POLL_SECONDS * 1000), max_records=_AT_ONCE
            )
        except Exception as error:
            if isinstance(error, CorruptRecordError) or not isinstance(error, KafkaError):
                self._leave(consumer)  # asked again, the client never comes back from a batch that it cannot read
            raise
        return found

    def _leave(self, consumer: Any) -> None:
        self.left([*self._owned, *self._fresh], "lost")
        self._consumer = None
        consumer.close(timeout_ms=500)

    def _join_anew_where_shut_out(self, consumer: Any) -> None:
        if self._commits.is_fenced:
            self._commits.is_fenced = False
            self._group.give_up_name()
            self._leave(consumer)
            return
        state, has_partitions = consumer.group_metadata().state, bool(self._owned or self._fresh)
        if self._group.is_shut_out(state, time.monotonic(), has_partitions=has_partitions):
            self._consumer = None
            consumer.close(timeout_ms=500)

    def _check_topics(self, consumer: Any, topics: Sequence[str]) -> None:
        """:raises Retryable: one is not there, or states would have no place"""
        counts = {topic: len(consumer.partitions_for_topic(topic) or ()) for topic in topics}
        for topic, count in counts.items():
            if not count:
                raise Retryable(f"topic {topic} is not there; make it as docs/fleet.md says, or allow us to read it")
        if self._config.ticks:
            wanted, state = counts[self._config.ticks_topic], self._config.state_topic
            held = len(consumer.partitions_for_topic(state) or ())
            if held < wanted:
                raise Retryable(f"topic {state} has {held} partitions, needs {wanted}; make it as docs/fleet.md says")

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            self._ledger.add(kafka.REBALANCES, 1, (("event", "assigned"),))
            if partition.topic == self._config.ticks_topic:
                self._consumer.pause(partition)
                self._fresh.add(partition)
            else:
                self._owned.add(partition)
        self._count_owned()

    def left(self, partitions: Iterable[TopicPartition], event: str) -> None:
        if event == "lost":
            self._group.forget_claims()
        for partition in partitions:
            self._ledger.add(kafka.REBALANCES, 1, (("event", event),))
            self._fresh.discard(partition)
            self._unread.pop(partition, None)
            if self._held.pop(partition, None) is not None:
                self._events.append(Left(_place(partition)))
            self._owned.discard(partition)
            self._ledger.set(kafka.LAG, 0, _labels(partition))
        self._count_owned()

    def _count_owned(self) -> None:
        for topic in self._topics:
            count = sum(partition.topic == topic for partition in self._owned)
            self._ledger.set(kafka.PARTITIONS, count, (("group", self._config.group), ("topic", topic)))

    def _resume_fresh(self, consumer: Any) -> Exception | None:
        """:return: why none could be, where we read nothing at all"""
        due = {partition: self._unread.get(partition, (None, 0.0))[1] for partition in self._fresh}
        for partition in sorted(due, key=lambda one: (due[one], one)):
            if self._held and time.monotonic() < due[partition]:
                break
            try:
                self._resume(consumer, partition)
            except (KafkaError, OSError, ValueError, Retryable) as error:
                self._wait_for_evidence(partition, error)
                break  # the others come next time: to ask for each in turn takes long
        return None if self._held else next((error for error, _ in self._unread.values()), None)

    def _wait_for_evidence(self, partition: TopicPartition, error: Exception) -> None:
        if self._held:
            self._count(error)
        if partition not in self._unread:
            kind = kind_of(error)
            said = str(error) if isinstance(error, Retryable) else f"{kind}{advice(kind)}"
            _LOG.warning("%s/%d waits, what was kept of it cannot be read: %s", *partition, said)
        self._unread[partition] = (error, time.monotonic() + _RETRY_SECONDS)

    def _resume(self, consumer: Any, partition: TopicPartition) -> None:
        """:raises KafkaError: what was kept cannot be read now; the partition waits"""
        kept = newest(self._log.values(TopicPartition(self._config.state_topic, partition.partition)))
        begin = self._log.begins([partition])[partition]
        end = self._log.ends([partition])[partition]
        offset = max(kept.offset, begin)
        is_same_log = kept.life >= self._lives.get(partition, 0) and self._log.reaches(partition, offset, end)
        if kept.has_mark and begin > kept.offset:
            self._missed(partition, begin - kept.offset)
        self._events.append(Resumed(_place(partition), offset, kept.states, kept.life))
        self._ledger.set(kafka.LAG, max(0, end - offset), _labels(partition))
        self._lives[partition] = kept.life
        if not is_same_log:
            offset = begin
            self._restart(partition, begin)
        consumer.seek(partition, offset)
        consumer.resume(partition)
        self._fresh.discard(partition)
        self._unread.pop(partition, None)
        self._held[partition] = Held(offset)
        self._owned.add(partition)
        self._count_owned()

    def _restart(self, partition: TopicPartition, offset: int) -> None:
        _LOG.warning("%s/%d begins anew at offset %d; evidence goes on", partition.topic, partition.partition, offset)
        self._lives[partition] = self._lives.get(partition, 0) + 1
        self._events.append(Restarted(_place(partition), offset))

    def _missed(self, partition: TopicPartition, count: int) -> None:
        _LOG.warning(
            "%s/%d: %d messages were deleted before they were read", partition.topic, partition.partition, count
        )
        self._ledger.add(kafka.MISSED, count, (("topic", partition.topic),))

    def _reading(self, found: dict[TopicPartition, list[Any]]) -> Reading:
        completions: list[Completion] = []
        reached: list[Reached] = []
        items = 0
        for partition, records in found.items():
            place = _place(partition)
            calls = self._calls.get(partition.topic)
            signal = "calls" if calls is not None else "ticks"
            labels = (("source", "kafka"), ("signal", signal))
            self._ledger.add(health.RECEIVED, len(records), labels)
            refused = 0
            for record in records:
                try:
                    if calls is not None:
                        completions.append(calls.read(record.value, _sent_at(record)))
                    elif not self._tick(partition, place, record):
                        continue
                    items += 1
                except Unreadable as error:
                    refused += 1
                    self._keeper.bury(place, record.offset, record.value, error.reason)
                    self._ledger.add(health.REJECTED, 1, (*labels, ("reason", error.reason)))
            self._ledger.add(health.ACCEPTED, len(records) - refused, labels)
            ended = Reached(place, records[-1].offset + 1)
            if calls is not None:
                self._held.setdefault(partition, Held(0)).next = ended.offset
                reached.append(ended)
            else:
                self._events.append(ended)  # the last may be none that was told
            if partition in self._held:
                self._held[partition].newest_at = _sent_at(records[-1])
        return Reading((), (), tuple(completions), items, log=self._drained(), reached=tuple(reached))

    def _tick(self, partition: TopicPartition, place: Place, record: Any) -> bool:
        """:raises Unreadable: no tick record of a version that is known"""
        held = self._held.get(partition)
        if held is None:
            return False  # it came with the poll that took the partition away
        if record.offset < held.next:
            self._restart(partition, record.offset)
        held.next = record.offset + 1
        told = decode(record.value)
        if not isinstance(told, TickRecord):
            raise Unreadable("other_kind")
        self._events.append(Told(place, record.offset, _sent_at(record), told))
        return True

    def _drained(self) -> tuple[Event, ...]:
        events, self._events = self._events, []
        return tuple(events)

    def _watch(self, consumer: Any, now: float) -> bool:
        """
        How far behind, and whether the log is still the one that was read. After brokers did not answer nothing is read
        before: a log that began anew grows past the place that was reached.

        :return: whether one of them began anew
        """
        if 0 <= now - self._watched_at < _WATCH_SECONDS:
            return False
        is_anew = False
        for topic in self._topics:
            count = len(consumer.partitions_for_topic(topic) or ())
            self._ledger.set(kafka.TOPIC_PARTITIONS, count, (("group", self._config.group), ("topic", topic)))
        behind, age = 0, 0.0
        # who has no partitions asks all the same: the client is silent about brokers that are away
        asked = list(self._held) or [TopicPartition(self._topics[0], 0)]
        for partition, listed in self._log.ends(asked).items():
            held = self._held.get(partition)
            if held is None:
                continue
            lag = max(0, listed - held.next)
            self._ledger.set(kafka.LAG, lag, _labels(partition))
            behind += lag
            if lag and held.newest_at is not None:
                age = max(age, now - held.newest_at)
            if listed < held.listed or not self._log.reaches(partition, held.next, listed):
                self._begin_anew(consumer, partition, held)
                is_anew = True
            else:
                self._ask_anew_where_stalled(consumer, partition, held, listed)
            held.listed = listed
        self._watched_at = now
        self._ledger.set(health.QUEUE_LENGTH, behind, _QUEUE)
        self._ledger.set(health.QUEUE_AGE, age, _QUEUE)
        return is_anew

    def _ask_anew_where_stalled(self, consumer: Any, partition: TopicPartition, held: Held, listed: int) -> None:
        """The client can wait for ever for leave to ask, and says nothing of what a broker answers it."""
        if held.is_stalled(listed, time.monotonic(), self._idle_at):
            offset = max(held.next, consumer.position(partition, timeout_ms=0) or 0)  # what is no record is passed by
            if offset >= listed:
                return
            consumer.seek(partition, offset)
            self._ledger.add(kafka.ERRORS, 1, (*_CLIENT, ("reason", "Stalled")))
            if held.stalled_at is None:
                _LOG.warning(
                    "%s/%d: the brokers give none of %d messages; look at their log", *partition, listed - offset
                )
            held.stalled_at = offset
        elif held.stalled_at is not None and held.stalled_at < held.next:
            held.stalled_at = None
            _LOG.warning("%s/%d is read again", *partition)

    def _begin_anew(self, consumer: Any, partition: TopicPartition, held: Held) -> None:
        begin = self._log.begins([partition])[partition]
        consumer.seek(partition, begin)
        held.next = begin
        if partition.topic == self._config.ticks_topic:
            self._restart(partition, begin)

    def _is_ours(self, place: Place) -> bool:
        return TopicPartition(*place) in self._held

    def _commit(self, place: Place, offset: int) -> None:
        """A hint for tools and for lag: what counts is the mark."""
        self._commits.hint(self._consumer, place, offset)

    def _count(self, error: Exception) -> None:
        self._ledger.add(kafka.ERRORS, 1, (*_CLIENT, ("reason", kind_of(error))))

    def _failed(self, error: Exception) -> Retryable:
        kind = kind_of(error)
        self._count(error)
        self._ledger.set(kafka.CONNECTED, 0.0, _CLIENT)
        servers = ", ".join(self._config.connection.servers)
        return Retryable(f"brokers {servers}: {kind}{advice(kind)}; reading goes on where it was when they are back")


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, source: KafkaSource) -> None:
        self._source = source

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._source.assigned(assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._source.left(revoked, "revoked")

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._source.left(lost, "lost")


def _place(partition: TopicPartition) -> Place:
    return Place(partition.topic, partition.partition)


def _sent_at(record: Any) -> float:
    """Unix seconds on its sender's clock, or the broker's where the topic says so; 0 where nobody told."""
    return max(0, record.timestamp or 0) / 1000


def _labels(partition: TopicPartition) -> tuple[tuple[str, str], ...]:
    return (("topic", partition.topic), ("partition", str(partition.partition)))
