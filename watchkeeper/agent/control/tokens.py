"""Who may write: tokens by name, compared in constant time."""

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from watchkeeper.agent.control import TOKEN_VARIABLE, ControlConfig
from watchkeeper.core.errors import ConfigError

UNNAMED: Final = "operator"
"""who has the token of the environment"""
_LEAST_CHARACTERS: Final = 16


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


def load(config: ControlConfig, environment: Mapping[str, str]) -> Tokens:
    """:raises ConfigError: a file that cannot be read, a line that is none, a token that is too short"""
    tokens: dict[str, str] = {}
    if token := environment.get(TOKEN_VARIABLE, ""):
        tokens[UNNAMED] = token
    if config.token_file:
        tokens |= _read(config.token_file)
    if short := [name for name, token in tokens.items() if len(token) < _LEAST_CHARACTERS]:
        raise ConfigError(
            f"control: the token of {short[0]} has fewer than {_LEAST_CHARACTERS} characters: make one with "
            "`openssl rand -hex 24`"
        )
    return Tokens(tokens)


def _read(file: str) -> dict[str, str]:
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ConfigError(f"control.token_file: '{file}': {why}") from None
    tokens: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        name, colon, token = (part.strip() for part in line.partition(":"))
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not (colon and name and token) or name in tokens:
            raise ConfigError(f"control.token_file: '{file}' line {number}: expected `name: token`, each name once")
        tokens[name] = token
    if not tokens:
        raise ConfigError(f"control.token_file: '{file}' holds no token; write a line `name: token`")
    return tokens
