"""What holds for every command, present and future."""

import argparse
from collections.abc import Iterator

import pytest

from watchkeeper.agent.command_line import _parser


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from commands(below)


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


EACH = pytest.mark.parametrize("parser", list(commands(_parser())), ids=lambda parser: parser.prog)


@EACH
def test_a_sentence_says_first_what_it_is_for(parser: argparse.ArgumentParser) -> None:
    said = parser.description or ""

    assert said[:1].isupper()
    assert said.endswith(".")
    assert " ".join(said.split()) in " ".join(parser.format_help().split())


@EACH
def test_every_argument_says_what_it_is(parser: argparse.ArgumentParser) -> None:
    mute = [action.dest for action in parser._actions if not action.help and action.nargs != argparse.PARSER]

    assert mute == []


@EACH
def test_what_an_option_takes_is_named_as_what_it_is_and_not_as_the_option(parser: argparse.ArgumentParser) -> None:
    echoing = [
        action.dest
        for action in parser._actions
        if action.option_strings and action.nargs is None and not action.choices and action.metavar is None
    ]

    assert echoing == []


@EACH
def test_its_help_fits_eighty_columns_and_no_argument_is_pushed_to_the_right(parser: argparse.ArgumentParser) -> None:
    lines = parser.format_help().partition("\n\n")[2].splitlines()  # argparse does not fold alternatives in a usage

    assert max(map(len, lines)) <= 80
    arguments = {"  " + ", ".join(action.option_strings) for action in parser._actions if action.option_strings}
    assert all(any(line.startswith(argument) for line in lines) for argument in arguments)
