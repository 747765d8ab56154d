"""Ways to the same number that differ between generations of a device: the first that it supports is kept."""

from collections.abc import Sequence

from collector.accelerators.driver import Ask, DriverError, Meaning, Measured


class FirstSupported:
    """
    Calling it makes the call that works here. Only UNSUPPORTED leads to the next one: a failure that may pass does not
    change where a series comes from.
    """

    def __init__(self, *ways: Ask) -> None:
        self._ways = ways
        self.place = 0
        """which one is used"""

    def __call__(self) -> Sequence[Measured]:
        """:raises DriverError: what the call in use says; UNSUPPORTED when none is left"""
        while True:
            try:
                return self._ways[self.place]()
            except DriverError as failure:
                if failure.meaning is not Meaning.UNSUPPORTED or self.place + 1 == len(self._ways):
                    raise
                self.place += 1
