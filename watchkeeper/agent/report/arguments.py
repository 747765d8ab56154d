"""What `watchkeeper report` and `watchkeeper evidence` take. Imports nothing heavy: every command reads this."""

import argparse
from pathlib import Path
from typing import Any

from watchkeeper.agent.parser import add_command


def add_parsers(commands: Any) -> None:
    report = add_command(commands, "report", "put a period on paper: what drifted, and the governance record")
    kinds = report.add_subparsers(required=True, metavar="KIND")

    drift = _part(
        kinds, "drift", "lay each signal beside its reference, with Evidently's page and what its verdict is worth"
    )
    _read(drift)
    _out(drift)

    governance = _part(
        kinds, "governance", "write down what changed, when, how bad, what was done: one page to print, and JSON"
    )
    _read(governance)
    _record(governance)
    _out(governance)

    evidence = add_command(commands, "evidence", "pack a period's record with all it rests on, and verify a pack")
    verbs = evidence.add_subparsers(required=True, metavar="VERB")

    export = _part(
        verbs, "export", "pack record, references, journal, audit entries, findings and configuration in one file"
    )
    _read(export)
    _record(export)
    export.add_argument("--out", type=Path, required=True, metavar="FILE.zip", help="the pack to write")

    verify = _part(verbs, "verify", "say what of a pack is not as it was packed")
    verify.add_argument("file", type=Path, metavar="FILE.zip", help="a pack that export wrote")
    verify.add_argument("--manifest", metavar="SHA256", help="that export printed: shows a pack that was made anew")


def _part(among: Any, name: str, about: str) -> argparse.ArgumentParser:
    parser = add_command(among, name, about)

    def run(options: argparse.Namespace) -> int:
        from watchkeeper.agent.report import command

        return command.COMMANDS[name](options)

    parser.set_defaults(command=run)
    return parser


def _read(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--period", required=True, metavar="PERIOD", help="2026-10, 2026-10-05/2026-10-11 or last-month; UTC"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--config", type=Path, metavar="FILE", help="whose state folder, references and store are read")
    where.add_argument("--state-folder", type=Path, metavar="FOLDER", help="instead of the configuration's")
    for part in ("namespace", "service", "model"):
        parser.add_argument(f"--{part}", metavar="NAME", help=f"{part} of the calls; default: any")


def _record(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prometheus", metavar="URL", help="that evaluates the shipped rules: objectives, items lost")
    parser.add_argument("--values", type=Path, metavar="FILE", help="objectives as `watchkeeper rules` takes them")


def _out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="made where it is not there")
