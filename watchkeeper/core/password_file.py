"""A password that stands alone in a file, read at each use: who changes it restarts nothing."""

import logging
from pathlib import Path
from typing import Final

from watchkeeper.core.errors import ConfigError

_LOG: Final = logging.getLogger("watchkeeper.files")


class PasswordFile:
    """A file that holds none any more leaves the one that was read before in use; that is logged once."""

    def __init__(self, file: str, key: str) -> None:
        """
        :param key: of the configuration, to name to the operator
        :raises ConfigError: at the start there is nothing to stay in use
        """
        self._file = file
        self._key = key
        self._password = read(file, key)
        self._said = ""

    def newest(self) -> str:
        """From any thread."""
        try:
            self._password, problem = read(self._file, self._key), ""
        except ConfigError as error:
            problem = "; ".join(error.problems)
        if problem and problem != self._said:
            _LOG.error("%s; the one that was read before stays in use", problem)
        self._said = problem
        return self._password


def read(file: str, key: str) -> str:
    """:raises ConfigError: it cannot be read, or holds nothing"""
    try:
        password = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"{key}: '{file}' cannot be read ({why}); give a readable file") from None
    if not password:
        raise ConfigError(f"{key}: '{file}' holds no password; write it there and nothing else")
    return password
