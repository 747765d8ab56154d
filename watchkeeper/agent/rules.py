"""`watchkeeper rules build | check | list`: rules, their tests, runbooks and routing, from one catalogue."""

import os
import shutil
import subprocess
import tempfile
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

import dashboards
from dashboards import build
from dashboards.alerts_page import alerts_page, alerts_text
from dashboards.values import DEFAULTS, Values
from watchkeeper.agent import config as configuration
from watchkeeper.agent.documentation import field_docs
from watchkeeper.agent.fitting import check
from watchkeeper.core.errors import ConfigError

HERE = Path(dashboards.__file__).parent
"""where the generated files lie in a checkout"""
_TOOLS = (
    ("promtool", "prometheus", ("check", "rules"), "generated/rules"),
    ("promtool", "prometheus", ("test", "rules"), "generated/tests"),
    ("amtool", "prometheus-alertmanager", ("check-config",), "generated/alertmanager.yaml"),
)
_SECONDS = 600.0


def load(path: Path | None) -> Values:
    """
    Values of a file, or those that are shipped.

    :raises ConfigError: every mistake at once, those that would make a rule dead too
    """
    if path is None:
        return DEFAULTS
    document = configuration.read(path)
    if found := list(check(document, Values, "")):
        raise ConfigError(*(f"{path}: {problem}" for problem in found))
    values = msgspec.convert(document, Values)
    if wrong := build.problems(values):
        raise ConfigError(*(f"{path}: {problem}" for problem in wrong))
    return values


def write(values: Values, folder: Path) -> str:
    """Write what is new or changed and remove generated files that are no longer made. :return: one line for people"""
    files = build.files(values)
    changed = 0
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, text)
            changed += 1
    stale = [path for path in _generated(folder) if path.relative_to(folder).as_posix() not in files]
    for path in stale:
        path.unlink()
    return f"{folder}: {len(files)} files, {changed} written, {len(stale)} removed"


def verify(values: Values, folder: Path, tell: Callable[[str], None] = lambda _: None) -> Iterator[tuple[bool, str]]:
    """
    Whether the files in `folder` are those of these values, and what Prometheus's and Alertmanager's own tools say.

    :param tell: is given what is done next, for somebody who waits: the tests of the rules take a minute
    :return: well or not, and a line for people
    """
    tell("making the files")
    files = build.files(values)
    stale = [name for name, text in files.items() if not _is(folder / name, text)]
    extra = [path for path in _generated(folder) if path.relative_to(folder).as_posix() not in files]
    stale += [path.relative_to(folder).as_posix() for path in extra]
    told = f"not current: {', '.join(stale[:5])}; run: watchkeeper rules build" if stale else "current"
    yield not stale, f"{len(files)} files in {folder}: {told}"
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name)
        for path, text in files.items():
            (fresh / path).parent.mkdir(parents=True, exist_ok=True)
            (fresh / path).write_text(text, encoding="utf-8")
        for tool, package, arguments, where in _TOOLS:
            yield _run(tool, package, arguments, fresh / where, tell)


def listing(values: Values, *, markdown: bool) -> str:
    return alerts_page(values) + _values_page() if markdown else alerts_text(values)


def _values_page() -> str:
    """Every key that a file of values may have."""
    lines = [
        "",
        "## Values",
        "",
        "One YAML file, `--values FILE`. What would make a rule dead is refused with what works.",
    ]
    rows = ["", "| key | default | meaning |", "|---|---|---|", *_value_rows(Values, "")]
    return "\n".join(lines + rows) + "\n"


def _value_rows(struct: type[msgspec.Struct], path: str) -> Iterator[str]:
    docs = field_docs(struct)
    for field in msgspec.structs.fields(struct):
        key = f"{path}{field.encode_name}"
        inner = [one for one in (field.type, *typing.get_args(field.type)) if _is_struct(one)]
        if not inner:
            yield f"| `{key}` | {_default(field)} | {docs[field.encode_name]} |"
            continue
        many = typing.get_origin(field.type) is tuple
        names = ", ".join(_in_short(one) for one in field.default) if many else ""
        yield f"| `{key}{'[]' if many else ''}` | {names} | {docs[field.encode_name]} |"
        yield from _value_rows(inner[0], f"{key}[]." if many else f"{key}.")


def _in_short(one: msgspec.Struct) -> str:
    """
    >>> from dashboards.values import Burn
    >>> _in_short(Burn("critical", 0.02, "1h", "5m"))
    '`critical 0.02 1h 5m`'
    """
    return f"`{' '.join(str(value) for value in msgspec.structs.astuple(one) if value)}`"


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = None if field.default is msgspec.NODEFAULT else field.default
    return f"`{value}`" if value not in (None, "", ()) else ""


def _run(
    tool: str, package: str, arguments: tuple[str, ...], where: Path, tell: Callable[[str], None]
) -> tuple[bool, str]:
    title = f"{tool} {' '.join(arguments)}"
    program = shutil.which(tool)
    if program is None:
        return True, f"{title}: not run, {tool} is not installed (apt-get install {package})"
    paths = sorted(where.glob("*.yaml")) if where.is_dir() else [where]
    if not any(path.exists() for path in paths):
        return True, f"{title}: nothing to run: tests are made of the shipped values only"
    wrong = []
    for number, path in enumerate(paths, 1):
        tell(f"{title}: {path.name}, {number} of {len(paths)}")
        done = subprocess.run(  # noqa: S603 - a program found by name, on files that were just made
            [program, *arguments, str(path)], cwd=path.parent, capture_output=True, text=True, timeout=_SECONDS
        )
        if done.returncode:
            wrong.append(f"{done.stdout}{done.stderr}".rstrip())
    if wrong:
        return False, "\n".join((f"{title}: failed", *wrong))
    return True, f"{title}: ok ({len(paths)} files)"


def _generated(folder: Path) -> list[Path]:
    own = (folder / "generated").rglob("*.yaml"), (folder / "runbooks").glob("Watchkeeper*.md")
    return [path for paths in own for path in paths if "grafana" not in path.relative_to(folder).parts]


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _replace(path: Path, text: str) -> None:
    """Whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
