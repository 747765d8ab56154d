"""Who may ask on a port: tokens by name, read from a file, compared in constant time."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.rereading import Reread
from watchkeeper.core.vocabulary import listeners

LEAST_CHARACTERS: Final = 16
"""of a token"""
TOO_SHORT: Final = f"the token has fewer than {LEAST_CHARACTERS} characters: make one with `openssl rand -hex 24`"
_MOST_BYTES: Final = 65_536
"""of a file of tokens"""
UNNAMED: Final = "operator"
"""who has a token without a name"""


class Tokens:
    """Holds hashes: no token is in memory longer than it must."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        """:param tokens: by name"""
        self._hashes = {name: _hash(token) for name, token in tokens.items()}

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def name_of(self, given: str) -> str | None:
        """Whose token it is. Every one is compared, whichever fits."""
        found, wanted = None, _hash(given)
        for name, held in self._hashes.items():
            if hmac.compare_digest(held, wanted):
                found = name
        return found


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


class Admission:
    """The tokens of one port, read again when their file changes; counts whom it turns away."""

    def __init__(
        self, files: Sequence[str], read: Callable[[], Tokens], listener: str, ledger: Ledger, *, basic: bool = True
    ) -> None:
        """
        :param files: what `read` reads
        :param basic: HTTP Basic is understood too, its password being the token: browsers know nothing else
        :raises ConfigError: what `read` raises
        """
        self._held = Reread(files, read, listener=listener, kind="tokens", ledger=ledger)
        self._labels = ((listeners.LISTENER, listener),)
        self._ledger = ledger
        self._basic = basic

    def __bool__(self) -> bool:
        """Whether there is any token."""
        return bool(self._held.value)

    def refresh(self, now: float) -> None:
        """Look at the files, if it is time to. :param now: unix seconds"""
        self._held.refresh(now)

    def name_of(self, authorization: str) -> str | None:
        """
        Whose token it is; None, which is counted, when it is nobody's.

        :param authorization: the header's value; empty: there is none
        """
        if not authorization:
            self.count("no_token")
            return None
        given = _token(authorization, basic=self._basic)
        name = self._held.value.name_of(given) if given else None
        if name is None:
            self.count("wrong_token")
        return name

    def count(self, reason: str) -> None:
        """:param reason: for which somebody was turned away"""
        self._ledger.add(listeners.UNAUTHENTICATED, 1, (*self._labels, ("reason", reason)))


def admission(file: str, listener: str, ledger: Ledger) -> Admission | None:
    """
    None: nobody is asked for a token.

    :param file: `token_file` of the section `listener`
    :raises ConfigError: it holds no usable tokens
    """
    if not file:
        return None
    return Admission((file,), lambda: Tokens(read(file, f"{listener}.token_file")), listener, ledger)


def problems(file: str, key: str) -> Iterator[str]:
    """What of the file cannot be used. :param key: of the configuration"""
    if file:
        try:
            read(file, key)
        except ConfigError as error:
            yield from error.problems


def read(file: str, key: str, *, named: bool = False) -> dict[str, str]:
    """
    Tokens by name, from a file with a line `name: token` for each, or with one token and nothing else. Errors quote
    not even names: of a line that is no such line they may be part of a token.

    :param key: of the configuration, to name to the operator
    :param named: each must have a name
    :raises ConfigError: it cannot be read, a line is none, a token is too short
    """
    tokens: dict[str, str] = {}
    for number, line in enumerate(_lines(file, key), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, token = (part.strip() for part in line.partition(":" if named else ": "))
        if not (token or named or line.rstrip().endswith(":")):  # a name whose token was forgotten is no token
            name, token = UNNAMED, name
        if not (name and token) or name in tokens or len(token.split()) > 1:
            wanted = "`name: token`" if named else "`name: token` or one token alone"
            raise ConfigError(f"{key}: '{file}' line {number}: expected {wanted}, each name once")
        if len(token) < LEAST_CHARACTERS:
            raise ConfigError(f"{key}: '{file}' line {number}: {TOO_SHORT}")
        tokens[name] = token
    if not tokens:
        raise ConfigError(f"{key}: '{file}' holds no token; write a line `name: token`")
    return tokens


def _lines(file: str, key: str) -> list[str]:
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ConfigError(f"{key}: '{file}' is larger than {_MOST_BYTES >> 10} KiB; give a file of tokens")
        return data.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ConfigError(f"{key}: '{file}': {why}; give a readable file") from None


def _token(authorization: str, *, basic: bool) -> str:
    """Empty where the header holds none."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    if basic and scheme.lower() == "basic":
        try:
            return base64.b64decode(given.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""
