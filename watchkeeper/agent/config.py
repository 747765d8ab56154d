"""
One YAML file to one typed Config, with every mistake at once.

Sources stand at the top level under their own names, exporters under `exporters`. Any key can be overridden by an
environment variable: `WATCHKEEPER__OTLP__HTTP_PORT=14318` sets `otlp.http_port`. Values are read as YAML; where text is
wanted and YAML sees something else (a namespace called `on`, a pod `10`, nothing at all), it is taken as it stands.
"""

import os
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import yaml

from watchkeeper.agent import capture, control, pod, prices
from watchkeeper.agent.capture import CaptureConfig
from watchkeeper.agent.control import ControlConfig
from watchkeeper.agent.fitting import check, kind
from watchkeeper.agent.pod import PodConfig
from watchkeeper.agent.prices import CostConfig, Price
from watchkeeper.core import tls, tokens
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.hosts import is_host
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.tls import Tls

ENVIRONMENT_PREFIX: Final = "WATCHKEEPER__"

Role = Literal["run", "node", "sidecar", "gateway", "detector"]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class WebConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The one HTTP port of watchkeeper's own: metrics, page, health."""

    host: str = "127.0.0.1"
    """address to listen on; in a pod, the pod's own"""
    port: Port = 9464
    """0 takes any free port and logs it"""
    token_file: str = ""
    """file with one token, or a line `name: token` each: who asks for metrics or the page must send one, as
    `Authorization: Bearer` or as the password of HTTP Basic; /healthz and /readyz ask for none"""
    tls: Tls = Tls()
    """TLS; /healthz and /readyz ask for no client's certificate, since a kubelet has none"""

    def __post_init__(self) -> None:
        """:raises ValueError: the host is not one"""
        if not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%\w+)?", self.host):
            raise ValueError(f"host: '{self.host}' is not an address or a name; the port is a key of its own")


class LimitsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds that keep memory flat whatever arrives."""

    max_series: Annotated[int, msgspec.Meta(ge=100)] = 5_000
    """series held at most (a histogram is one); further ones are folded into `other`"""
    max_values_per_label: Annotated[int, msgspec.Meta(ge=10)] = 250
    """distinct values admitted for a label; the next ones become `other`"""


class DriftConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Streams of what the calls show, each against its approved reference. See docs/drift.md."""

    enabled: bool = True
    references_folder: str = ""
    """approved references are read from here; empty: `references` in `state_folder`"""
    judged: Literal["here", "fleet"] = "here"
    """fleet: calls are counted here and the counts sent to detectors (exporters.kafka), which alone say what drifts"""
    false_alarm_days: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """days in which all streams together raise at most one false alarm, on average"""
    tick_seconds: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 10.0
    """what is observed in so long is combined before evidence moves"""
    grace_seconds: Annotated[float, msgspec.Meta(ge=1, le=600)] = 60.0
    """of a detector: a sidecar is waited for so long after it fell silent; clocks may differ by as much"""
    kept_every_seconds: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 30.0
    """of a detector: how often its evidence is kept; what came since then is read again after a stop"""
    max_segments: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64
    """services and models told apart; calls of further ones are not watched, but where they have a reference"""
    observed_mebibytes: Annotated[int, msgspec.Meta(ge=0)] = 64
    """room in `state_folder` for what was observed (never text), which references are proposed from; 0 keeps none"""


class Config(typing.Protocol):
    """What the generated root struct holds besides the parts' own sections."""

    role: Role
    log_level: str
    tick_seconds: float
    shutdown_seconds: float
    web: WebConfig
    limits: LimitsConfig
    cost: CostConfig
    state_folder: str
    drift: DriftConfig
    capture: CaptureConfig
    control: ControlConfig
    pod: PodConfig


def root_type(
    sources: tuple[Plugin, ...],
    exporters: tuple[Plugin, ...],
    signals: tuple[Plugin, ...] = (),
    checks: tuple[Plugin, ...] = (),
) -> type[msgspec.Struct]:
    """The struct a configuration file must fit: the agent's own keys and a section for every part."""
    exporting = _section("Exporters", exporters)
    signalling = _section("Signals", signals)
    checking = _section("Checks", checks)
    return msgspec.defstruct(
        "Config",
        [
            ("role", Role, "run"),
            ("log_level", Literal["debug", "info", "warning", "error"], "info"),
            ("tick_seconds", Annotated[float, msgspec.Meta(gt=0, le=60)], 0.5),
            ("shutdown_seconds", Annotated[float, msgspec.Meta(gt=0, le=3600)], 10.0),
            ("web", WebConfig, WebConfig()),
            ("limits", LimitsConfig, LimitsConfig()),
            ("cost", CostConfig, CostConfig()),
            ("state_folder", str, ""),
            ("drift", DriftConfig, DriftConfig()),
            ("capture", CaptureConfig, CaptureConfig()),
            ("control", ControlConfig, ControlConfig()),
            ("pod", PodConfig, PodConfig()),
            *(_field(plugin) for plugin in sources),
            ("signals", signalling, signalling()),
            ("checks", checking, checking()),
            ("exporters", exporting, exporting()),
        ],
        frozen=True,
        forbid_unknown_fields=True,
    )


def _section(name: str, plugins: tuple[Plugin, ...]) -> type[msgspec.Struct]:
    return msgspec.defstruct(name, [_field(plugin) for plugin in plugins], frozen=True, forbid_unknown_fields=True)


def _field(plugin: Plugin) -> tuple[str, Any, Any]:
    return plugin.name, plugin.config, () if typing.get_origin(plugin.config) is tuple else plugin.config()


def load(path: Path | None, environment: Mapping[str, str], root: type[msgspec.Struct]) -> Any:
    """
    Read, override, check.

    :param path: None for defaults only
    :raises ConfigError: one problem a line, each with the path to the key
    """
    document = read(path) if path else {}
    overridden: dict[str, str] = {}
    problems = list(override(document, environment, overridden, root))
    for told in check(document, root, ""):
        problem = " ".join(told.split())  # a value may have many lines
        variable = next((name for key, name in overridden.items() if problem.startswith((f"{key}:", f"{key}["))), "")
        problems.append(f"{problem} (from {variable})" if variable else problem)
    if problems:
        raise ConfigError(*problems)
    return _inherited(msgspec.convert(document, root))


def _inherited(config: Any) -> Any:
    """The folder for what survives a restart is everybody's, but for an exporter that is given one of its own."""
    changed = {
        name: msgspec.structs.replace(section, state_folder=config.state_folder)
        for name in config.exporters.__struct_fields__
        if (section := getattr(config.exporters, name)) is not None and getattr(section, "state_folder", None) == ""
    }
    if not changed or not config.state_folder:
        return config
    return msgspec.structs.replace(config, exporters=msgspec.structs.replace(config.exporters, **changed))


def mistakes(
    config: Any,
    sources: tuple[Plugin, ...],
    exporters: tuple[Plugin, ...],
    signals: tuple[Plugin, ...] = (),
    checks: tuple[Plugin, ...] = (),
) -> tuple[str, ...]:
    """What is wrong with a configuration whose types are right, in the parts that are on. Opens no socket."""
    sections = [(plugin, getattr(config, plugin.name)) for plugin in sources]
    sections += [(plugin, getattr(config.exporters, plugin.name)) for plugin in exporters]
    sections += [(plugin, getattr(config.signals, plugin.name)) for plugin in signals]
    sections += [(plugin, getattr(config.checks, plugin.name)) for plugin in checks]
    on = [(plugin, section) for plugin, section in sections if config.role in plugin.roles and is_on(section)]
    found = [problem for plugin, section in on for problem in plugin.problems(section)]
    found += tls.problems(config.web.tls, "web.tls")
    found += tokens.problems(config.web.token_file, "web.token_file")
    found += capture.problems(config.capture)
    found += _fleet_problems(config)
    found += pod.problems(config.pod, config.role)
    has_store = is_on(getattr(config.exporters, "store", ()))
    found += control.problems(config.control, has_store=has_store, has_token=control.TOKEN_VARIABLE in os.environ)
    controlled = [("control", config.control)] if config.control.enabled and not config.control.socket else []
    listeners = [("web", config.web), *controlled]
    listeners += [pair for plugin, section in on for pair in _listeners(plugin.name, section)]
    taken: list[tuple[int, str, str]] = []
    for name, section in listeners:
        if not is_host(section.host):
            found.append(f"{name}.host: {section.host!r} is not an address or a name; give one of this machine")
        for field in section.__struct_fields__:
            port = getattr(section, field)
            if field.endswith("port") and port:
                same = (key for held, host, key in taken if held == port and _overlap(host, section.host))
                if other := next(same, ""):
                    found.append(f"{name}.{field}: {port} is also {other}; give each a port of its own")
                taken.append((port, section.host, f"{name}.{field}"))
    try:
        price_list(config.cost)
    except ConfigError as error:
        found.extend(error.problems)
    return tuple(found)


def _fleet_problems(config: Any) -> Iterator[str]:
    sends: Any = getattr(config.exporters, "kafka", ())
    reads: Any = getattr(config, "kafka", ())
    if config.drift.judged == "fleet" and not is_on(sends):
        yield "drift.judged: fleet needs exporters.kafka.enabled: true, which brings the counts to the detectors"
    if config.role == "detector" and not is_on(reads):
        yield "role: a detector reads what sidecars counted; set kafka.enabled: true and kafka.connection.servers"
    if config.role != "detector" and is_on(reads) and reads.ticks:
        yield "kafka.ticks: only a detector judges counts; set kafka.ticks: false here, or role: detector"


class _PricesFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    prices: tuple[Price, ...]


def price_list(cost: CostConfig) -> tuple[Price, ...]:
    """
    The configured lines and those of the file.

    :raises ConfigError: the file cannot be read or is no price list, or lines contradict each other
    """
    listed: tuple[tuple[str, tuple[Price, ...]], ...] = (("cost.prices", cost.prices),)
    if cost.prices_file:
        try:
            document = read(Path(cost.prices_file))
        except ConfigError as error:
            raise ConfigError(*(f"cost.prices_file: {problem}" for problem in error.problems)) from error
        if found := [f"{cost.prices_file}: {problem}" for problem in check(document, _PricesFile, "")]:
            raise ConfigError(*found)
        listed += ((f"{cost.prices_file}: prices", msgspec.convert(document, _PricesFile).prices),)
    if found := [problem for path, lines in listed for problem in prices.problems(lines, path)]:
        raise ConfigError(*found)
    return tuple(line for _, lines in listed for line in lines)


def _listeners(name: str, section: Any) -> Iterator[tuple[str, Any]]:
    """What of a part's section may listen, with the path to it. What is read has a host that follows from its url."""
    parts = enumerate(section) if isinstance(section, tuple) else ()
    for path, one in [(name, section), *((f"{name}[{index}]", part) for index, part in parts)]:
        if "host" in getattr(one, "__struct_fields__", ()):
            yield path, one


def _overlap(one: str, other: str) -> bool:
    every = ("0.0.0.0", "::")  # noqa: S104 - compared with
    return one == other or one in every or other in every


class _Loader(yaml.SafeLoader):
    """YAML in which a key given twice is a mistake, not a silent choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # `<<: *shared`: what is merged may be given again
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool):
                raise yaml.constructor.ConstructorError(None, None, "a key must be plain text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key}' is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read(path: Path) -> dict[str, Any]:
    """
    Settings of a YAML file in which no key is given twice.

    :raises ConfigError: it cannot be read or is none
    """
    try:
        with path.open(encoding="utf-8") as file:
            document = yaml.load(file, _Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give a readable file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected settings (key: value), got {kind(document)}")
    return document


def override(
    document: dict[str, Any],
    environment: Mapping[str, str],
    overridden: dict[str, str],
    root: type[msgspec.Struct] | None = None,
) -> Iterator[str]:
    """
    Problems; notes in `overridden` which variable set which key.

    :param root: tells which keys want text; None: whatever YAML makes of a value holds
    """
    for name, text in sorted(environment.items()):
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        keys = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        wants_text = _type_at(root, keys) is str
        try:
            value = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):
            if not wants_text:
                yield f"{name}: not a YAML value"
                continue
            value = text
        if wants_text and not isinstance(value, str):
            value = text
        section = document
        for key in keys[:-1]:
            inner = section.setdefault(key, {})
            if not isinstance(inner, dict):
                yield f"{name}: {key} is not a section; lists can only be replaced whole"
                break
            section = inner
        else:
            section[keys[-1]] = value
            overridden[".".join(keys)] = name


def _type_at(root: Any, keys: Sequence[str]) -> Any:
    """What a key is to be; None where there is no such key."""
    for key in keys:
        is_section = isinstance(root, type) and issubclass(root, msgspec.Struct)
        fields = msgspec.structs.fields(root) if is_section else ()
        root = next((field.type for field in fields if field.encode_name == key), None)
    return root


def is_on(config: Any) -> bool:
    """Whether a part's section asks for it: not empty and not `enabled: false`."""
    return bool(getattr(config, "enabled", True)) if isinstance(config, msgspec.Struct) else bool(config)


def schema(root: type[msgspec.Struct]) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the configuration file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "watchkeeper configuration",
        **msgspec.json.schema(root),
    }
