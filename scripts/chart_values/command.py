"""Reads and writes the files."""

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from chart_values import comments, pages, schema
from watchkeeper.agent import command_line

CHART: Final = Path(__file__).resolve().parents[2] / "deploy/helm/watchkeeper"
CHARTS: Final = (CHART, CHART / "charts/watchkeeper-sidecar")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/chart", description="Writes what the chart has of values.yaml.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is not current")
    options = parser.parse_args(arguments)
    try:
        made = {path: text for chart in CHARTS for path, text in files(chart).items()}
    except comments.ValuesError as error:
        print(error, file=sys.stderr)
        return 2
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{'not current' if options.check else 'written'}: {path.relative_to(CHARTS[0])}")
        if not options.check:
            path.write_text(made[path], encoding="utf-8")
    return 1 if stale and options.check else 0


def files(chart: Path) -> Mapping[Path, str]:
    """:raises comments.ValuesError: what is to be read is not as it must be"""
    values = comments.read((chart / "values.yaml").read_text(encoding="utf-8"), schema.SHAPES)
    about = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))
    included = {entry.get("alias", entry["name"]) for entry in about.get("dependencies", [])}
    included |= {folder.name for folder in (chart / "charts").glob("*/")}
    checked = schema.document(about["name"], values, included, config_schema())
    made = {chart / "values.schema.json": json.dumps(checked, indent=1) + "\n"}
    readme = chart / "README.md"
    if readme.exists():
        presets = {path.stem: path.read_text(encoding="utf-8") for path in (chart / "presets").glob("*.yaml")}
        parts = {"values": pages.tables(values)} | ({"presets": pages.presets(presets)} if presets else {})
        made[readme] = pages.renewed(readme.read_text(encoding="utf-8"), parts)
    return made


def config_schema() -> Mapping[str, Any]:
    """What `watchkeeper config-schema` prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        command_line.main(["config-schema"])
    found: Mapping[str, Any] = json.loads(printed.getvalue())
    return found
