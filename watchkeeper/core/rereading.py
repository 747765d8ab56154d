"""What files of the configuration say, read again when they change: certificates, tokens."""

import logging
import os
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import listeners

CHECK_SECONDS: Final = 10.0
"""how often the files are looked at"""
_LOG: Final = logging.getLogger("watchkeeper.files")
_Stamp = tuple[int, int, int, int] | None

T = TypeVar("T")


class Reread(Generic[T]):
    """
    `value` is what was last read well. Files that cannot be used leave it in place; that is logged once, and shown by
    `watchkeeper.files.stale`.
    """

    def __init__(
        self, files: Sequence[str], read: Callable[[], T], *, listener: str, kind: str, ledger: Ledger
    ) -> None:
        """
        :param read: of all of them; raises ConfigError
        :raises ConfigError: at the start there is nothing to stay in use
        """
        self._files = files
        self._read = read
        self._labels = ((listeners.LISTENER, listener), ("kind", kind))
        self._ledger = ledger
        self._checked_at = float("-inf")
        self._said = ""
        self._stamps = self._stamp()
        self.value = read()

    def refresh(self, now: float) -> bool:
        """
        Look at the files, where that was not done for CHECK_SECONDS.

        :param now: unix seconds
        :return: whether they were looked at
        """
        if not self._files or 0 <= now - self._checked_at < CHECK_SECONDS:
            return False
        self._checked_at = now
        stamps = self._stamp()
        if stamps != self._stamps or self._said:
            self._stamps = stamps
            self._read_again()
        self._ledger.set(listeners.STALE_FILES, bool(self._said), self._labels)
        return True

    def _read_again(self) -> None:
        try:
            self.value = self._read()
        except ConfigError as error:
            if self._said != str(error):
                self._said = str(error)
                _LOG.error("%s; what was read before stays in use", "; ".join(error.problems))
            return
        self._said = ""
        _LOG.info("read again: %s", ", ".join(self._files))

    def _stamp(self) -> tuple[_Stamp, ...]:
        return tuple(_stamp(file) for file in self._files)


def _stamp(file: str) -> _Stamp:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size
