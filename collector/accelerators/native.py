"""A vendor's C library through ctypes: looked for late, taken up anew when its file was replaced."""

import ctypes
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from collector.accelerators.driver import DriverError, Meaning

_DEPENDENCY: Final = re.compile(r"(lib[\w.+-]+): cannot open shared object file")

ToError = Callable[[int, str], DriverError]
"""from a code that is not 0, and the call that returned it"""


class Native:
    """
    Any thread may call; ctypes lets the others run meanwhile.

    :param names: what the dynamic linker is asked for, one after the other: names or paths
    """

    def __init__(self, names: Sequence[str], to_error: ToError) -> None:
        self._names = names
        self._to_error = to_error
        self._library: ctypes.CDLL | None = None
        self._file = ("", 0)
        self._replaced = 0
        self._functions: dict[str, Any] = {}

    def load(self) -> None:
        """
        The first of the names that there is; again to take up another file that was put in its place.

        :raises DriverError: ABSENT; or NOT_LOADED, when it is here and one that it needs is not
        """
        needs = ""
        for name in self._names:
            try:
                loaded, file = self._open(name)
            except OSError as failure:
                found = _DEPENDENCY.search(str(failure))
                if found and found[1] != os.path.basename(name):
                    needs = needs or found[1]
                continue
            if file != self._file:
                self._library, self._file, self._functions = loaded, file, {}
            return
        if needs:
            raise DriverError(Meaning.NOT_LOADED, f"MISSING_{needs}", "dlopen")
        raise DriverError(Meaning.ABSENT, "LIBRARY_NOT_FOUND", "dlopen")

    def call(self, name: str, *arguments: Any) -> None:
        """
        A function that returns 0 when it went well.

        :raises DriverError: UNSUPPORTED where this library has no such function; else what its code means
        """
        code = self.function(name)(*arguments)
        if code:
            raise self._to_error(code, name)

    def function(self, name: str, returns: Any = ctypes.c_int) -> Any:
        """
        The function itself, for those that return no code.

        :raises DriverError: UNSUPPORTED where this library has no such function
        """
        found = self._functions.get(name)
        if found is None:
            try:
                found = getattr(self._library, name)
            except AttributeError:
                raise DriverError(Meaning.UNSUPPORTED, "SYMBOL_NOT_FOUND", name) from None
            found.restype = returns
            self._functions[name] = found
        return found

    def _open(self, name: str) -> tuple[ctypes.CDLL, tuple[str, int]]:
        """The library and which file it is. The linker goes by a path that it knows, whatever stands there now."""
        if not os.path.isabs(name):
            return ctypes.CDLL(name), (name, 0)
        file = (name, os.stat(name).st_ino)
        if self._library is not None and file == self._file:
            return self._library, file
        if name == self._file[0]:
            self._replaced += 1
        directory, base = os.path.split(name)
        return ctypes.CDLL(os.path.join(directory, *["."] * self._replaced, base)), file
