"""One call about one device that is made at every sample, with all that it needs made once."""

import ctypes
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from collector.accelerators.driver import Measured
from collector.accelerators.nvidia import codes
from collector.accelerators.nvidia.library import Library

Means = Callable[..., Iterable[Measured]]


class Question:
    """
    A function of the C library called directly: through the binding, which makes and looks up everything anew, it costs
    five times as much. An answer that is as last time is told by the same objects.
    """

    def __init__(
        self,
        library: Library,
        function: str,
        arguments: Sequence[Any],
        layout: str,
        means: Means,
        pointers: Sequence[int] = (0,),
    ) -> None:
        """
        :param arguments: the first ones, before the pointers to the answer
        :param layout: of the answer, as `struct` has it
        :param means: from the numbers of the answer, in order
        :param pointers: bytes from the answer's begin to what each pointer shows to
        """
        self.room = ctypes.create_string_buffer(struct.calcsize(layout))
        self._library = library
        self._name = function
        self._function: Callable[..., int] | None = None
        self._arguments = (*arguments, *(ctypes.byref(self.room, offset) for offset in pointers))
        self._unpack = struct.Struct(layout).unpack_from
        self._means = means
        self._told: tuple[float, ...] | None = None
        self._measured: tuple[Measured, ...] = ()

    def ask(self) -> Sequence[Measured]:
        """:raises DriverError: what the function's code means; UNSUPPORTED where the driver has no such function"""
        if self._function is None:
            self._function = self._library.raw(self._name)
        code = self._function(*self._arguments)
        if code:
            raise codes.error(code, self._name)
        told = self._unpack(self.room)
        if told != self._told:
            self._told, self._measured = told, tuple(self._means(*told))
        return self._measured
