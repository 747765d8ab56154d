"""One watchkeeper to a state folder: two would write each other's evidence over."""

import errno
import fcntl
import logging
import os
import socket
import time
from pathlib import Path
from typing import Final

from watchkeeper.core.errors import ConfigError

_LOG: Final = logging.getLogger("watchkeeper")
_FILE: Final = "in-use"
_TAKEN: Final = (errno.EWOULDBLOCK, errno.EACCES)
_TRY_SECONDS: Final = 0.1


class Claim:
    """
    Of a folder, which is made where it is not there. It ends with `release` or with the process, however that ends.

    :param folder: empty: nothing is claimed
    :param patience_seconds: how long one that is just ending is waited for
    :raises ConfigError: another process has it, or the file that says so is a link
    """

    def __init__(self, folder: str, patience_seconds: float = 3.0) -> None:
        self._file: int | None = None
        if not folder:
            return
        path = Path(folder) / _FILE
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            if error.errno == errno.ELOOP and path.is_symlink():  # what it leads to would be written over
                raise ConfigError(f"state_folder: '{path}' is a link, and none is followed; remove it") from None
            _LOG.warning("%s: %s; whether another watchkeeper uses it is not known", path, error.strerror)
            return
        self._file = file
        until = time.monotonic() + patience_seconds
        while not self._locked(file, path):
            if time.monotonic() >= until:
                who = os.pread(file, 200, 0).decode(errors="replace").strip()
                self.release()
                raise ConfigError(
                    f"state_folder: '{folder}' is in use by another watchkeeper ({who or 'unknown'}); "
                    "give each its own, or stop that one"
                )
            time.sleep(_TRY_SECONDS)

    def release(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _locked(self, file: int, path: Path) -> bool:
        """False: it is somebody else's now."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            _LOG.warning("%s: %s; whether another watchkeeper uses it is not known", path, error.strerror)
        return True
