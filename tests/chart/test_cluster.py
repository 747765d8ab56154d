"""
A cluster on one machine: what helm rendered, started as the kubelet would, on addresses of its own.

Each pod has an address of 127.0.0.0/8, so that ports stay as rendered. What differs from a node: `0.0.0.0` becomes
that address, mounts lie below a folder of the pod, and the image's entry point is this Python's `watchkeeper`. The
driver's library, the kubelet and the models' servers are fakes; the broker, Prometheus and every watchkeeper are real.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from detectors.drift import packs
from detectors.drift.kinds import Kind
from watchkeeper.core.testkit import FakeLibrary, PrometheusServer
from watchkeeper.core.testkit.kafka_broker import KafkaBroker

REPOSITORY: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = REPOSITORY / "deploy/helm"
NVML: Final = REPOSITORY / "tests/collector/accelerators/fakes/nvml.c"
METRICS: Final = 9464
NODE: Final = "node-7"
MODEL: Final = "qwen"
DEVICE: Final = "GPU-00000000-0000-0000-0000-00000000000{}"
TOPICS: Final = {"watchkeeper.ticks": 4, "watchkeeper.state": 4, "watchkeeper.findings": 1, "watchkeeper.dead": 1}
REPLICAS: Final = ("vllm-0", "vllm-1", "vllm-2")
OUTSIDE: Final = "llm.example.org"
"""an engine without a sidecar, at OUTSIDE_ADDRESS as a name server would say"""
NETWORK: Final = f"127.{1 + os.getpid() // 250 % 250}.{1 + os.getpid() % 250}"
"""of this process alone: whoever else runs these tests on this machine has another"""
OUTSIDE_ADDRESS: Final = f"{NETWORK}.200"
PATIENCE_SECONDS: Final = 120.0
pytestmark = pytest.mark.timeout(1_000)

Manifest = dict[str, Any]
Labels = dict[str, str]

ENGINE = """
import sys, http.server
served = {"calls": 0}
class Engine(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        served["calls"] += 1
        self.say("application/json", b"{}")
    def do_GET(self):
        page = "".join(
            f'# TYPE vllm:{name} {kind}\\nvllm:{name}{{model_name="qwen"}} {value}\\n'
            for name, kind, value in (
                ("prompt_tokens_total", "counter", 100 * served["calls"]),
                ("generation_tokens_total", "counter", served["calls"]),
                ("num_requests_running", "gauge", 1),
            )
        )
        self.say("text/plain; version=0.0.4", page.encode())
    def say(self, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], 8000), Engine).serve_forever()
"""
"""A model's server as far as it is seen from outside: it answers, and counts what it answered."""


CHART_WITH_SIDECAR = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: vllm
spec:
  template:
    metadata:
      labels:
        {{- include "watchkeeper-sidecar.podLabels" . | nindent 8 }}
      annotations:
        {{- include "watchkeeper-sidecar.podAnnotations" . | nindent 8 }}
    spec:
      initContainers:
        {{- include "watchkeeper-sidecar.initContainers" . | nindent 8 }}
      volumes:
        {{- include "watchkeeper-sidecar.volumes" . | nindent 8 }}
---
{{ include "watchkeeper-sidecar.configMap" . }}
"""
"""What somebody's own chart has of the sidecar."""


class Pod:
    """One container of a pod, run as the kubelet runs it: its environment, its mounts, started again when it ended."""

    def __init__(
        self, name: str, namespace: str, address: str, template: Manifest, container: Manifest, root: Path
    ) -> None:
        self.name, self.namespace, self.address = name, namespace, address
        self.labels: Labels = template["metadata"]["labels"]
        self._fields = {
            "metadata.name": name, "metadata.namespace": namespace, "spec.nodeName": NODE, "status.podIP": address,
            **{f"metadata.annotations['{key}']": text for key, text in template["metadata"]["annotations"].items()},
        }  # fmt: skip
        self._container = container
        self._volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None

    def lay_out(self, maps: Mapping[str, Mapping[str, str]]) -> None:
        """The volumes, where the container mounts them."""
        for mount in self._container["volumeMounts"]:
            folder = self.path(mount["mountPath"])
            folder.mkdir(parents=True, exist_ok=True)
            known = self._volumes[mount["name"]].get("configMap", {}).get("name")
            for name, text in (maps[known] if known else {}).items():
                (folder / name).write_text(self._here(text), encoding="utf-8")

    def path(self, mounted: str) -> Path:
        return self._root / mounted.lstrip("/")

    def environment(self) -> dict[str, str]:
        made: dict[str, str] = {}
        for entry in self._container.get("env", []):
            told = entry.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", "")
            value = entry.get("value") or self._fields.get(told, "")
            for name, known in made.items():
                value = value.replace(f"$({name})", known)
            made[entry["name"]] = self._here(value)
        return made

    def start(self, **more: str) -> None:
        command = [sys.executable, "-m", "watchkeeper", *map(self._here, self._container["args"])]
        environment = {"PATH": os.environ["PATH"], "TMPDIR": str(self.path("/tmp")), **self.environment(), **more}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self._root)
        self._more = more

    def keep_running(self) -> None:
        """What restartPolicy Always does."""
        if self._process is None or self._process.poll() is not None:
            self.start(**self._more)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(timeout=30)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=60)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        return self._root / "log"

    def total(self, sample: str, **labels: str) -> float:
        """Over the series of its own page; 0 where it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:{METRICS}/metrics", timeout=60) as answer:
                page = answer.read().decode()
        except OSError:
            return 0.0
        return sum(
            one.value
            for family in text_string_to_metric_families(page)
            for one in family.samples
            if one.name == sample and labels.items() <= one.labels.items()
        )

    def _here(self, text: str) -> str:
        mounts = [mount["mountPath"] for mount in self._container["volumeMounts"] if mount["mountPath"] != "/tmp"]
        for mount in sorted(mounts, key=len, reverse=True):
            text = text.replace(f"{mount}/", f"{self.path(mount)}/").replace(f"{mount}\n", f"{self.path(mount)}\n")
            text = str(self.path(mount)) if text == mount else text.replace(f'{mount}"', f'{self.path(mount)}"')
        return text.replace("0.0.0.0", self.address).replace(OUTSIDE, OUTSIDE_ADDRESS)


class Engine:
    """A model's server in the pod at `address`, in a process of its own."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", ENGINE, self.address])
        until(lambda: self.answers(), f"the engine at {self.address} answers")

    def answers(self) -> bool:
        """One request of a user, answered."""
        request = urllib.request.Request(f"http://{self.address}:8000/v1/chat/completions", b"{}", method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=30)


class Cluster:
    """Everything that runs. `pods` by name."""

    def __init__(self, folder: Path, broker: KafkaBroker, manifests: list[Manifest], sidecars: list[Manifest]) -> None:
        self.broker, self._folder = broker, folder
        self._maps = {
            one["metadata"]["name"]: one["data"] for one in (*manifests, *sidecars) if one["kind"] == "ConfigMap"
        } | {"references": references()}
        self.manifests = manifests
        self.pods: dict[str, Pod] = {}
        self.engines: dict[str, Engine] = {}
        for one in manifests:
            if one["kind"] in ("DaemonSet", "StatefulSet"):
                name = one["metadata"]["name"]
                names = [f"{name}-x7k2p"] if one["kind"] == "DaemonSet" else [
                    f"{name}-{place}" for place in range(one["spec"]["replicas"])
                ]  # fmt: skip
                [container] = one["spec"]["template"]["spec"]["containers"]
                for pod in names:
                    self._add(pod, one["metadata"]["namespace"], one["spec"]["template"], container)
        [deployment] = [one for one in sidecars if one["kind"] == "Deployment"]
        for name in REPLICAS:
            template = json.loads(json.dumps(deployment["spec"]["template"]))
            template["metadata"]["annotations"]["watchkeeper.dev/engine-url"] = f"http://{self._next_address()}:8000"
            [container] = [one for one in template["spec"]["initContainers"] if one["name"] == "watchkeeper"]
            pod = self._add(name, "models", template, container)
            self.engines[name] = Engine(pod.address)
        self.engines[OUTSIDE] = Engine(OUTSIDE_ADDRESS)

    def _next_address(self) -> str:
        return f"{NETWORK}.{len(self.pods) + 10}"

    def _add(self, name: str, namespace: str, template: Manifest, container: Manifest) -> Pod:
        pod = Pod(name, namespace, self._next_address(), template, container, self._folder / f"p{len(self.pods)}")
        pod.lay_out(self._maps)
        self.pods[name] = pod
        return pod

    def of(self, component: str) -> list[Pod]:
        return [pod for pod in self.pods.values() if pod.labels.get("app.kubernetes.io/component") == component]

    @property
    def sidecars(self) -> list[Pod]:
        return [self.pods[name] for name in REPLICAS]

    def start(self, library: FakeLibrary) -> None:
        for engine in self.engines.values():
            engine.start()
        for pod in self.pods.values():
            mine = {"WATCHKEEPER__OTLP__HOST": pod.address} if pod in self.sidecars else {}  # its pod's own loopback
            pod.start(LD_LIBRARY_PATH=str(library.path.parent), **mine)
        for pod in self.pods.values():
            until(lambda pod=pod: is_ready(pod), f"{pod.name} is ready", lambda pod=pod: pod.log.read_text())

    def stop(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda pod: pod.stop(), self.pods.values()))
        for engine in self.engines.values():
            engine.kill()


def is_ready(pod: Pod) -> bool:
    try:
        with urllib.request.urlopen(f"http://{pod.address}:{METRICS}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def until(is_so: Callable[[], Any], what: str, said: Callable[[], str] = str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < end, f"not within {PATIENCE_SECONDS:g} s: {what}\n{said()[-4000:]}"
        time.sleep(0.1)


def references() -> dict[str, str]:
    """A folder of references as a ConfigMap has it: prompts of about 100 tokens."""
    drawn = np.random.default_rng(7).lognormal(4.6, 0.6, 6000).tolist()
    times = [1_700_000_000.0 + 20.0 * place for place in range(6000)]
    pack = packs.build(
        "input_tokens", Kind.NUMBER, drawn, made_at=times[-1], times=times, segment=f"models/vllm/{MODEL}"
    )
    return {f"{pack.id}.json": pack.approved("ada", times[-1] + 1, "a calm week").encode().decode()}


def calls(number: int) -> bytes:
    """OTLP/JSON of finished calls, as a client beside the engine tells them."""
    now = time.time_ns()
    said = {"gen_ai.operation.name": "chat", "gen_ai.request.model": MODEL, "gen_ai.provider.name": "vllm"}
    attributes = [{"key": key, "value": {"stringValue": text}} for key, text in said.items()]
    counts = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20}
    attributes += [{"key": key, "value": {"intValue": str(count)}} for key, count in counts.items()]
    spans = [
        {"traceId": os.urandom(16).hex(), "spanId": os.urandom(8).hex(), "name": f"chat {MODEL}", "kind": 3,
         "startTimeUnixNano": str(now - 10**9), "endTimeUnixNano": str(now), "attributes": attributes}
        for _ in range(number)
    ]  # fmt: skip
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "vllm"}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}).encode()


def tell(pod: Pod, number: int = 10) -> None:
    request = urllib.request.Request(
        f"http://{pod.address}:4318/v1/traces", calls(number), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def kubelet(socket_path: Path) -> grpc.Server:
    """pod-resources v1: each replica holds one device."""

    def field(number: int, body: bytes) -> bytes:
        return bytes((number << 3 | 2, len(body))) + body

    held = [
        field(1, name.encode()) + field(2, b"models")
        + field(3, field(1, b"vllm") + field(2, field(1, b"nvidia.com/gpu") + field(2, DEVICE.format(place).encode())))
        for place, name in enumerate(REPLICAS)
    ]  # fmt: skip
    answer = b"".join(b"\x0a" + bytes((len(body) & 0x7F | 0x80, len(body) >> 7)) + body for body in held)
    server = grpc.server(ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(lambda _request, _context: answer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("v1.PodResourcesLister", {"List": handler}),))
    server.add_insecure_port(f"unix:{socket_path}")
    server.start()
    return server


def scraped(cluster: Cluster) -> tuple[dict[str, str], dict[str, Labels]]:
    """Targets and their labels as the operator makes them of the rendered PodMonitors, which name what they select."""
    targets, labels = {}, {}
    for monitor in (one for one in cluster.manifests if one["kind"] == "PodMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint.get("path", "/metrics") == "/metrics"
        for pod in (one for one in cluster.pods.values() if wanted.items() <= one.labels.items()):
            meta = {"__meta_kubernetes_pod_node_name": NODE}
            made = {"namespace": pod.namespace, "pod": pod.name, "container": "watchkeeper"}
            for rule in endpoint["relabelings"]:
                made[rule["targetLabel"]] = rule.get("replacement") or meta[rule["sourceLabels"][0]]
            targets[pod.name], labels[pod.name] = f"{pod.address}:{METRICS}", made
    return targets, labels


@pytest.fixture(scope="module")
def cluster(render: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    library = FakeLibrary.compile(NVML, folder / "driver/libnvidia-ml.so.1")
    library.say({"devices": 3, "dev.temperature": 40, "dev.field.186": 300_000})
    library.say({f"dev{place}.uuid": DEVICE.format(place) for place in range(3)})
    with KafkaBroker() as broker:
        broker.make(TOPICS)
        common = {"drift": {"tick_seconds": 1.0}}
        manifests = render(given={
            "config": common, "kafka": {"servers": [broker.address]}, "references": {"existingConfigMap": "references"},
            "detector": {
                "enabled": True, "replicas": 2,
                # Longer than one of them is away: see what KafkaBroker makes of a member that is not back in time.
                "config": {"drift": {"kept_every_seconds": 1.0}, "kafka": {"session_seconds": 60.0}},
            },
            "node": {
                "podResources": {"enabled": True}, "config": {"accelerators": {"placement": {"interval_seconds": 1}}},
            },
            "gateway": {"replicas": 2},
            "engines": {
                "enabled": True, "config": {"engines": [{"url": f"http://{OUTSIDE}:8000", "interval_seconds": 1}]},
            },
            "metrics": {name: {"enabled": True} for name in ("podMonitor", "sidecarMonitor", "prometheusRule")},
        })  # fmt: skip
        chart = folder / "vllm"
        shutil.copytree(DEPLOY / "watchkeeper/charts/watchkeeper-sidecar", chart / "charts/watchkeeper-sidecar")
        (chart / "Chart.yaml").write_text("{apiVersion: v2, name: vllm, version: 0.1.0}")
        (chart / "templates").mkdir()
        (chart / "templates/vllm.yaml").write_text(CHART_WITH_SIDECAR)
        mount = "/etc/watchkeeper-references"
        sidecars = render(chart=chart, given={"watchkeeper-sidecar": {
            "engine": {"url": ""}, "configMap": "watchkeeper",
            "config": {
                "drift": {"judged": "fleet", "references_folder": mount, **common["drift"]},
                "exporters": {"kafka": {"enabled": True, "connection": {"servers": [broker.address]}}},
            },
            "extraVolumes": [{"name": "references", "configMap": {"name": "references"}}],
            "extraVolumeMounts": [{"name": "references", "mountPath": mount}],
        }})  # fmt: skip
        running = Cluster(folder, broker, manifests, sidecars)
        [node] = running.of("node")
        # A unix socket's path has room for 107 bytes, which the folder of a test may take alone.
        sockets = node.path("/var/lib/kubelet/pod-resources")
        short = Path(tempfile.mkdtemp(prefix="wk-", dir="/tmp"))
        shutil.rmtree(sockets)
        sockets.symlink_to(short)
        answering = kubelet(short / "kubelet.sock")
        try:
            running.start(library)
            yield running
        finally:
            running.stop()
            answering.stop(None)
            shutil.rmtree(short)


@pytest.fixture(scope="module")
def prometheus(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    folder = tmp_path_factory.mktemp("prometheus")
    rules = folder / "rules.yml"
    groups = [group for one in cluster.manifests if one["kind"] == "PrometheusRule" for group in one["spec"]["groups"]]
    watching = [{"name": one["name"], "rules": one["rules"]} for one in groups if one["name"] == "watchkeeper-monitor"]
    assert watching
    rules.write_text(yaml.safe_dump({"groups": watching}))  # each second, not each of its 30
    targets, labels = scraped(cluster)
    with PrometheusServer(folder, targets, [rules], labels=labels) as running:
        yield running


def of_pod(pod: Pod) -> str:
    return f'namespace="{pod.namespace}",pod="{pod.name}"'


@pytest.mark.parametrize("place", range(len(REPLICAS)))
def test_a_request_to_an_engine_meets_its_pods_device_in_one_query(
    place: int, cluster: Cluster, prometheus: PrometheusServer
) -> None:
    name = REPLICAS[place]
    assert cluster.engines[name].answers()

    [row] = prometheus.wait_for(
        f'sum by (k8s_namespace_name, k8s_pod_name, gen_ai_request_model) '
        f'(watchkeeper_engine_tokens_total{{gen_ai_token_type="input",{of_pod(cluster.pods[name])}}} > 0)'
        f' * on (k8s_namespace_name, k8s_pod_name) group_left (hw_id)'
        f' (max by (k8s_namespace_name, k8s_pod_name, hw_id) (hw_power_watts{{node="{NODE}"}}) > bool 0)',
        PATIENCE_SECONDS,
    )  # fmt: skip

    labels = row["metric"]
    assert (labels["k8s_namespace_name"], labels["k8s_pod_name"]) == ("models", name)
    assert (labels["gen_ai_request_model"], labels["hw_id"]) == (MODEL, DEVICE.format(place))


def test_what_an_engine_without_a_sidecar_counts_is_counted_once_in_the_whole_cluster(
    cluster: Cluster, prometheus: PrometheusServer
) -> None:
    told = {"server_address": OUTSIDE_ADDRESS, "gen_ai_token_type": "input"}
    counted = f'watchkeeper_engine_tokens_total{{server_address="{OUTSIDE_ADDRESS}",gen_ai_token_type="input"}}'
    [reader] = cluster.of("engines")
    prometheus.wait_for(
        f'count(watchkeeper_engine_up{{server_address="{OUTSIDE_ADDRESS}"}} == 1) == 1', PATIENCE_SECONDS
    )
    before = reader.total("watchkeeper_engine_tokens_total", **told)

    assert all(cluster.engines[OUTSIDE].answers() for _ in range(7))

    prometheus.wait_for(f"sum({counted}) == {before + 700}", PATIENCE_SECONDS)
    [row] = prometheus.wait_for(f"count by (pod) ({counted})")
    assert row["metric"] == {"pod": "wk-watchkeeper-engines-0"}


def test_calls_told_to_a_sidecar_are_counted_with_its_pod_and_model(
    cluster: Cluster, prometheus: PrometheusServer
) -> None:
    pod = cluster.pods["vllm-1"]
    tell(pod, 10)

    [row] = prometheus.wait_for(
        f'sum by (k8s_namespace_name, k8s_pod_name, service_name, gen_ai_request_model) '
        f"(watchkeeper_requests_total{{{of_pod(pod)}}}) >= 10",
        PATIENCE_SECONDS,
    )  # fmt: skip

    assert row["metric"] == {
        "k8s_namespace_name": "models", "k8s_pod_name": "vllm-1", "service_name": "vllm", "gen_ai_request_model": MODEL,
    }  # fmt: skip


def test_what_sidecars_counted_reaches_the_detectors_which_share_the_partitions(
    cluster: Cluster, prometheus: PrometheusServer
) -> None:
    for pod in cluster.sidecars:
        tell(pod, 10)

    shares = 'sum by (pod) (watchkeeper_kafka_partitions{topic="watchkeeper.ticks"})'
    rows = prometheus.wait_for(
        f"{shares} > 0 and on () (sum({shares}) == 4) and on () (count({shares}) == 2)", PATIENCE_SECONDS
    )
    assert {row["metric"]["pod"] for row in rows} == {pod.name for pod in cluster.of("detector")}
    prometheus.wait_for('sum(watchkeeper_fleet_records_total{outcome="taken"}) >= 3', PATIENCE_SECONDS)


def test_the_pod_of_helm_test_finds_its_call_in_the_gateways_metrics(cluster: Cluster) -> None:
    [manifest] = [one for one in cluster.manifests if one["kind"] == "Pod"]
    [container] = manifest["spec"]["containers"]
    gateway = cluster.of("gateway")[0]
    [host] = {one.split("://")[1].rpartition(":")[0] for one in container["args"] if "://" in one}
    assert host.startswith(f"{gateway.name}.")
    arguments = [one.replace(host, gateway.address) for one in container["args"]]

    done = subprocess.run(
        [sys.executable, "-m", "watchkeeper", *arguments], capture_output=True, text=True, timeout=240
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("killed", ["node", "sidecar", "gateway", "detector", "engines"])
def test_one_that_is_killed_is_noticed_by_the_shipped_alert_and_goes_on_when_it_is_started_again(
    killed: str, cluster: Cluster, prometheus: PrometheusServer
) -> None:
    tell(cluster.pods["vllm-0"], 10)
    prometheus.wait_for("sum(watchkeeper_fleet_records_total) > 0", PATIENCE_SECONDS)
    candidates = cluster.sidecars if killed == "sidecar" else cluster.of(killed)
    pod = max(
        candidates, key=lambda one: one.total("watchkeeper_fleet_records_total")
    )  # the detector that has the work
    noticed = f'ALERTS{{alertname="WatchkeeperAgentDown",instance="{pod.address}:{METRICS}"}}'
    others = [one for one in cluster.pods.values() if one is not pod]
    pod.kill()

    prometheus.wait_for(noticed, PATIENCE_SECONDS)
    assert all(one.is_running for one in others)
    assert all(engine.answers() for engine in cluster.engines.values())
    pod.keep_running()
    prometheus.wait_for(f"up{{{of_pod(pod)}}} == 1 unless on () {noticed}", PATIENCE_SECONDS)

    counted = "sum(watchkeeper_fleet_records_total)"
    rows = prometheus.query(counted)
    before = float(rows[0]["value"][1]) if rows else 0.0
    for one in cluster.sidecars:
        tell(one, 10)
    prometheus.wait_for(f"{counted} > {before}", PATIENCE_SECONDS)
    prometheus.wait_for(
        f'count(watchkeeper_engine_up{{k8s_namespace_name="models"}} == 1) == {len(REPLICAS)}', PATIENCE_SECONDS
    )
    prometheus.wait_for(
        f'count(hw_power_watts{{k8s_namespace_name="models",node="{NODE}"}}) == {len(REPLICAS)}', PATIENCE_SECONDS
    )


def test_an_engine_that_is_killed_is_noticed_by_the_shipped_alert_and_read_again_when_it_is_back(
    cluster: Cluster, prometheus: PrometheusServer
) -> None:
    engine = cluster.engines["vllm-0"]
    engine.kill()

    prometheus.wait_for('ALERTS{alertname="WatchkeeperEngineUnreadable",k8s_pod_name="vllm-0"}', PATIENCE_SECONDS)
    assert cluster.pods["vllm-0"].is_running
    engine.start()
    prometheus.wait_for('watchkeeper_engine_up{k8s_pod_name="vllm-0"} == 1', PATIENCE_SECONDS)


def test_a_broker_that_is_killed_is_noticed_by_the_shipped_alert_and_what_waited_is_judged_when_it_is_back(
    cluster: Cluster, prometheus: PrometheusServer
) -> None:
    """This broker keeps nothing, topics neither: they are made again, as an operator of it would."""
    counted = "sum(watchkeeper_fleet_records_total)"
    tell(cluster.pods["vllm-0"], 10)
    before = float(prometheus.wait_for(f"{counted} > 0", PATIENCE_SECONDS)[0]["value"][1])
    cluster.broker.kill()

    for pod in cluster.sidecars:
        tell(pod, 10)
    noticed = 'ALERTS{alertname="WatchkeeperBrokersUnreachable"}'
    prometheus.wait_for(
        f'count({noticed} and on (instance) watchkeeper_build_info{{role="sidecar",namespace="models"}}) == 3',
        PATIENCE_SECONDS,
    )
    assert all(pod.is_running for pod in cluster.pods.values())
    cluster.broker.start()
    cluster.broker.make(TOPICS)
    prometheus.wait_for(f"{counted} > {before}", PATIENCE_SECONDS)
