"""A thread that does one thing at a time, so that a call into a driver that never returns holds up nobody else."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

Result = TypeVar("Result")

_STOP: Final = None


class Worker(Generic[Result]):
    """The thread starts with the first `ask` and is a daemon: one that hangs does not keep the process from ending."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: queue.SimpleQueue[Callable[[], Result] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.busy_since: float | None = None
        """monotonic seconds; None when it waits for work"""

    def ask(self, task: Callable[[], Result]) -> bool:
        """False while it still works on the last one."""
        if self.busy_since is not None:
            return False
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self.busy_since = time.monotonic()
        self._tasks.put(task)
        return True

    def answer(self, timeout_seconds: float) -> Result | None:
        """
        What came out; None when it is not done by then, and can be asked for later.

        :raises BaseException: what the task raised
        """
        if self.busy_since is None:
            return None
        try:
            answer = self._answers.get(timeout=max(0.0, timeout_seconds))
        except queue.Empty:
            return None
        self.busy_since = None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def stop(self) -> None:
        """End after the task at hand, if that ever ends."""
        self._tasks.put(_STOP)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not _STOP:
            try:
                self._answers.put(task())
            except BaseException as error:  # noqa: BLE001 - handed to the thread that asked
                self._answers.put(error)
