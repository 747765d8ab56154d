"""
Our place in the consumer group, and what is done when the group gives us none.

Two things are made good here. kafka-python claims what was lost as if it still had it: a leader that gives such a
partition to another waits for us to hand it over, which we never do, and nobody reads it (`forget_claims`). And a
member can be kept waiting, or be thrown out as often as it comes in, with no error that anybody sees (`is_shut_out`).
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from kafka import KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import MemberState

from collector.kafka import KafkaConfig
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import kafka

_LOG: Final = logging.getLogger("watchkeeper.source.kafka")
_PATIENCE_SESSIONS: Final = 3.0
"""that a group may take to keep us: a rebalance takes less than one, and one more shows that we stay"""
_FETCH_BYTES: Final = 1 << 20
_FETCH_WAIT_MILLISECONDS: Final = 100
"""that a broker waits for more: some wait while one of several partitions is at its end, and hold up the others"""


class Group:
    """Belongs to the thread that reads. Of the times given, only differences count, in seconds."""

    def __init__(self, config: KafkaConfig, settings: Mapping[str, Any], ledger: Ledger) -> None:
        self._config = config
        self._settings = settings
        self._ledger = ledger
        self.member = config.member
        """name that we join with; empty: none, or given up"""
        self._assignor: Any = None
        self._stable_since: float | None = None
        self._kept_at = 0.0
        """last time at which we had been in the group for a session: or began to join"""
        self._is_told = False

    def consumer(self, now: float) -> Any:
        """A client that will be a member. :raises KafkaError: no broker answers"""
        session_seconds = self._config.session_seconds
        assignor = CooperativeStickyAssignor()
        consumer = KafkaConsumer(
            **self._settings,
            group_id=self._config.group,
            group_instance_id=self.member or None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            partition_assignment_strategy=[assignor],
            session_timeout_ms=int(session_seconds * 1000),
            heartbeat_interval_ms=int(session_seconds * 100),  # so late the others hear of one that is gone
            fetch_max_wait_ms=_FETCH_WAIT_MILLISECONDS,
            max_partition_fetch_bytes=_FETCH_BYTES,
            fetch_max_bytes=8 * _FETCH_BYTES,
        )
        self._assignor = assignor
        self.begin_patience(now)
        return consumer

    def forget_claims(self) -> None:
        """The group threw us out: what was ours is nobody's, or another's."""
        self._assignor.member_assignment = None

    def give_up_name(self) -> None:
        """Another came with it, and the group goes by the newest: who is left out may not even say so."""
        _LOG.warning("kafka.member %s is another's, too: this one joins without it; give each its own", self.member)
        self.member = ""

    def begin_patience(self, now: float) -> None:
        """The brokers are away: what passes meanwhile says nothing of the group."""
        self._stable_since, self._kept_at = None, now

    def is_shut_out(self, state: str, now: float, *, has_partitions: bool) -> bool:
        """
        Whether to join anew, which is then done without our name: a name only saves others a rebalance when we start
        again, and whatever a coordinator believes of it, it believes of no newcomer. Who has partitions reads on,
        whatever becomes of the group.

        :param state: that the client says it is in, of `MemberState`
        """
        session_seconds = self._config.session_seconds
        if state == MemberState.STABLE:
            self._stable_since = now if self._stable_since is None else self._stable_since
            if now - self._stable_since >= session_seconds:
                self._kept_at = now
                self._tell(is_shut_out=False)
            return False
        self._stable_since = None
        if has_partitions or now - self._kept_at < _PATIENCE_SESSIONS * session_seconds:
            return False
        self._ledger.add(kafka.ERRORS, 1, (("client", "source"), ("reason", "ShutOut")))
        self._tell(is_shut_out=True)
        self.member = ""
        return True

    def _tell(self, *, is_shut_out: bool) -> None:
        if is_shut_out == self._is_told:
            return
        self._is_told = is_shut_out
        group = self._config.group
        if not is_shut_out:
            _LOG.warning("group %s has this member again", group)
            return
        seconds = _PATIENCE_SESSIONS * self._config.session_seconds
        name = f" without its name {self.member}" if self.member else ""
        _LOG.warning("group %s did not keep this member for %g s; it joins anew%s", group, seconds, name)
