"""What `watchkeeper replay` takes. Imports nothing heavy: every command of watchkeeper reads this."""

import argparse
from pathlib import Path
from typing import Any

from watchkeeper.agent.parser import add_command


def add_parser(commands: Any) -> None:
    about = "run history through checks, drift and signals: what would have alarmed, and when"
    parser = add_command(commands, "replay", about)
    parser.add_argument("file", type=Path, metavar="FILE", help="calls: CSV, JSON lines, Parquet, OTLP; also as .gz")
    parser.add_argument("--config", type=Path, metavar="FILE", help="thresholds, checks and references to judge by")
    parser.add_argument(
        "--reference", metavar="FILE", help="calls that are normal, in place of approved references; `self`: FILE's own"
    )
    parser.add_argument("--then", type=Path, metavar="FILE", help="calls that follow those of FILE")
    parser.add_argument(
        "--field", action="append", default=[], metavar="NAME=PATH", help="where a file has a part of a call"
    )
    parser.add_argument(
        "--service", default="replayed", metavar="NAME", help="of calls that tell none; default: %(default)s"
    )
    parser.add_argument("--model", default="", metavar="NAME", help="of all calls, whatever they tell")
    parser.add_argument(
        "--rate", type=float, default=1.0, metavar="N", help="calls a second where a file has no times (default 1)"
    )
    parser.add_argument(
        "--speed", type=float, default=0.0, metavar="N", help="times as fast as it was; default: as fast as it goes"
    )
    parser.add_argument("--shuffle", type=int, metavar="SEED", help="calls change places, times stay")
    parser.add_argument(
        "--what-if", action="append", default=[], metavar="NAME=FACTOR", help="multiply a number, as input_tokens=1.5"
    )
    parser.add_argument("--after", type=int, default=0, metavar="N", help="calls before --what-if begins (default 0)")
    parser.add_argument("--days", type=float, metavar="N", help="one false alarm in so many; default: configured, 30")
    parser.add_argument("--json", action="store_true", help="print findings and streams as JSON")
    parser.add_argument("--fail-on-alarm", action="store_true", help="exit 1 where anything alarmed")
    parser.set_defaults(command=_replay)


def _replay(options: argparse.Namespace) -> int:
    from watchkeeper.agent.replay.command import run

    return run(options)
