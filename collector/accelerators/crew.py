"""
Threads that read many devices, so that a call into a driver that never returns holds up only its own device.

One hand does the whole round as long as nobody is slow: that is two changes of thread a tick, whatever the number of
devices. When a round stops moving, more hands take what is left of it; the one that hangs is left to itself. There is
at most one for each device, as a round also stands still where the processor is short; all but two go when it is over.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

Result = TypeVar("Result")

TURN_SECONDS: Final = 0.02
"""a round that has not moved for so long gets more hands"""
_KEPT: Final = 2
"""idle hands that wait for the next round"""


class _Round(Generic[Result]):
    def __init__(self, tasks: Mapping[str, Callable[[], Result]]) -> None:
        self.pending = deque(tasks.items())
        self.began = time.monotonic()
        self.size = len(tasks)
        self.answers: dict[str, Result | BaseException] = {}
        self.done: queue.SimpleQueue[None] = queue.SimpleQueue()

    def work(self) -> None:
        """Do what is left; several hands may do so at a time."""
        while True:
            try:
                key, task = self.pending.popleft()
            except IndexError:
                return
            try:
                answer: Result | BaseException = task()
            except BaseException as error:  # noqa: BLE001 - handed to the thread that asked
                answer = error
            self.answers[key] = answer
            if len(self.answers) == self.size:
                self.done.put(None)

    def leave(self) -> set[str]:
        """Take away what nobody has begun, one by one: hands go on taking theirs meanwhile."""
        left: set[str] = set()
        while True:
            try:
                left.add(self.pending.popleft()[0])
            except IndexError:
                return left


class Crew(Generic[Result]):
    """Only one thread calls this. Hands are daemons: one that hangs does not keep the process from ending."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rounds: queue.SimpleQueue[_Round[Result] | None] = queue.SimpleQueue()
        self._running: dict[str, _Round[Result]] = {}
        self._lock = threading.Lock()
        self._hands = 0
        self._made = 0
        self._idle = 0

    def run(self, tasks: Mapping[str, Callable[[], Result]], until: float) -> dict[str, Result | BaseException]:
        """
        Answers that came until then (monotonic seconds), a raised exception among them. A task that is not done goes
        on; it is busy until `late` has brought its answer.
        """
        if not tasks:
            return {}
        round_ = _Round(tasks)
        more, moved, engaged = 1, 0, 1
        self._engage(round_, engaged)
        while (left := until - time.monotonic()) > 0:
            try:
                round_.done.get(timeout=min(TURN_SECONDS, left))
                break
            except queue.Empty:
                if len(round_.answers) == moved and round_.pending:
                    hands = min(more, len(round_.pending), round_.size - engaged)
                    self._engage(round_, hands)
                    engaged += hands
                    more *= 2
                moved = len(round_.answers)
        unasked = round_.leave()
        answers = dict(round_.answers)
        self._running.update(dict.fromkeys(tasks.keys() - answers.keys() - unasked, round_))
        return answers

    def busy_since(self, key: str) -> float | None:
        """Monotonic seconds at which the round began in which this hangs."""
        round_ = self._running.get(key)
        return None if round_ is None else round_.began

    def late(self, key: str) -> Result | BaseException | None:
        """The answer of one that was busy, once; None when it still is."""
        round_ = self._running.get(key)
        if round_ is None or key not in round_.answers:
            return None
        del self._running[key]
        return round_.answers[key]

    def forget(self, key: str) -> None:
        """Its answer is not wanted any more."""
        self._running.pop(key, None)

    def stop(self) -> None:
        """Hands end after the task at hand, if that ever ends."""
        with self._lock:
            for _ in range(self._hands):
                self._rounds.put(None)

    def _engage(self, round_: _Round[Result], hands: int) -> None:
        with self._lock:
            new = max(0, hands - self._idle)
            self._idle = max(0, self._idle - hands)
            self._hands += new
        for _ in range(hands):
            self._rounds.put(round_)
        for _ in range(new):
            self._made += 1
            threading.Thread(target=self._work, name=f"{self._name}-{self._made}", daemon=True).start()

    def _work(self) -> None:
        while (round_ := self._rounds.get()) is not None:
            round_.work()
            with self._lock:
                if self._idle >= _KEPT:
                    self._hands -= 1
                    return
                self._idle += 1
