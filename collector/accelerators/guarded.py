"""A vendor's library that must not be shut down under somebody's call: its handles die with it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from collector.accelerators.driver import DriverError, Meaning
from collector.accelerators.native import Native

ALONE_SECONDS: Final = 3.0


class Guarded:
    """Any thread may `call`; `alone` waits until nobody is in a call, and refuses everybody else meanwhile."""

    def __init__(self, library: Native) -> None:
        self._library = library
        self._changed = threading.Condition()
        self._inside: dict[int, float] = {}
        self._is_held = False

    def load(self) -> None:
        """:raises DriverError: ABSENT, or NOT_LOADED when something that it needs is missing"""
        self._library.load()

    def call(self, name: str, *arguments: Any) -> None:
        """:raises DriverError: what its code means; FAILING while it is opened anew"""
        with self._changed:
            if self._is_held:
                raise DriverError(Meaning.FAILING, "REOPENING", name)
            self._inside[threading.get_ident()] = time.monotonic()
        try:
            self._library.call(name, *arguments)
        finally:
            with self._changed:
                self._inside.pop(threading.get_ident(), None)
                self._changed.notify_all()

    @property
    def hangs(self) -> bool:
        """Somebody has been in a call for so long that waiting for the end of it may be in vain."""
        with self._changed:
            return any(time.monotonic() - since > ALONE_SECONDS for since in self._inside.values())

    @contextmanager
    def alone(self) -> Iterator[Native]:
        """
        The library, to be called without asking.

        :raises DriverError: FAILING, somebody is still in a call: a device hangs
        """
        until = time.monotonic() + ALONE_SECONDS
        with self._changed:
            while self._inside:
                if not self._changed.wait(max(0.0, until - time.monotonic())):
                    raise DriverError(Meaning.FAILING, "IN_USE", "dlclose")
            self._is_held = True
        try:
            yield self._library
        finally:
            with self._changed:
                self._is_held = False
