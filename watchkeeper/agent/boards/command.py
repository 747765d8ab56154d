"""`watchkeeper dashboards build | check | preview`: Grafana's dashboards, and how they look without Grafana."""

import argparse
import os
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import dashboards
from dashboards.values import Values
from watchkeeper.agent import rules
from watchkeeper.core.errors import ConfigError

HERE: Final = Path(dashboards.__file__).parent
"""where the generated files lie in a checkout"""
_GENERATED: Final = "generated/grafana"


def run(options: argparse.Namespace) -> int:
    values = rules.load(options.values)
    if options.action == "preview":
        folder = options.out or Path("preview")
        end = time.time() if options.at is None else options.at
        for line in preview(values, options.language or "en", folder, options.prometheus, end, options.hours):
            print(line, flush=True)
        return 0
    languages = (options.language,) if options.language else ("en", "zh")
    files = _files(values, languages)
    folder = options.out or HERE
    if options.action == "build":
        print(write(files, folder))
        return 0
    stale = [name for name, text in files.items() if not _is(folder / name, text)]
    extra = [path.name for path in _there(folder, languages) if path.relative_to(folder).as_posix() not in files]
    wrong = [*stale, *extra]
    told = (
        f"not current: {', '.join(wrong[:5])}; run: watchkeeper dashboards build"
        if wrong
        else "current, no rule broken"
    )
    print(f"{len(files)} files in {folder}: {told}")
    return 1 if wrong else 0


def write(files: Mapping[str, str], folder: Path) -> str:
    """Write what is new or changed. :return: one line for people"""
    changed = 0
    for name, text in files.items():
        path = folder / name
        if not _is(path, text):
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.{os.getpid()}")
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)
            changed += 1
    return f"{folder}: {len(files)} files, {changed} written"


def preview(values: Values, language: str, folder: Path, url: str, end: float, hours: float) -> Iterator[str]:
    """
    A page of HTML for each dashboard, with what a Prometheus answers.

    :return: a line for each, with the queries that found nothing
    :raises ConfigError: Prometheus does not answer, or refuses a query
    """
    from dashboards.preview.answers import Span, answers, events
    from dashboards.preview.page import page
    from watchkeeper.agent.simulate.prometheus import ask

    span = Span(end - hours * 3600, end, values.scrape_seconds)
    asked = partial(ask, url)
    folder.mkdir(parents=True, exist_ok=True)
    for uid, data in _documents(values, language).items():
        got = answers(data, span, asked, {})
        html = page(data, got, list(events(data, span, asked, {})), span, {})
        (folder / f"{uid}.html").write_text(html, encoding="utf-8")
        empty = sum(not answer.rows for answer in got)
        yield f"{folder / uid}.html: {len(got)} queries, {empty} found nothing"


def _files(values: Values, languages: tuple[str, ...]) -> Mapping[str, str]:
    from dashboards.grafana import build

    try:
        return build.files(values, languages)
    except ImportError as error:
        raise ConfigError(_MISSING) from error


def _documents(values: Values, language: str) -> dict[str, dict[str, Any]]:
    from dashboards.grafana import build

    try:
        return build.documents(values, language)
    except ImportError as error:
        raise ConfigError(_MISSING) from error


_MISSING: Final = (
    "grafanalib is not installed: pip install 'watchkeeper[dashboards]'. The dashboards of the shipped values need"
    f" nothing: they are below dashboards/{_GENERATED}"
)


def _there(folder: Path, languages: tuple[str, ...]) -> list[Path]:
    return [path for language in languages for path in (folder / _GENERATED / language).glob("*") if path.is_file()]


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text
