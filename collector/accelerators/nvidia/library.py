"""
NVML through its binding `pynvml`: loaded late, and anew when the driver was replaced underneath.

The binding holds one library for the whole process. We say which: by name through the dynamic linker, or by its own
path when a new driver has put another file where the old one was.
"""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from collector.accelerators.driver import DriverError, Meaning
from collector.accelerators.nvidia import codes

NAME: Final = "libnvidia-ml.so.1"
_MAPS: Final = Path("/proc/self/maps")


class Library:
    """`name` is what the dynamic linker is asked for, or a path."""

    def __init__(self, name: str = NAME) -> None:
        self._name = name
        self._nvml: Any = None
        self._is_initialised = False

    def open(self) -> None:
        """
        Initialise; if that was done before, shut down first, and take up a new file of the library if there is one.

        :raises DriverError: ABSENT, NOT_LOADED, or what initialising says
        """
        if self._is_initialised:
            self.close()
        loaded = self._load()
        import pynvml

        self._nvml = pynvml
        if pynvml.nvmlLib is None or pynvml.nvmlLib._name != loaded._name:
            pynvml.nvmlLib = loaded
            pynvml._nvmlGetFunctionPointer_cache.clear()
        self.call("nvmlInitWithFlags", 0)
        self._is_initialised = True

    def close(self) -> None:
        """Shut down as well as the driver allows."""
        self._is_initialised = False
        if self._nvml is not None:
            try:
                self.call("nvmlShutdown")
            except DriverError:
                return  # it is gone already

    def call(self, name: str, *arguments: Any) -> Any:
        """
        A function of the binding. Bytes that are no UTF-8 in a text are replaced: one such name must not cost the
        other devices their numbers.

        :raises DriverError: its code's meaning
        """
        function = getattr(self._nvml, name)
        try:
            return function(*arguments)
        except self._nvml.NVMLError as failure:
            raise codes.error(failure.value, name) from None
        except UnicodeDecodeError as failure:
            return failure.object.decode(errors="replace")

    def raw(self, name: str) -> Callable[..., int]:
        """
        A function of the C library itself, which returns its code. For calls made so often that the binding's own way
        costs too much, and where it leaves no room for what drivers write past the end.

        :raises DriverError: the driver has no such function
        """
        try:
            return self._nvml._nvmlGetFunctionPointer(name)  # type: ignore[no-any-return]
        except self._nvml.NVMLError as failure:
            raise codes.error(failure.value, name) from None

    @property
    def binding(self) -> Any:
        """The module, for its structures."""
        return self._nvml

    def _load(self) -> ctypes.CDLL:
        try:
            loaded = ctypes.CDLL(self._name)
            newer = "" if self._nvml is None else _newer_file(self._name)
            return ctypes.CDLL(newer) if newer else loaded
        except OSError:
            raise DriverError(Meaning.ABSENT, "LIBRARY_NOT_FOUND", "dlopen") from None


def _newer_file(library: str) -> str:
    """
    The file that stands where a mapped one stood, if it is another: a new driver came with a library of its own. Empty
    when there is none, as in a container, which goes on seeing the library it was started with.
    """
    directory, name = os.path.split(library)
    mapped = [found for found in _mapped(name) if not directory or found[0].parent == Path(directory)]
    if not mapped:
        return ""
    link = mapped[0][0].with_name(name)
    try:
        standing = link.stat().st_ino
    except OSError:
        return ""
    return str(link.resolve()) if any(inode != standing for _, inode in mapped) else ""


def _mapped(name: str) -> list[tuple[Path, int]]:
    """Files of this process that have the library's name, with or without a version: path and inode."""
    stem = name.partition(".so")[0] + ".so"
    lines = (line.split(maxsplit=5) for line in _MAPS.read_text(encoding="utf-8", errors="replace").splitlines())
    files = ((Path(line[5].removesuffix(" (deleted)")), int(line[4])) for line in lines if len(line) == 6)
    return [(path, inode) for path, inode in files if path.name.startswith(stem)]
