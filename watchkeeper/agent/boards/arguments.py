"""Arguments of `watchkeeper dashboards`: light, so that other commands start without what this one needs."""

import argparse
from pathlib import Path
from typing import Any

from watchkeeper.agent.parser import add_command


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "dashboards", "make dashboards for Grafana, check them, or draw them without it")
    parser.add_argument("action", choices=("build", "check", "preview"), help="what to do with them")
    parser.add_argument("--values", type=Path, metavar="FILE", help="YAML: objectives, thresholds, labels; as of rules")
    parser.add_argument("--language", choices=("en", "zh"), help="of titles; default: both, preview en")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the folder dashboards/ of this installation")
    parser.add_argument(
        "--prometheus",
        metavar="URL",
        default="http://127.0.0.1:9090",
        help="of preview: asked for data; default: %(default)s",
    )
    parser.add_argument(
        "--hours", type=float, default=3.0, metavar="N", help="of preview: time shown, up to now; default: %(default)g"
    )
    parser.add_argument("--at", type=float, metavar="UNIX", help="of preview: end of the time shown; default: now")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from watchkeeper.agent.boards.command import run

    return run(options)
