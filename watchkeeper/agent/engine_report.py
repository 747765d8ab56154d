"""`watchkeeper doctor --engine URL`: which engine it is, what it tells, what it could tell, what it never does."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from collector._pages.fault import Fault
from collector.engines import TABLES, problems
from collector.engines.config import EngineTarget
from collector.engines.doctor import Engine, Report, Unusable, look
from collector.engines.target import Target
from watchkeeper.agent.doctor import in_colour, terminal_width, wrap
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger

_UNKNOWN_SHOWN: Final = 12
_ANOTHER_PLACE: Final = (Fault.UNREACHABLE, Fault.TIMED_OUT, Fault.UNKNOWN_ENGINE, Fault.HTML, Fault.HTTP_ERROR)
"""the page may be at another port"""
_BOLD: Final = "1"
_GREEN: Final = "32"
_YELLOW: Final = "33"
_RED: Final = "31"


def examine_engine(url: str, configured: Sequence[EngineTarget]) -> tuple[str, bool]:
    """
    The text to show, and whether an engine was recognised. An engine of the configuration is looked at with its
    settings: token, certificates, path.

    :raises ConfigError: the URL cannot be used
    """
    try:
        target = EngineTarget(url=url)
    except ValueError as error:
        raise ConfigError(f"--engine: {error}") from None
    same = [one for one in configured if (one.host, one.port) == (target.host, target.port)]
    if same:
        path = target.fixed_path or same[0].path
        target = msgspec.structs.replace(same[0], path=path)
    if wrong := problems((target,)):
        raise ConfigError(*wrong)
    [found] = look([Target(target, TABLES, Ledger())])
    return show_report(found), isinstance(found, Report)


def show_report(found: Report | Unusable) -> str:
    """For a terminal: wrapped to its width, coloured on one."""
    return "\n".join(_refused(found) if isinstance(found, Unusable) else _lines(found))


def _refused(found: Unusable) -> Iterator[str]:
    yield f"{_paint('no engine recognised', _RED)} at {found.origin}"
    yield from _indented(found.detail, 2)
    if found.fault not in _ANOTHER_PLACE:
        return
    yield ""
    yield "Pages of the engines known here (`watchkeeper engines` has more):"
    width = max(len(table.title) for table in TABLES)
    for table in TABLES:
        yield f"  {table.title:<{width}}  port {table.port}, {' or '.join(table.paths)}"


def _lines(report: Report) -> Iterator[str]:
    yield f"{_paint(report.title, _BOLD)} at {report.origin}{report.path}"
    for engine in report.engines:
        version = f" {engine.version}" if engine.version else ", version not told"
        models = ", ".join(engine.models) or "not told; set `model` in the configuration"
        yield f"  {engine.title}{version}; provider {engine.provider}; model {models}"
    yield f"  {report.mapped} series mapped, {report.unmapped} not"
    for engine in report.engines:
        yield from _of(engine, named=len(report.engines) > 1)
    if report.unknown:
        shown = ", ".join(report.unknown[:_UNKNOWN_SHOWN])
        more = len(report.unknown) - _UNKNOWN_SHOWN
        yield ""
        yield f"Families without a meaning here: {len(report.unknown)}"
        yield from _indented(f"{shown}{f' and {more} more' if more > 0 else ''}", 2)


def _of(engine: Engine, *, named: bool) -> Iterator[str]:
    of = f" of {engine.title}" if named else ""
    metrics = sorted({one.metric.prometheus_name for one in engine.mapped})
    yield ""
    yield f"Mapped{of}: {len(metrics)} metrics"
    for name in metrics:
        sources = [
            f"{one.family}{f' ({one.note})' if one.note else ''}"
            for one in engine.mapped
            if one.metric.prometheus_name == name
        ]
        yield from _item(_paint("✓", _GREEN), name, ", ".join(dict.fromkeys(sources)))
    missing = [(one.metric.prometheus_name, one.hint) for one in engine.missing]
    if missing:
        yield ""
        yield f"Not on the page{of}:"
        for name, hint in sorted(dict.fromkeys(missing)):
            yield from _item(_paint("-", _YELLOW), name, hint)
    if engine.lacks:
        yield ""
        yield f"Exposed under no flag{of}:"
        for line in engine.lacks:
            yield from _indented(f"- {line}", 2, 4)


def _item(mark: str, name: str, text: str) -> Iterator[str]:
    """The text beside the name where it fits, else below it."""
    beside = f"  {mark} {name:<52} {text}" if text else f"  {mark} {name}"
    if len(f"  - {name:<52} {text}") <= terminal_width():
        yield beside
        return
    yield f"  {mark} {name}"
    yield from _indented(text, 6)


def _indented(text: str, first: int, rest: int | None = None) -> Iterator[str]:
    further = first if rest is None else rest
    head, *tail = wrap(text, terminal_width() - further)
    yield f"{'':<{first}}{head}"
    yield from (f"{'':<{further}}{line}" for line in tail)


def _paint(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if in_colour() else text
