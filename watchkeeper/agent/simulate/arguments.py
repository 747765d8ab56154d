"""Arguments of `watchkeeper simulate`: light, so that other commands start without what this one needs."""

import argparse
from pathlib import Path
from typing import Any

from watchkeeper.agent.parser import add_command


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "simulate", "make up hours of an estate, to try rules and dashboards on")
    parser.add_argument(
        "--fault", default="", metavar="NAME", help="one of those in docs/dashboards.md; default: all is well"
    )
    parser.add_argument("--hours", type=float, default=6.0, metavar="N", help="how many; default: %(default)g")
    parser.add_argument(
        "--trouble-hours",
        type=float,
        default=1.0,
        metavar="N",
        help="the last of them, in which the fault is; default: %(default)g",
    )
    parser.add_argument(
        "--step", type=float, default=60.0, metavar="SECONDS", help="between two scrapes; default: %(default)g"
    )
    parser.add_argument("--end", type=float, metavar="UNIX", help="when they end, in seconds since 1970; default: now")
    parser.add_argument("--values", type=Path, metavar="FILE", help="YAML of the rules")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--openmetrics", type=Path, metavar="FILE", help="write text, for promtool tsdb create-blocks-from"
    )
    where.add_argument("--tsdb", type=Path, metavar="DIR", help="write DIR/data for Prometheus, with rules evaluated")
    where.add_argument(
        "--table",
        action="store_true",
        help="print in Markdown what the fault leads to: alerts, when, heard or muted; without --fault: every fault",
    )
    parser.add_argument("--keep", type=Path, metavar="FILE", help="with --table: write it for docs/alerts.md, too")
    parser.add_argument("--serve", action="store_true", help="with --tsdb: start Prometheus on it until Ctrl-C")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from watchkeeper.agent.simulate.command import run

    return run(options)
