"""How watchkeeper's commands read their command line, and what they say of one that is none."""

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from typing import Any, Final, NoReturn

from watchkeeper.agent.fitting import nearest

_HELP_COLUMN: Final = 31


class Parser(argparse.ArgumentParser):
    """Of a command line that is none it says one line on standard error: what is wrong, what is near. Exit code 2."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault(
            "formatter_class", lambda prog: argparse.HelpFormatter(prog, max_help_position=_HELP_COLUMN)
        )
        super().__init__(**settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Knows all of them: only here is it known which options there are."""
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(_too_much(unknown, self._option_string_actions))
        return options, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        if action.nargs == argparse.PARSER:
            raise argparse.ArgumentError(None, f"no command '{value}'{_nearest(value, action.choices)}")
        choices = ", ".join(map(str, action.choices))
        raise argparse.ArgumentError(
            action, f"expected one of {choices}, got '{value}'{_nearest(value, action.choices)}"
        )

    def error(self, message: str) -> NoReturn:
        said = re.sub(r"invalid (float|int) value: ", "expected a number, got ", message)
        self.exit(2, f"watchkeeper: {said} (see {self.prog} --help)\n")


def add_command(among: Any, name: str, about: str) -> argparse.ArgumentParser:
    """:param about: a sentence without its capital and its full stop, as it stands in the list of commands"""
    parser: argparse.ArgumentParser = among.add_parser(name, help=about, description=f"{about[:1].upper()}{about[1:]}.")
    return parser


def above_zero(text: str) -> float:
    """As an argument's type."""
    return _number(text, "> 0", lambda number: number > 0)


def zero_or_more(text: str) -> float:
    """As an argument's type."""
    return _number(text, ">= 0", lambda number: number >= 0)


def _number(text: str, wanted: str, fits: Callable[[float], bool]) -> float:
    """:raises ArgumentTypeError: it is none, or not as wanted"""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got '{text}'") from None
    if not (isfinite(number) and fits(number)):
        raise argparse.ArgumentTypeError(f"expected a number {wanted}, got '{text}'")
    return number


def _too_much(unknown: Sequence[str], options: Iterable[str]) -> str:
    first = unknown[0]
    if not first.startswith("-"):
        return f"'{first}' is one argument too many"
    name = first.partition("=")[0]  # what follows may be a secret
    return f"no option '{name}'{_nearest(name, options)}"


def _nearest(given: Any, known: Iterable[Any]) -> str:
    near = nearest(str(given), list(map(str, known)))
    return f"; did you mean '{near}'?" if near else ""
