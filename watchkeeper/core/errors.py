"""
What can go wrong, by what the reader of it must do.

WatchkeeperError
├── ConfigError   the operator must change something; raised only before start
├── Unavailable   this device, library or peer is not here; park it, re-probe slowly
└── Retryable     the same call may succeed later; count it, back off
"""

from watchkeeper.core.hiding import without_credentials


class WatchkeeperError(Exception):
    """Root of every error raised on purpose."""


class ConfigError(WatchkeeperError):
    """
    The operator must change something. `problems` holds one line each: path to the key, what is wrong, what to do. An
    address that a line quotes may hold a password, which is left out.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = tuple(map(without_credentials, problems))
        super().__init__("\n".join(self.problems))


class Unavailable(WatchkeeperError):  # noqa: N818 - a state of the world, named as the operator sees it
    """A device, library or peer is not here."""


class Retryable(WatchkeeperError):  # noqa: N818
    """The same call may succeed later."""
