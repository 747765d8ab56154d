"""
Every preset, and each switch on its own, gives manifests that Kubernetes takes, from the oldest release to the newest,
by helm 3 as by helm 4. Switches are read off values.yaml: a new one is tried without a change here.
"""

import base64
import copy
import gzip
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from kubernetes_validate.utils import latest_version

from chart_values import comments, schema
from chart_values.comments import Value

CHART: Final = Path(__file__).resolve().parents[2] / "deploy/helm/watchkeeper"
OLDEST: Final = "1.28"
NEWEST: Final = latest_version().rpartition(".")[0]
RELEASES: Final = (OLDEST, "1.30", "1.33", NEWEST)
OPERATORS: Final = ("monitoring.coreos.com/v1", "keda.sh/v1alpha1")
PRESETS: Final = sorted(path.stem for path in (CHART / "presets").glob("*.yaml"))

Values = dict[str, Any]

KAFKA: Final[Values] = {"kafka": {"servers": ["kafka-0:9092", "kafka-1:9092"]}}
STORE: Final[Values] = {"store": {"enabled": True, "url": "postgresql://watchkeeper@db:5432/watchkeeper"}}
TLS: Final[Values] = {"tls": {"existingSecret": "certificate"}}
CONTROL: Final[Values] = {**STORE, "control": {"enabled": True, "existingSecret": "tokens"}}
DETECTOR: Final[Values] = {**KAFKA, "detector": {"enabled": True}, "references": {"existingConfigMap": "approved"}}
ENGINES: Final[Values] = {"engines": {"enabled": True, "config": {"engines": [{"url": "http://vllm-0.vllm:8000"}]}}}
REPORT: Final[Values] = {**STORE, "report": {"enabled": True}}

NEEDED: Final[Mapping[str, Sequence[Values]]] = {
    "": [],
    "tls.": [TLS],
    "tls.control.": [TLS, CONTROL],
    "kafka.": [KAFKA],
    "kafka.tls.checkHost": [KAFKA, {"kafka": {"tls": {"enabled": True, "existingSecret": "brokers"}}}],
    "kafka.sasl.": [KAFKA, {"kafka": {"sasl": {"username": "watchkeeper", "existingSecret": "password"}}}],
    "store.": [STORE],
    "control.": [CONTROL],
    "gateway.persistence.when": [{"gateway": {"persistence": {"enabled": True}}}],
    "gateway.pdb.": [{"gateway": {"replicas": 2}}],
    "detector.": [DETECTOR],
    "detector.persistence.when": [DETECTOR, {"detector": {"persistence": {"enabled": True}}}],
    "engines.": [ENGINES],
    "report.": [REPORT],
    "metrics.podMonitor.force": [{"metrics": {"podMonitor": {"enabled": True}}}],
    "metrics.prometheusRule.force": [{"metrics": {"prometheusRule": {"enabled": True}}}],
    "dashboards.": [{"dashboards": {"enabled": True}}],
}
"""What a switch needs so that it does something: by how its name begins, the longest that fits."""


def leaves(values: Sequence[Value]) -> Iterator[Value]:
    for value in values:
        yield from leaves(value.children) if value.children else (value,)


def all_values() -> Iterator[Value]:
    yield from leaves(comments.read((CHART / "values.yaml").read_text(encoding="utf-8"), schema.SHAPES))


def switches() -> Iterator[tuple[str, Any, Any]]:
    """Each switch with its default, and with each position that it has besides."""
    for value in all_values():
        others = [not value.default] if isinstance(value.default, bool) else value.schema.get("enum", [])
        for position in others:
            if position != value.default:
                yield value.name, value.default, position


def together(*parts: Values) -> Values:
    made: Values = {}
    for part in parts:
        for key, value in part.items():
            made[key] = together(made.get(key, {}), value) if isinstance(value, dict) else copy.deepcopy(value)
    return made


def at(name: str, value: Any) -> Values:
    """
    >>> at("a.b", 1)
    {'a': {'b': 1}}
    """
    for key in reversed(name.split(".")):
        value = {key: value}
    return dict(value)


def needed(name: str) -> Values:
    return together(*NEEDED[max((key for key in NEEDED if name.startswith(key)), key=len, default="")])


def off(name: str, default: Any) -> Values:
    """What the switch needs, alone: written alike for many switches, so that it is rendered once."""
    if name == "kafka.sasl.mechanism":
        return KAFKA  # a user without a mechanism is refused
    if name == "engines.enabled":
        return {}  # engines that nobody reads are refused
    given: Any = needed(name)
    there = given
    for key in name.split("."):
        there = there.get(key) if isinstance(there, dict) else None
    return given if there is None else together(given, at(name, default))


def against(manifests: Sequence[Any], release: str, invalid: Any) -> list[str]:
    return [
        f"{manifest['kind']}/{manifest['metadata']['name']}: {problem}"
        for manifest in manifests
        for problem in invalid(manifest, release)
    ]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_every_preset_is_taken_by_every_release_and_alike_by_both_helms(
    preset: str | None, release: str, render: Any, invalid: Any
) -> None:
    presets = (preset,) if preset else ()
    by_helm3 = render(presets=presets, helm="helm3", kube=release, apis=OPERATORS)
    by_helm4 = render(presets=presets, helm="helm4", kube=release, apis=OPERATORS)

    assert against(by_helm4, release, invalid) == []
    assert by_helm3 == by_helm4


@pytest.mark.parametrize(("name", "default", "position"), list(switches()))
def test_each_switch_on_its_own_does_something_that_is_valid(
    name: str, default: Any, position: Any, render: Any, invalid: Any
) -> None:
    apis = () if name.endswith(".force") else OPERATORS
    given = together(needed(name), at(name, position))
    oldest = render(given=given, helm="helm3", kube=OLDEST, apis=apis)
    newest = render(given=given, helm="helm4", kube=NEWEST, apis=apis)
    without = render(given=off(name, default), helm="helm4", kube=NEWEST, apis=apis)

    assert against(oldest, OLDEST, invalid) == []
    assert against(newest, NEWEST, invalid) == []
    assert newest != without, f"{name} changes nothing"


SHAPES: Final[Mapping[str, Any]] = {
    "podLabels": {"team": "pod-labels"},
    "podAnnotations": {"example.org/owner": "pod-annotations of {{ .Release.Name }}"},
    "resources": {"requests": {"cpu": 1.5, "memory": "1001Mi"}, "limits": {"memory": "1002Mi"}},
    "podSecurityContext": {"seLinuxOptions": {"type": "of-pod"}, "supplementalGroups": [44]},
    "securityContext": {"seLinuxOptions": {"type": "of-container"}},
    "nodeSelector": {"kubernetes.io/arch": "node-selector"},
    "tolerations": [{"key": "example.org/taint", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "example.org/affine", "operator": "In", "values": ["affinity"]}]}]}}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "spread", "whenUnsatisfiable": "DoNotSchedule"}],
    "priorityClassName": "priority-class",
    "runtimeClassName": "runtime-class",
    "livenessProbe": {"httpGet": {"path": "/alive", "port": 9464}, "periodSeconds": 30},
    "readinessProbe": {"exec": {"command": ["ready"]}},
    "startupProbe": {"httpGet": {"path": "/started", "port": "metrics"}},
    "extraEnv": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "extra-env", "key": "a"}}}],
    "extraEnvFrom": [{"configMapRef": {"name": "extra-env-from", "optional": True}}],
    "extraVolumes": [{"name": "more", "emptyDir": {"sizeLimit": "1003Mi"}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/extra-volume-mount"}],
    "extraInitContainers": [{"name": "extra-init-container", "image": "busybox:1", "command": ["true"]}],
    "extraContainers": [{"name": "extra-container", "image": "busybox:1", "command": ["true"]}],
    "serviceAccount": {"name": "account", "annotations": {"example.org/role": "of-account"}},
    "persistence": {"enabled": True, "storageClass": "fast", "size": "1004Mi", "annotations": {"a": "of-claim"}},
    "updateStrategy": {"type": "OnDelete"},
    "pdb": {"maxUnavailable": "25%"},
    "autoscaling": {"enabled": True, "behavior": {"scaleUp": {"selectPolicy": "Min"}}},
    "service": {"type": "LoadBalancer", "annotations": {"example.org/lb": "of-service"},
                "loadBalancerClass": "example.org/class", "loadBalancerSourceRanges": ["10.1.0.0/16"]},
}  # fmt: skip
"""Something for each key that takes what Kubernetes takes."""


@pytest.mark.parametrize("release", [OLDEST, NEWEST])
@pytest.mark.parametrize("component", ["node", "gateway", "detector", "engines", "report"])
def test_a_component_takes_what_kubernetes_takes(component: str, release: str, render: Any, invalid: Any) -> None:
    known = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))[component]
    wanted = {key: dict(value) if key == "persistence" else value for key, value in SHAPES.items() if key in known}
    if component == "report":
        del wanted["persistence"]["enabled"]  # it has a claim in any case

    manifests = render(given=together(DETECTOR, ENGINES, REPORT, {component: wanted}), kube=release, apis=OPERATORS)

    assert against(manifests, release, invalid) == []
    rendered = json.dumps([manifest for manifest in manifests if is_of(manifest, component)])
    assert [word for word in words(wanted) if word.replace("{{ .Release.Name }}", "wk") not in rendered] == []


def words(value: Any) -> list[str]:
    """Every text in it."""
    if isinstance(value, dict | list):
        return [word for one in (value.values() if isinstance(value, dict) else value) for word in words(one)]
    return [value] if isinstance(value, str) else []


SWITCHED_ON: Final = (
    "gateway.persistence",
    "gateway.autoscaling",
    "detector.persistence",
    "detector.keda",
    "metrics.podMonitor",
    "metrics.prometheusRule",
    "metrics.sidecarMonitor",
    "dashboards",
    "networkPolicy.ingress",
    "networkPolicy.egress",
    "node.podResources",
)


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_what_is_set_to_nothing_counts_as_empty(helm: str, render: Any, invalid: Any) -> None:
    """`tolerations:` with nothing behind it takes the default away, as does null in --set."""
    used = together(DETECTOR, REPORT, *(at(f"{name}.enabled", True) for name in SWITCHED_ON))
    emptied = [value.name for value in all_values() if isinstance(value.default, dict | list) or value.default == ""]
    kept = ("kafka.servers", "store.url", "references.existingConfigMap")
    given = together(used, *(at(name, None) for name in emptied if name not in kept))

    manifests = render(given=given, helm=helm, kube=NEWEST, apis=OPERATORS)

    assert against(manifests, NEWEST, invalid) == []
    assert "<nil>" not in json.dumps(manifests)


def is_of(manifest: Any, component: str) -> bool:
    return bool(manifest["metadata"]["labels"]["app.kubernetes.io/component"] == component)


def test_objects_of_the_prometheus_operator_are_made_where_the_cluster_knows_them(render: Any) -> None:
    wanted = ("metrics.podMonitor.enabled=true", "metrics.prometheusRule.enabled=true")
    here = {manifest["kind"] for manifest in render(*wanted, apis=("monitoring.coreos.com/v1",))}
    elsewhere = {manifest["kind"] for manifest in render(*wanted, apis=())}

    assert here - elsewhere == {"PodMonitor", "PrometheusRule"}
    assert elsewhere - here == set()


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_helm_lint_finds_nothing(helm: str, request: pytest.FixtureRequest) -> None:
    command = [request.getfixturevalue(helm), "lint", "--strict", "--quiet", str(CHART)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_largest_release_fits_into_the_secret_that_helm_keeps_it_in(helm4: str) -> None:
    """Chart, values and manifests, compressed and in base64; Kubernetes takes 1 MiB. Dashboards are the most of it."""
    everything = ["dashboards.enabled=true", "metrics.prometheusRule.force=true", "metrics.podMonitor.force=true"]
    command = [
        helm4,
        "install",
        "wk",
        str(CHART),
        "--dry-run=client",
        "--output",
        "json",
        "--set",
        ",".join(everything),
    ]
    command += ["--values", str(CHART / "presets" / "production.yaml")]
    done = subprocess.run(command, capture_output=True, timeout=240)

    assert done.returncode == 0, done.stderr
    assert len(base64.b64encode(gzip.compress(done.stdout))) < 768 * 1024


def test_the_policy_that_adds_sidecars_is_made_from_the_first_release_that_takes_it(render: Any, invalid: Any) -> None:
    kinds = {"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"}
    first, before = (render("sidecars.inject=true", kube=release, apis=()) for release in ("1.36", "1.35"))
    made = [manifest for manifest in first if manifest["kind"] in kinds]

    assert {manifest["kind"] for manifest in made} == kinds
    assert against(made, "1.36", invalid) == []
    assert len(against(made, "1.35", invalid)) == 2
    assert kinds.isdisjoint(manifest["kind"] for manifest in before)
