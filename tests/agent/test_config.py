from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from watchkeeper.agent.config import is_on, load, mistakes, root_type, schema
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Plugin


class PartConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    low: int = 1
    high: int = 2
    texts: dict[str, str] = {}

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low must not be above high")


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str
    timeout_seconds: float = 3.0


ROOT = root_type(
    (
        Plugin(name="part", summary="", config=PartConfig, build=lambda *_: None),
        Plugin(name="targets", summary="", config=tuple[Target, ...], build=lambda *_: None),
    ),
    (Plugin(name="out", summary="", config=PartConfig, build=lambda *_: None),),
)


def read(tmp_path: Path, text: str, **environment: str) -> Any:
    file = tmp_path / "c.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environment, ROOT)


def problems(tmp_path: Path, text: str, **environment: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, **environment)
    return caught.value.problems


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, "")

    assert (config.role, config.web.port, config.part.timeout_seconds, config.targets) == ("run", 9464, 1.0, ())


def test_one_line_is_enough_for_a_list_of_targets(tmp_path: Path) -> None:
    assert read(tmp_path, "targets: [{url: http://a:1}]").targets == (Target("http://a:1"),)


def test_every_mistake_is_reported_at_once_with_its_path(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "role: nodee\nweb: {prt: 1}\npart: {timeout: 5, timeout_seconds: 5s}\ntargets: [{url: a}, {}]\nout: {}\nz: 1\n",
    )

    assert found == (
        "role: expected one of run, node, sidecar, gateway, detector, got 'nodee'; did you mean 'node'?",
        "web.prt: unknown setting; did you mean 'port'?",
        "part.timeout: unknown setting; did you mean 'timeout_seconds' (in seconds)?",
        "part.timeout_seconds: expected a number of seconds, got '5s' "
        "(write the plain number, the unit is in the name)",
        "targets[1].url: is required",
        "out: unknown setting; did you mean 'exporters.out'?",
        "z: unknown setting; known here: capture, checks, control, cost, drift, exporters, limits, log_level, part, "
        "pod, role, shutdown_seconds, signals, state_folder, targets, tick_seconds, web",
    )


def test_a_wrong_unit_in_the_name_points_to_the_right_one(tmp_path: Path) -> None:
    assert problems(tmp_path, "part: {timeout_ms: 500}") == (
        "part.timeout_ms: unknown setting; did you mean 'timeout_seconds' (in seconds)?",
    )


def test_a_number_out_of_range_says_the_range(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, "part: {timeout_seconds: 0}")

    assert problem.startswith("part.timeout_seconds: expected a number > 0")


def test_a_rule_between_two_keys_is_reported_at_their_section(tmp_path: Path) -> None:
    assert problems(tmp_path, "part: {low: 3, high: 2}") == ("part: low must not be above high",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "not valid YAML"),
        ("- 1", "expected settings"),
        ("web: {port: 1}\nweb: {port: 2}", "'web' is given twice"),
        ("web: 5", "web: expected settings"),
        ("? [a, b]\n: 1", "not valid YAML"),
        ("? {a: 1}\n: 1", "not valid YAML"),
        ("web: {port: 2020-99-99}", "not valid YAML"),
        ("log_level: !!int x", "not valid YAML"),
        (f"web: {{port: {'9' * 5000}}}", "not valid YAML"),
        ("tick_seconds: .inf", "tick_seconds: expected a finite number"),
        ("shutdown_seconds: 1e300", "shutdown_seconds: expected a number"),
        ("web:", "web: expected settings (key: value), got nothing"),
        ("part: off", "part: expected settings (key: value), got false; write part: {enabled: false}"),
        ("web: 2020-09-09", "web: expected settings (key: value), got a date"),
        ("web: {host: 5}", "web.host: expected text, got a number ('5')"),
        ("web: {host: }", "web.host: expected text, got nothing"),
        ("targets: http://a", "targets: expected a list (- key: value), got text ('http://a')"),
        ("targets: [http://a]", "targets[0]: expected settings (key: value), got text"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    [problem] = problems(tmp_path, text)

    assert said in problem


def test_merge_keys_of_yaml_work(tmp_path: Path) -> None:
    text = "targets:\n- &first {url: http://a, timeout_seconds: 9}\n- {<<: *first, url: http://b}\n"

    assert read(tmp_path, text).targets == (Target("http://a", 9.0), Target("http://b", 9.0))


@pytest.mark.parametrize("letter", ["\\0", "\\ud800"], ids=["nul", "surrogate"])
def test_what_no_text_can_hold_is_a_line_for_each_key_wherever_it_stands(tmp_path: Path, letter: str) -> None:
    text = (
        f'state_folder: "a{letter}"\n'
        f'web: {{token_file: "{letter}a", tls: {{certificate_file: "{letter}", key_file: b}}}}\n'
        f'targets: [{{url: "http://{letter}"}}]\npart: {{texts: {{a: "{letter}"}}}}\n'
    )

    assert problems(tmp_path, text, WATCHKEEPER__CONTROL__SOCKET=f'"{letter}"') == (
        "state_folder: holds a NUL or a surrogate, which no text has; remove it",
        "web.token_file: holds a NUL or a surrogate, which no text has; remove it",
        "web.tls.certificate_file: holds a NUL or a surrogate, which no text has; remove it",
        "targets[0].url: holds a NUL or a surrogate, which no text has; remove it",
        "part.texts: holds a NUL or a surrogate, which no text has; remove it",
        "control.socket: holds a NUL or a surrogate, which no text has; remove it (from WATCHKEEPER__CONTROL__SOCKET)",
    )


@pytest.mark.parametrize("value", ["[" * 5000, "2020-99-99", "9" * 5000])
def test_a_variable_that_is_no_value_is_one_line(tmp_path: Path, value: str) -> None:
    assert problems(tmp_path, "", WATCHKEEPER__WEB__PORT=value) == ("WATCHKEEPER__WEB__PORT: not a YAML value",)


def test_a_missing_file_says_so() -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(Path("/nowhere/at/all.yaml"), {}, ROOT)


def test_what_a_part_finds_wrong_is_reported_only_while_the_part_is_on(tmp_path: Path) -> None:
    picky = Plugin(
        name="part", summary="", config=PartConfig, build=lambda *_: None, problems=lambda _: ("part.low: too low",)
    )
    root = root_type((picky,), ())
    on, off = (msgspec.convert({"part": {"enabled": enabled}}, root) for enabled in (True, False))

    assert mistakes(on, (picky,), ()) == ("part.low: too low",)
    assert mistakes(off, (picky,), ()) == ()


class ListenerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    host: str = "127.0.0.1"
    http_port: int = 9464


def test_two_listeners_on_one_port_are_told_apart_from_two_on_two_addresses() -> None:
    listener = Plugin(name="listener", summary="", config=ListenerConfig, build=lambda *_: None)
    root = root_type((listener,), ())
    same = msgspec.convert({}, root)
    other = msgspec.convert({"listener": {"host": "10.0.0.1"}}, root)

    assert mistakes(same, (listener,), ()) == (
        "listener.http_port: 9464 is also web.port; give each a port of its own",
    )
    assert mistakes(other, (listener,), ()) == ()


def test_a_listener_on_every_address_is_on_the_others_too_also_where_a_part_has_many() -> None:
    many = Plugin(name="many", summary="", config=tuple[ListenerConfig, ...], build=lambda *_: None)
    root = root_type((many,), ())
    listeners = [{"host": "0.0.0.0"}, {"host": "10.0.0.1", "http_port": 7}, {"host": "::", "http_port": 7}]

    assert mistakes(msgspec.convert({"many": listeners}, root), (many,), ()) == (
        "many[0].http_port: 9464 is also web.port; give each a port of its own",
        "many[2].http_port: 7 is also many[1].http_port; give each a port of its own",
    )


class Engine(msgspec.Struct, frozen=True):
    url: str = ""

    @property
    def host(self) -> str:
        return self.url


def test_what_is_read_is_no_listener() -> None:
    """An engine that is looked for has no host, and opens no port."""
    engines = Plugin(name="engines", summary="", config=tuple[Engine, ...], build=lambda *_: None)
    root = root_type((engines,), ())

    assert mistakes(msgspec.convert({"engines": [{}]}, root), (engines,), ()) == ()


@pytest.mark.parametrize("host", ["127.0.0.1:9464", "http://a", "", "a b"])
def test_a_host_that_is_none_is_refused(tmp_path: Path, host: str) -> None:
    [problem] = problems(tmp_path, f"web: {{host: '{host}'}}")

    assert "is not an address or a name" in problem


def test_hosts_that_no_resolver_takes_are_refused_of_every_listener() -> None:
    many = Plugin(name="many", summary="", config=tuple[ListenerConfig, ...], build=lambda *_: None)
    root = root_type((many,), ())
    text = {
        "web": {"host": "a..b"},
        "many": [{"host": "ok.example", "http_port": 1}, {"host": "é" * 64, "http_port": 2}],
    }

    assert mistakes(msgspec.convert(text, root), (many,), ()) == (
        "web.host: 'a..b' is not an address or a name; give one of this machine",
        f"many[1].host: '{'é' * 64}' is not an address or a name; give one of this machine",
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::", "fe80::1%eth0", "localhost", "a-b.example"])
def test_addresses_and_names_are_hosts(tmp_path: Path, host: str) -> None:
    assert read(tmp_path, f"web: {{host: '{host}'}}").web.host == host


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "web: {port: 1}\nlog_level: debug",
        WATCHKEEPER__WEB__PORT="2",
        WATCHKEEPER__TARGETS="[{url: http://b}]",
        WATCHKEEPER__EXPORTERS__OUT__ENABLED="false",
    )

    assert (config.web.port, config.log_level, config.targets[0].url) == (2, "debug", "http://b")
    assert not is_on(config.exporters.out)


@pytest.mark.parametrize("text", ["on", "10", "null", "2026-11-22", "", "a: b", "["])
def test_text_from_the_environment_stays_the_text_that_it_is(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, "", WATCHKEEPER__STATE_FOLDER=text).state_folder == text


def test_text_from_the_environment_may_be_quoted_as_in_yaml(tmp_path: Path) -> None:
    assert read(tmp_path, "", WATCHKEEPER__STATE_FOLDER='"on"').state_folder == "on"


def test_a_mistake_in_the_environment_is_reported_like_one_in_the_file(tmp_path: Path) -> None:
    assert problems(tmp_path, "", WATCHKEEPER__WEB__PROT="2") == (
        "web.prot: unknown setting; did you mean 'port'? (from WATCHKEEPER__WEB__PROT)",
    )


def test_variables_kubernetes_makes_for_a_service_of_our_name_are_not_settings(tmp_path: Path) -> None:
    assert read(tmp_path, "", WATCHKEEPER_PORT="tcp://10.0.0.1:9464", WATCHKEEPER_SERVICE_HOST="10.0.0.1").role == "run"


def test_the_schema_names_every_section_and_refuses_unknown_keys() -> None:
    document = schema(ROOT)
    definition = document["$defs"]["Config"]

    assert {"role", "web", "part", "targets", "exporters"} <= definition["properties"].keys()
    assert definition["additionalProperties"] is False
