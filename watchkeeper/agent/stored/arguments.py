"""What `watchkeeper findings` and `watchkeeper audit` take. Imports nothing heavy: every command reads this."""

import argparse
from pathlib import Path
from typing import Any

from watchkeeper.agent.parser import add_command

_STANDINGS = ("open", "acknowledged", "resolved", "closed")


def add_parser(commands: Any) -> None:
    findings = add_command(commands, "findings", "list what was found, as the store has it; acknowledge and close it")
    verbs = findings.add_subparsers(required=True, metavar="VERB")
    listing = _verb(verbs, "findings", "list", "print a line for each, the newest first")
    listing.add_argument("--standing", choices=_STANDINGS, help="default: any")
    for part in ("service", "model"):
        listing.add_argument(f"--{part}", metavar="NAME", help=f"{part} of the calls; default: any")
    listing.add_argument("--limit", type=int, default=20, metavar="COUNT", help="default 20, at most 1000")
    listing.add_argument("--json", action="store_true", help="all that is known of each, for programs")
    for verb, said in (("ack", "say that you look at one"), ("close", "say that nothing is left to do about one")):
        deed = _verb(verbs, "findings", verb, said)
        deed.add_argument("id", metavar="ID", help="as list shows it")
        deed.add_argument("--by", metavar="NAME", help="who does it; default: the user who runs this")
        deed.add_argument("--comment", default="", metavar="TEXT", help="for the audit log")

    audit = add_command(commands, "audit", "read and verify the log of what was found and done")
    verbs = audit.add_subparsers(required=True, metavar="VERB")
    _verb(
        verbs, "audit", "verify", "check that every entry is as it was written; exit code 1 and the first that is not"
    )
    entries = _verb(verbs, "audit", "list", "print entries in order")
    entries.add_argument("--after", type=int, default=0, metavar="NUMBER", help="those behind this one")
    entries.add_argument("--limit", type=int, default=1_000, metavar="COUNT", help="default 1000")
    entries.add_argument("--json", action="store_true", help="whole entries, a line of JSON each")


def _verb(verbs: Any, command: str, name: str, told: str) -> argparse.ArgumentParser:
    parser = add_command(verbs, name, told)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML file; without it, defaults and the environment"
    )
    parser.add_argument("--state-folder", type=Path, metavar="FOLDER", help="where watchkeeper.db is, without a file")
    parser.set_defaults(command=_run, what=command, verb=name)
    return parser


def _run(options: argparse.Namespace) -> int:
    from watchkeeper.agent.stored.command import VERBS

    return VERBS[options.what, options.verb](options)
