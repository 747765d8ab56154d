"""Who may write: tokens of a file, and one of the environment."""

from collections.abc import Mapping

from watchkeeper.agent.control import TOKEN_VARIABLE, ControlConfig
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.tokens import LEAST_CHARACTERS, TOO_SHORT, UNNAMED, Admission, Tokens, read


def load(config: ControlConfig, environment: Mapping[str, str]) -> Tokens:
    """:raises ConfigError: a file that cannot be read, a line that is none, a token that is too short"""
    tokens: dict[str, str] = {}
    if token := environment.get(TOKEN_VARIABLE, ""):
        if len(token) < LEAST_CHARACTERS:
            raise ConfigError(f"{TOKEN_VARIABLE}: {TOO_SHORT}")
        tokens[UNNAMED] = token
    if config.token_file:
        tokens |= read(config.token_file, "control.token_file", named=True)
    return Tokens(tokens)


def admission(config: ControlConfig, environment: Mapping[str, str], ledger: Ledger) -> Admission:
    """
    Without HTTP Basic: what browsers send by themselves, other sites can have them send.

    :raises ConfigError: as `load`
    """
    files = (config.token_file,) if config.token_file else ()
    return Admission(files, lambda: load(config, environment), "control", ledger, basic=False)
