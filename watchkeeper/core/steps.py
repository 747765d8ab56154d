"""
What watchkeeper does itself, step by step and timed: for traces of the monitor, off until an exporter asks for them.

One step for a read, a tick, a send: never one for a call that is measured, and nothing of what was said in any.
"""

import math
import random
import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from threading import Lock
from types import TracebackType
from typing import Final, Self

import msgspec

MAX_WAITING: Final = 500
"""steps with all that happened within them, until somebody drains them"""
MAX_INNER: Final = 100
"""steps within one"""

Attributes = tuple[tuple[str, str | int], ...]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Something done. Names, attributes and `failure` are words of ours, or out of the configuration."""

    name: str
    started: float
    """unix seconds"""
    seconds: float
    failure: str = ""
    """kind of error, "" = it went well"""
    attributes: Attributes = ()
    inner: "tuple[Step, ...]" = ()

    def has_failed(self) -> bool:
        """This, or anything within."""
        return bool(self.failure) or any(step.has_failed() for step in self.inner)


class Timing:
    """A step that is going on; one thread or task has it. `steps` None: nobody wants to know."""

    def __init__(self, steps: "Steps | None", name: str, attributes: Attributes, *, always: bool) -> None:
        self._steps = steps
        self._name = name
        self._attributes = attributes
        self._always = always
        self._failure = ""
        self._inner: list[Step] = []
        self._started = self._began = 0.0
        self._outer: Timing | None = None
        self._token: Token[Timing | None] | None = None
        self._ended = False

    def note(self, name: str, value: str | int) -> None:
        """One more attribute."""
        if self._steps is not None:
            self._attributes = (*self._attributes, (name, value))

    def fail(self, kind: str) -> None:
        """It did not go well, though nothing is raised."""
        if self._steps is not None:
            self._failure = kind

    def __enter__(self) -> Self:
        if self._steps is not None:
            self._outer = _going_on.get()
            self._token = _going_on.set(self)
            self._started, self._began = time.time(), time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if self._steps is None or self._token is None:
            return
        seconds = time.perf_counter() - self._began
        _going_on.reset(self._token)
        self._ended = True
        step = Step(
            name=self._name,
            started=self._started,
            seconds=seconds,
            failure=kind.__name__ if kind else self._failure,
            attributes=self._attributes,
            inner=tuple(self._inner),
        )
        if self._outer is None or self._outer._ended:  # a task may go on when what began it is over
            self._steps.take(step, always=self._always)
        elif len(self._outer._inner) < MAX_INNER:
            self._outer._inner.append(step)
        else:
            self._steps.drop(step)


_going_on: ContextVar[Timing | None] = ContextVar("going_on", default=None)
_UNTIMED: Final = Timing(None, "", (), always=False)


class Steps:
    """
    The steps worth a trace: a share of them, and all that were slow or failed. Bounded; any thread.

    >>> steps = Steps()
    >>> steps.keep(share=1.0, slow_seconds=1.0)
    >>> with steps.timed("tick"), steps.timed("write page"):
    ...     pass
    >>> [step] = steps.drain()
    >>> step.name, step.inner[0].name
    ('tick', 'write page')
    """

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        """:param chance: in [0, 1)"""
        self._chance = chance
        self._is_on = False
        self._share = 0.0
        self._slow_seconds = math.inf
        self._lock = Lock()
        self._waiting: list[Step] = []
        self._dropped = 0

    def keep(self, share: float, slow_seconds: float) -> None:
        """From now on."""
        self._share, self._slow_seconds, self._is_on = share, slow_seconds, True

    def timed(self, name: str, attributes: Attributes = (), *, always: bool = False) -> Timing:
        """
        For a `with`; within another one it becomes part of that.

        :param always: kept whatever the share
        """
        return Timing(self, name, attributes, always=always) if self._is_on else _UNTIMED

    def drain(self) -> tuple[Step, ...]:
        """Those kept since the last call."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        return tuple(waiting)

    def dropped(self) -> int:
        """Steps lost since the last call because too many waited."""
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        return dropped

    def take(self, step: Step, *, always: bool = False) -> None:
        if not (always or step.seconds >= self._slow_seconds or step.has_failed() or self._chance() < self._share):
            return
        with self._lock:
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append(step)
                return
        self.drop(step)

    def drop(self, step: Step) -> None:
        with self._lock:
            self._dropped += size(step)


def size(step: Step) -> int:
    """It and all within it."""
    return 1 + sum(map(size, step.inner))
