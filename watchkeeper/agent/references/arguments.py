"""What `watchkeeper reference` takes. Imports nothing heavy: every command of watchkeeper reads this."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from watchkeeper.agent.parser import add_command

_WHERE = "where references are: drift.references_folder of the configuration, or `references` in its state_folder"


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "reference", "say what is normal: propose, look at and approve references")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    propose = _verb(verbs, "propose", "make references out of observed traffic, or of a file")
    propose.add_argument(
        "files",
        type=Path,
        nargs="*",
        metavar="FILE",
        help="JSON lines, CSV, Parquet, .tallies or a folder of these last",
    )
    _choice(propose)
    propose.add_argument("--since", metavar="TIME", help="ISO 8601, in UTC unless it says otherwise")
    propose.add_argument("--until", metavar="TIME", help="not itself")
    propose.add_argument(
        "--season",
        choices=("none", "hour", "hour_and_weekend"),
        metavar="SEASON",
        default="none",
        help="none, hour or hour_and_weekend: hours kept apart",
    )
    propose.add_argument("--utc-offset", type=float, default=0.0, metavar="HOURS", help="of the hours of a season")
    propose.add_argument(
        "--tolerance",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of SIGNAL.SCORE, instead of the one found",
    )
    propose.add_argument(
        "--confidence", type=float, default=0.99, metavar="SHARE", help="that a band holds the true mean, default 0.99"
    )
    propose.add_argument("--block-size", type=int, default=100, metavar="COUNT", help="calls of a block, default 100")
    propose.add_argument(
        "--block-seconds", type=float, default=60.0, metavar="SECONDS", help="and its least length, default 60"
    )
    propose.add_argument("--time-field", metavar="PATH", help="of FILE; default: at, time, timestamp, ...")
    propose.add_argument(
        "--field", action="append", default=[], metavar="NAME=PATH", help="where FILE has a signal, or service, model"
    )
    _deed(propose, why=False)

    show = _verb(verbs, "show", "print all that there is to say of references, by id or all")
    _choice(show, ids=True)
    show.add_argument("--json", action="store_true", help="print all that is known of each as JSON")

    approve = _verb(verbs, "approve", "put proposals in force, in place of what was")
    _choice(approve, ids=True)
    approve.add_argument("--all", action="store_true", help="the newest proposal of each signal chosen")
    _deed(approve, why=True)

    listing = _verb(verbs, "list", "print a line for each: its state, since when, and of what")
    _choice(listing)
    listing.add_argument("--all", action="store_true", help="those superseded and retired, too")
    listing.add_argument("--json", action="store_true", help="print all that is known of each as JSON")

    retire = _verb(verbs, "retire", "judge by these no more; nothing older comes back by itself")
    _choice(retire, ids=True)
    retire.add_argument("--all", action="store_true", help="all in force or proposed, of the signals chosen")
    _deed(retire, why=True)

    export = _verb(verbs, "export", "write them to a folder (a ConfigMap takes it), or to one file ending in .jsonl")
    export.add_argument(
        "destination", type=Path, metavar="FOLDER_OR_FILE", help="written to; made where it is not there"
    )
    export.add_argument("ids", nargs="*", metavar="ID", help="the beginning of an id; default: all in force")
    _choice(export)

    taking = _verb(verbs, "import", "take in what export wrote; approvals are kept, hashes verified")
    taking.add_argument("source", type=Path, metavar="FOLDER_OR_FILE", help="that export wrote")
    _deed(taking, why=False)


def _verb(verbs: Any, name: str, about: str) -> argparse.ArgumentParser:
    parser = add_command(verbs, name, about)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--config", type=Path, metavar="FILE", help=_WHERE)
    where.add_argument("--state-folder", type=Path, metavar="FOLDER", help="instead of the configuration's")
    where.add_argument("--folder", type=Path, metavar="FOLDER", help="of the references themselves")
    parser.set_defaults(command=_command(name))
    return parser


def _choice(parser: argparse.ArgumentParser, ids: bool = False) -> None:
    if ids:
        parser.add_argument("ids", nargs="*", metavar="ID", help="the beginning of an id")
    for part in ("namespace", "service", "model"):
        parser.add_argument(f"--{part}", metavar="NAME", help=f"{part} of the calls; default: any")
    parser.add_argument("--signals", metavar="NAME,NAME", default="", help="default: any")


def _deed(parser: argparse.ArgumentParser, why: bool) -> None:
    parser.add_argument("--by", metavar="NAME", help="default: who runs this")
    parser.add_argument("--why", required=why, default="", metavar="TEXT", help="for the journal")


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        from watchkeeper.agent.references import command

        return command.VERBS[name](options)

    return run
