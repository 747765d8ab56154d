"""
What the chart mounts and sets is what the program reads: every rendered configuration is checked by the program itself,
as the rendered environment and mounts give it, and the roles of the fullest preset are started with it.
"""

import http.client
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import trustme
import yaml

from exporters.store import StoreConfig, database
from watchkeeper.agent import config as configuration
from watchkeeper.agent import registry
from watchkeeper.agent.command_line import _parser, main
from watchkeeper.core.testkit import free_port

CHART: Final = Path(__file__).resolve().parents[2] / "deploy/helm/watchkeeper"
PRESETS: Final = sorted(path.stem for path in (CHART / "presets").glob("*.yaml"))
COMPONENT: Final = "app.kubernetes.io/component"
FIELDS: Final = {"metadata.name": "wk-0", "metadata.namespace": "obs", "spec.nodeName": "node-7"}
"""What the Downward API tells."""
TOKEN: Final = "0123456789abcdef-of-a-test"  # noqa: S105
GUARDED: Final[dict[str, Any]] = {
    "auth": {"otlp": {"existingSecret": "senders", "tokenKey": "tokens"}},
    "otlpExport": {
        "endpoint": "https://127.0.0.1:1",
        "existingSecret": "headers",
        "tls": {"existingSecret": "certificate", "certificateKey": "tls.crt", "privateKeyKey": "tls.key"},
    },
    "tls": {"otlp": {"clientCertificates": True}},
    "engines": {
        "enabled": True,
        "config": {"engines": [{"url": "http://vllm-0.vllm.models.svc:8000", "name": "vllm"}]},
    },
    "report": {"rulesValues": {"job": "watchkeeper"}},
}
"""What `production` has no secret for."""

PARTS: Final = registry.sources(), registry.exporters(), registry.signals(), registry.checks()
ROOT: Final = configuration.root_type(*PARTS)

Manifest = dict[str, Any]


class Pod(msgspec.Struct):
    """A component as it would run, its files laid out below `root`."""

    component: str
    container: Manifest
    config: Path
    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """:raises AssertionError: it takes what no Downward API and no value of the chart gives"""
        made: dict[str, str] = {}
        for entry in self.container.get("env", []):
            value = entry.get("value") or FIELDS[entry["valueFrom"]["fieldRef"]["fieldPath"]]
            for name, known in made.items():
                value = value.replace(f"$({name})", known)
            made[entry["name"]] = value
        return made

    @property
    def arguments(self) -> list[str]:
        return [argument.replace("/etc/watchkeeper/", f"{self.config.parent}/") for argument in self.container["args"]]

    def settings(self) -> Any:
        """:raises ConfigError: what the program refuses"""
        options = _parser().parse_args(self.arguments)
        role = {"WATCHKEEPER__ROLE": options.role} if "role" in options else {}
        settings = configuration.load(self.config, self.environment | role, ROOT)
        assert configuration.mistakes(settings, *PARTS) == ()
        return settings


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """What a Secret holds under a key, whichever it is."""
    authority = trustme.CA()
    issued = authority.issue_cert("wk-watchkeeper-gateway.obs.svc", "127.0.0.1")
    return {
        "ca.crt": authority.cert_pem.bytes(),
        "tls.crt": issued.cert_chain_pems[0].bytes(),
        "tls.key": issued.private_key_pem.bytes(),
        "token": TOKEN.encode(),
        "tokens": f"prometheus: {TOKEN}".encode(),
        "headers": b"Authorization: Basic abc",
        "password": b"hunter2",
    }


def laid_out(manifests: Sequence[Manifest], root: Path, secrets: Mapping[str, bytes]) -> list[Pod]:
    """Each component with its volumes where its container mounts them, below `root`."""
    maps = {one["metadata"]["name"]: one["data"] for one in manifests if one["kind"] == "ConfigMap"}
    found = []
    for manifest in manifests:
        if manifest["kind"] not in ("DaemonSet", "StatefulSet", "CronJob"):
            continue
        outer = manifest["spec"]["jobTemplate"] if manifest["kind"] == "CronJob" else manifest
        spec = outer["spec"]["template"]["spec"]
        [container] = spec["containers"]
        component = manifest["metadata"]["labels"][COMPONENT]
        own = root / component
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in container["volumeMounts"]:
            folder = own / mount["mountPath"].lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
            for name, data in contents(volumes.get(mount["name"], {}), maps, secrets).items():
                text = data.replace(b": /", f": {own}/".encode()) if name == "watchkeeper.yaml" else data
                (folder / name).write_bytes(text)
        found.append(Pod(component, container, own / "etc/watchkeeper/watchkeeper.yaml", own))
    return found


def contents(volume: Manifest, maps: Mapping[str, Any], secrets: Mapping[str, bytes]) -> Mapping[str, bytes]:
    if "configMap" in volume:
        return {name: text.encode() for name, text in maps.get(volume["configMap"]["name"], {}).items()}
    if "secret" in volume:
        items = volume["secret"].get("items")
        return {item["path"]: secrets[item["key"]] for item in items} if items else secrets
    return {}


@pytest.fixture(scope="module", params=[*PRESETS, "guarded"])
def pods(
    request: pytest.FixtureRequest, render: Any, secrets: Mapping[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> list[Pod]:
    is_guarded = request.param == "guarded"
    manifests = render(presets=("production" if is_guarded else request.param,), given=GUARDED if is_guarded else {})
    return laid_out(manifests, tmp_path_factory.mktemp(request.param), secrets)


def test_the_program_takes_arguments_environment_and_configuration_of_each_component(pods: list[Pod]) -> None:
    for pod in pods:
        settings = pod.settings()

        assert settings.role == {"report": "run", "engines": "sidecar"}.get(pod.component, pod.component)
        assert settings.state_folder == f"{pod.root}/var/lib/watchkeeper"


def test_ports_and_probes_are_those_that_the_program_opens(pods: list[Pod]) -> None:
    for pod in pods:
        settings = pod.settings()
        opened = {"metrics": settings.web.port} if pod.component != "report" else {}
        if pod.component == "gateway":
            opened |= {"otlp-grpc": settings.otlp.grpc_port, "otlp-http": settings.otlp.http_port}
        if settings.control.enabled:
            opened["control"] = settings.control.port
        assert {port["name"]: port["containerPort"] for port in pod.container.get("ports", [])} == opened

        for name in ("livenessProbe", "readinessProbe", "startupProbe") if opened else ():
            asks = pod.container[name]["httpGet"]
            assert asks["port"] == "metrics"
            assert asks["scheme"] == ("HTTPS" if settings.web.tls else "HTTP")


def test_every_listener_of_a_pod_is_reached_from_outside_of_it(pods: list[Pod]) -> None:
    for pod in pods:
        settings = pod.settings()
        listeners = [settings.web] if pod.component != "report" else []
        listeners += [settings.otlp] if pod.component == "gateway" else []
        listeners += [settings.control] if settings.control.enabled else []
        assert {listener.host for listener in listeners} <= {"0.0.0.0"}


def test_every_file_that_a_configuration_names_is_mounted(pods: list[Pod]) -> None:
    for pod in pods:
        for path in files_in(yaml.safe_load(pod.config.read_text(encoding="utf-8"))):
            if "kubelet" not in path:
                assert Path(path).exists(), f"{pod.component}: {path}"


def files_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from files_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from files_in(inner)
    elif isinstance(value, str) and value.startswith("/"):
        yield value


def test_a_detector_is_known_to_kafka_by_the_name_of_its_pod_and_a_node_agent_by_its_node(
    render: Any, secrets: Mapping[str, bytes], tmp_path: Path
) -> None:
    manifests = render(presets=("production",), given=GUARDED)
    settings = {pod.component: pod.settings() for pod in laid_out(manifests, tmp_path, secrets)}

    assert settings["detector"].kafka.member == "wk-0"
    assert settings["node"].exporters.store.instance == "node-7"
    told = {"k8s.namespace.name": "obs", "k8s.pod.name": "wk-0", "k8s.node.name": "node-7"}
    assert settings["gateway"].exporters.otlp.resource_attributes == told


def test_a_reader_of_engines_takes_no_calls_whatever_is_said_for_all(
    render: Any, secrets: Mapping[str, bytes], tmp_path: Path
) -> None:
    said = {
        "otlp": {"enabled": True}, "tap": [{"port": 8080, "upstream": "http://vllm:8000"}], "log_level": "warning",
        "checks": {"classifier": {"enabled": True, "url": "http://judge:8000/"}}, "drift": {"tick_seconds": 20.0},
    }  # fmt: skip
    manifests = render(
        given={"engines": GUARDED["engines"], "config": said, "networkPolicy": {"egress": {"enabled": True}}}
    )
    [pod] = [pod for pod in laid_out(manifests, tmp_path, secrets) if pod.component == "engines"]
    settings = pod.settings()

    assert [settings.otlp.enabled, settings.tap, settings.drift.enabled] == [False, (), False]
    assert not settings.checks.classifier.enabled
    assert settings.log_level == "warning"
    assert [engine.url for engine in settings.engines] == ["http://vllm-0.vllm.models.svc:8000"]


def test_where_detectors_judge_gateways_count_and_the_record_is_written_once(
    render: Any, secrets: Mapping[str, bytes], tmp_path: Path
) -> None:
    settings = {pod.component: pod.settings() for pod in laid_out(render(presets=("production",)), tmp_path, secrets)}

    assert settings["gateway"].drift.judged == "fleet"
    assert settings["gateway"].exporters.kafka.ticks
    assert not settings["detector"].exporters.kafka.ticks
    assert {name: one.exporters.store.enabled for name, one in settings.items()} == {
        "node": True, "gateway": False, "detector": True, "report": True,
    }  # fmt: skip


class Started(msgspec.Struct):
    pods: Mapping[str, Pod]
    ports: Mapping[str, Mapping[str, int]]
    tests: list[str]
    """arguments of the pod of `helm test`, for what was started"""


@pytest.fixture(scope="module")
def started(render: Any, secrets: Mapping[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Every role of the fullest preset, with the rendered arguments, environment and files, on free ports."""
    root = tmp_path_factory.mktemp("started")
    manifests = render(presets=("production",), given=GUARDED)
    running = {pod.component: pod for pod in laid_out(manifests, root, secrets) if pod.component != "report"}
    ports = {name: {port["name"]: free_port() for port in pod.container["ports"]} for name, pod in running.items()}
    keys = {
        "metrics": "WEB__PORT",
        "otlp-grpc": "OTLP__GRPC_PORT",
        "otlp-http": "OTLP__HTTP_PORT",
        "control": "CONTROL__PORT",
    }
    processes = []
    for name, pod in running.items():
        moved = {f"WATCHKEEPER__{keys[port]}": str(number) for port, number in ports[name].items()}
        command = [sys.executable, "-m", "watchkeeper", *pod.arguments]
        with (root / f"{name}.log").open("wb") as log:
            environment = {**os.environ, **pod.environment, **moved}
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
    [test] = [one for one in manifests if one["kind"] == "Pod"]
    wanted = test["spec"]["containers"][0]["args"]
    yield Started(
        running, ports, [moved_to(argument, running["gateway"].root, ports["gateway"]) for argument in wanted]
    )
    for process in processes:
        process.kill()
        process.wait(timeout=60)


def moved_to(argument: str, root: Path, ports: Mapping[str, int]) -> str:
    host = "wk-watchkeeper-gateway-0.wk-watchkeeper-gateway-headless.obs.svc"
    for port, name in (("9464", "metrics"), ("4318", "otlp-http")):
        argument = argument.replace(f"{host}:{port}", f"127.0.0.1:{ports[name]}")
    return argument.replace("=/run/", f"={root}/run/")


@pytest.mark.parametrize("component", ["node", "gateway", "detector", "engines"])
def test_probes_are_answered_by_a_role_started_as_rendered_with_brokers_and_database_away(
    component: str, started: Started
) -> None:
    probes = started.pods[component].container

    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = probes[name]["httpGet"]
        assert answer(probe["scheme"], started.ports[component][probe["port"]], probe["path"]) == 200, name


def answer(scheme: str, port: int, path: str) -> int:
    """As a kubelet asks: without a certificate and without looking at the other's; until there is an answer."""
    end = time.monotonic() + 120
    while True:
        context = ssl._create_unverified_context()  # noqa: S323 - as a kubelet does
        asked = (
            http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
            if scheme == "HTTPS"
            else http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        )
        try:
            asked.request("GET", path)
            status = asked.getresponse().status
        except OSError:
            status = 0
        finally:
            asked.close()
        if status == 200 or time.monotonic() > end:
            return status
        time.sleep(0.1)


def test_helm_test_finds_its_call_where_tls_certificates_and_tokens_are_asked_for(
    started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(started.tests)

    assert (code, capsys.readouterr().out[:30]) == (0, "a call sent to https://127.0.0")


def test_the_report_runs_as_rendered(
    render: Any, secrets: Mapping[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = render("report.prometheusUrl=", presets=("production",), given=GUARDED)
    [report] = [pod for pod in laid_out(manifests, tmp_path, secrets) if pod.component == "report"]
    for name, value in report.environment.items():
        monkeypatch.setenv(name, value)
    record = f"sqlite:///{tmp_path}/record.db"
    database.prepare(database.connect(StoreConfig(url=record)))
    monkeypatch.setenv("WATCHKEEPER__EXPORTERS__STORE__URL", record)
    monkeypatch.setenv("WATCHKEEPER__EXPORTERS__STORE__PASSWORD_FILE", "''")
    arguments = [argument.replace("/var/lib/", f"{report.root}/var/lib/") for argument in report.arguments]

    assert main(arguments) == 0
    assert len(list((report.root / "var/lib/watchkeeper/reports").glob("governance-*"))) == 2
