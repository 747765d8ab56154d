"""Room for what a vendor's library writes, where releases differ in how much that is."""

import ctypes
from typing import Any


class Buffer:
    """
    For one answer at a time, larger than in any release, so that one that writes more than we know of writes over
    nothing else. Filled with ones before each call: what was not written reads as the drivers' "not told".
    """

    def __init__(self, size: int) -> None:
        self._bytes = (ctypes.c_ubyte * size)()
        self._size = size
        self.view = memoryview(self._bytes).cast("B")

    def fresh(self) -> Any:
        """To be handed to a call."""
        ctypes.memset(self._bytes, 0xFF, self._size)
        return self._bytes

    def text(self, offset: int, length: int) -> str:
        """Empty where there is none."""
        raw = bytes(self.view[offset : offset + length]).partition(b"\0")[0]
        said = raw.decode("ascii", errors="replace").strip()
        return said if said.isprintable() and "\ufffd" not in said else ""
