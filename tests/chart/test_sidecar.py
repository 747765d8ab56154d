"""
The sidecar in the three ways in which it gets into a pod: the template of the library chart, the Kustomize component,
and the policy by which the API server adds it. The same container by each, in whatever pod, and nothing that could keep
the pod's own containers from starting or serving.
"""

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from kubernetes_validate.utils import latest_version

from watchkeeper import __version__
from watchkeeper.core.testkit.admission import Policy

HELM: Final = Path(__file__).resolve().parents[2] / "deploy/helm"
COMPONENT: Final = HELM.parent / "kustomize/sidecar"
NEWEST: Final = latest_version().rpartition(".")[0]
RELEASES: Final = ("1.29", "1.33", NEWEST)
ADDED: Final = ("watchkeeper-tmp",)
ASKING: Final = {"watchkeeper.dev/inject": "true"}

Manifest = dict[str, Any]


def workload(name: str, *containers: Manifest, kind: str = "Deployment", **spec: Any) -> Manifest:
    """Annotated so that component and policy take it; `spec` is the pod's."""
    labels = {"app.kubernetes.io/name": name}
    pod: Manifest = {
        "metadata": {"labels": dict(labels), "annotations": {**ASKING}},
        "spec": {"containers": list(containers), **spec},
    }
    outer: Manifest = {"template": pod} if kind == "Job" else {"template": pod, "selector": {"matchLabels": labels}}
    if kind == "StatefulSet":
        outer["serviceName"] = name
    group = "batch/v1" if kind == "Job" else "apps/v1"
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name, "annotations": {**ASKING}}, "spec": outer}


VLLM: Final[Manifest] = {
    "name": "vllm",
    "image": "vllm/vllm-openai:v0.11.0",
    "args": ["--model", "Qwen/Qwen3-8B"],
    "ports": [{"name": "metrics", "containerPort": 8000}],
    "readinessProbe": {"httpGet": {"path": "/health", "port": "metrics"}},
    "resources": {"limits": {"nvidia.com/gpu": 1}},
    "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
}
SHM: Final = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
TGI: Final[Manifest] = {
    "name": "tgi",
    "image": "ghcr.io/huggingface/text-generation-inference:3.3.4",
    "env": [{"name": "MODEL_ID", "value": "Qwen/Qwen3-8B"}, {"name": "PORT", "value": "80"}],
    "ports": [{"containerPort": 80}],
}
PLAIN: Final[Manifest] = {"name": "app", "image": "example.com/app:1"}
MESH: Final[Manifest] = {"name": "istio-proxy", "image": "example.com/proxy:1", "restartPolicy": "Always"}

WORKLOADS: Final[tuple[Manifest, ...]] = (
    workload("vllm", VLLM, volumes=SHM),
    workload("tgi", TGI),
    workload("plain", PLAIN),
    workload("root", PLAIN, securityContext={"runAsUser": 0, "fsGroup": 0}),
    workload("download-first", VLLM, volumes=SHM, initContainers=[{"name": "download", "image": "example.com/get:1"}]),
    workload("several", VLLM, {**PLAIN, "name": "router"}, TGI, volumes=SHM),
    workload("in-a-mesh", TGI, initContainers=[MESH]),
    workload("ordered", VLLM, kind="StatefulSet", volumes=SHM),
    workload("batch", PLAIN, kind="Job", restartPolicy="Never"),
    workload("everywhere", PLAIN, kind="DaemonSet"),
)
NAMES: Final = tuple(each["metadata"]["name"] for each in WORKLOADS)

INCLUDING: Final = """
{{- $init := include "watchkeeper-sidecar.initContainers" . | default "[]" | fromYamlArray }}
{{- $beside := include "watchkeeper-sidecar.containers" . | default "[]" | fromYamlArray }}
{{- $volumes := include "watchkeeper-sidecar.volumes" . | default "[]" | fromYamlArray }}
{{- range .Values.workloads }}
{{- $pod := .spec.template }}
{{- with concat (default list $pod.spec.initContainers) $init }}{{ $_ := set $pod.spec "initContainers" . }}{{ end }}
{{- $_ := set $pod.spec "containers" (concat $pod.spec.containers $beside) }}
{{- $_ := set $pod.spec "volumes" (concat (default list $pod.spec.volumes) $volumes) }}
{{- $_ := mergeOverwrite $pod.metadata.labels (include "watchkeeper-sidecar.podLabels" $ | fromYaml) }}
---
{{ toYaml . }}
{{- end }}
"""
"""a chart that includes the templates in any pods"""


def spec_of(one: Manifest) -> Manifest:
    found: Manifest = one["spec"]["template"]["spec"]
    return found


def sidecar_of(pod: Manifest) -> Manifest:
    [found] = [each for each in pod.get("initContainers", []) + pod["containers"] if each["name"] == "watchkeeper"]
    return dict(found)


def without_sidecar(one: Manifest) -> Manifest:
    """What is left when all is taken away that was added."""
    left = copy.deepcopy(one)
    pod = left["spec"]["template"]
    for name, added in {"initContainers": ["watchkeeper"], "containers": ["watchkeeper"], "volumes": ADDED}.items():
        pod["spec"][name] = [each for each in pod["spec"].get(name, []) if each["name"] not in added]
        if not pod["spec"][name]:
            del pod["spec"][name]
    assert pod["metadata"]["labels"].pop("watchkeeper.dev/sidecar") == "true"
    return left


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory, helm4: str) -> Path:
    """The shipped example and a chart that includes the templates anywhere, each with its dependency brought."""
    folder = tmp_path_factory.mktemp("helm")
    shutil.copytree(HELM / "examples", folder / "examples")
    shutil.copytree(HELM / "watchkeeper/charts", folder / "watchkeeper/charts")
    any_chart = folder / "examples/any"
    (any_chart / "templates").mkdir(parents=True)
    shutil.copy(folder / "examples/vllm/Chart.yaml", any_chart / "Chart.yaml")
    (any_chart / "templates/workloads.yaml").write_text(INCLUDING, encoding="utf-8")
    for chart in ("vllm", "any"):
        subprocess.run([helm4, "dependency", "build", folder / "examples" / chart], check=True, capture_output=True)
    return folder / "examples"


def template(
    helm: str, chart: Path, sidecar: Manifest | None = None, kube: str = "1.33", **values: Any
) -> list[Manifest]:
    given = json.dumps({"watchkeeper-sidecar": sidecar or {}, **values})
    command = [helm, "template", "m", str(chart), "--kube-version", kube, "--values", "-"]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if each]


@pytest.fixture(scope="module")
def kustomize(tmp_path_factory: pytest.TempPathFactory, kubectl: str) -> Any:
    """`kustomize(workloads, components, patches=, images=)`: by name, what comes out of them."""

    def run(workloads: list[Manifest], *components: str, **more: Any) -> dict[str, Manifest]:
        folder = tmp_path_factory.mktemp("kustomize")
        shutil.copytree(COMPONENT, folder / "sidecar")
        (folder / "all").mkdir()
        (folder / "all/all.yaml").write_text(yaml.safe_dump_all(workloads), encoding="utf-8")
        shutil.copy(COMPONENT / "sidecar.yaml", folder / "all/sidecar.yaml")
        asked = {"resources": ["all.yaml"], "components": list(components), **more}
        (folder / "all/kustomization.yaml").write_text(yaml.safe_dump(asked), encoding="utf-8")
        done = subprocess.run([kubectl, "kustomize", folder / "all"], capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        made = [each for each in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if each]
        return {each["metadata"]["name"]: each for each in made}

    return run


@pytest.fixture(scope="module")
def policy(render: Any) -> Policy:
    made = render("sidecars.inject=true", kube=NEWEST)
    return Policy(next(each for each in made if each["kind"] == "MutatingAdmissionPolicy"))


def injected(policy: Policy, one: Manifest) -> Manifest:
    changed = copy.deepcopy(one)
    changed["spec"]["template"] = policy.admit(changed["spec"]["template"])
    return changed


@pytest.fixture(scope="module")
def ways(charts: Path, kustomize: Any, policy: Policy, helm4: str) -> dict[str, dict[str, Manifest]]:
    """All workloads, by way and name."""
    included = template(helm4, charts / "any", workloads=list(WORKLOADS))
    return {
        "template": {each["metadata"]["name"]: each for each in included},
        "kustomize": kustomize(list(WORKLOADS), "../sidecar"),
        "policy": {each["metadata"]["name"]: injected(policy, each) for each in WORKLOADS},
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_three_ways_add_the_same_container_the_same_volumes_and_the_same_label(
    name: str, ways: dict[str, dict[str, Manifest]]
) -> None:
    pods = [way[name]["spec"]["template"] for way in ways.values()]
    first, *others = [sidecar_of(pod["spec"]) for pod in pods]
    volumes = [[each for each in pod["spec"]["volumes"] if each["name"] in ADDED] for pod in pods]

    assert others == [first, first]
    assert len(volumes[0]) == len(ADDED)
    assert volumes == [volumes[0]] * 3
    assert [pod["metadata"]["labels"]["watchkeeper.dev/sidecar"] for pod in pods] == ["true"] * 3


@pytest.mark.parametrize("way", ["template", "kustomize", "policy"])
@pytest.mark.parametrize("name", NAMES)
def test_whatever_it_is_added_to_stays_as_it_was_and_is_valid_in_every_release(
    name: str, way: str, ways: dict[str, dict[str, Manifest]], invalid: Any
) -> None:
    before = next(each for each in WORKLOADS if each["metadata"]["name"] == name)
    after = ways[way][name]

    assert without_sidecar(after) == before
    assert [problem for release in RELEASES for problem in invalid(after, release)] == []


def test_adding_it_twice_changes_nothing(kustomize: Any, policy: Policy, ways: dict[str, dict[str, Manifest]]) -> None:
    once = ways["kustomize"]

    assert kustomize(list(WORKLOADS), "../sidecar", "../sidecar") == once
    assert kustomize(list(once.values()), "../sidecar") == once
    for way in ways.values():
        for one in way.values():
            assert injected(policy, one) == one


def test_a_plain_container_of_that_name_is_left_alone(policy: Policy, charts: Path, helm4: str) -> None:
    [beside] = template(helm4, charts / "any", {"native": False}, workloads=[workload("plain", PLAIN)])

    assert sidecar_of(spec_of(beside)) in spec_of(beside)["containers"]
    assert injected(policy, beside) == beside


def test_what_did_not_ask_is_left_alone(kustomize: Any, policy: Policy) -> None:
    silent, refusing = workload("silent", PLAIN), workload("refusing", PLAIN)
    for one, annotations in ((silent, None), (refusing, {"watchkeeper.dev/inject": "false"})):
        for metadata in (one["metadata"], one["spec"]["template"]["metadata"]):
            metadata.pop("annotations")
            if annotations:
                metadata["annotations"] = annotations

    assert kustomize([silent, refusing], "../sidecar") == {"silent": silent, "refusing": refusing}
    assert [injected(policy, one) for one in (silent, refusing)] == [silent, refusing]


def test_kustomize_takes_a_target_by_name_and_another_image(
    kustomize: Any, ways: dict[str, dict[str, Manifest]]
) -> None:
    """As docs/sidecar.md has it."""
    patch = {"path": "sidecar.yaml", "target": {"kind": "StatefulSet", "name": "ordered"}}
    image = {"name": "watchkeeper", "newName": "registry.example.com/watchkeeper", "newTag": "0.2.0"}
    made = kustomize([each for each in WORKLOADS if each["metadata"]["name"] in ("ordered", "vllm")], patches=[patch])
    other = kustomize([workload("plain", PLAIN)], "../sidecar", images=[image])

    assert made["ordered"] == ways["kustomize"]["ordered"]
    assert "watchkeeper" not in json.dumps(spec_of(made["vllm"]))
    assert sidecar_of(spec_of(other["plain"]))["image"] == "registry.example.com/watchkeeper:0.2.0"


def test_the_registry_of_all_charts_is_the_sidecars_too(charts: Path, helm4: str) -> None:
    values: dict[str, Any] = {"global": {"imageRegistry": "all.example.com/"}}
    [made] = template(helm4, charts / "vllm", {"image": {"registry": "mine.example.com"}}, **values)

    assert sidecar_of(spec_of(made))["image"] == f"all.example.com/watchkeeper:{__version__}"


def test_a_pod_of_the_hosts_network_gets_no_port_that_would_be_the_nodes(
    policy: Policy, charts: Path, helm4: str, invalid: Any
) -> None:
    before = workload("on-the-node", VLLM, volumes=SHM, hostNetwork=True)
    [included] = template(helm4, charts / "any", {"hostNetwork": True}, workloads=[before])
    added = injected(policy, before)

    assert sidecar_of(spec_of(added)) == sidecar_of(spec_of(included))
    assert "ports" not in sidecar_of(spec_of(added))
    assert "hostNetwork" in spec_of(added)
    assert [problem for release in RELEASES for problem in invalid(added, release)] == []


def test_by_its_fields_it_neither_holds_the_model_back_nor_takes_it_out_of_service(
    ways: dict[str, dict[str, Manifest]],
) -> None:
    """docs/sidecar.md says what each is for, and what no field can help."""
    container = sidecar_of(spec_of(ways["template"]["vllm"]))
    probe, resources = container["livenessProbe"], container["resources"]

    assert container.keys().isdisjoint({"startupProbe", "readinessProbe", "lifecycle", "command"})
    assert container["restartPolicy"] == "Always"
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["args"][-2:] == ["--retry-seconds", "60"]
    assert probe["httpGet"]["path"] == "/healthz"
    assert probe["periodSeconds"] * probe["failureThreshold"] > 600, "a shorter one is backed off from"
    assert resources == {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
    assert not {key for key in spec_of(ways["template"]["vllm"]) if key.startswith("host")}


def test_it_is_restricted_whatever_the_pod_is(ways: dict[str, dict[str, Manifest]]) -> None:
    """In a pod that runs as root `runAsNonRoot` alone would be an error, and what is not made is waited for."""
    pod = spec_of(ways["policy"]["root"])

    assert pod["securityContext"]["runAsUser"] == 0
    assert sidecar_of(pod)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_its_volume_can_fill_up_without_costing_the_pod_its_place(ways: dict[str, dict[str, Manifest]]) -> None:
    [volume] = [each for each in spec_of(ways["template"]["plain"])["volumes"] if each["name"] in ADDED]

    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Mi"}


def test_the_state_is_kept_in_a_volume_without_a_limit_to_be_evicted_by(charts: Path, helm4: str) -> None:
    [one] = template(helm4, charts / "any", {"state": {"enabled": True}}, workloads=[workload("plain", PLAIN)])
    container = sidecar_of(spec_of(one))

    assert {"name": "watchkeeper-state", "emptyDir": {}} in spec_of(one)["volumes"]
    assert {"name": "watchkeeper-state", "mountPath": "/var/lib/watchkeeper"} in container["volumeMounts"]
    assert {"name": "WATCHKEEPER__STATE_FOLDER", "value": "/var/lib/watchkeeper"} in container["env"]


def test_not_native_it_is_the_same_container_beside_the_others(
    charts: Path, helm4: str, ways: dict[str, dict[str, Manifest]]
) -> None:
    native = sidecar_of(spec_of(ways["template"]["vllm"]))
    [beside] = template(helm4, charts / "any", {"native": False}, workloads=[workload("vllm", VLLM, volumes=SHM)])

    assert native.pop("restartPolicy") == "Always"
    assert native in spec_of(beside)["containers"]
    assert "initContainers" not in spec_of(beside)


def test_before_kubernetes_1_29_it_is_not_native_as_such_a_pod_would_never_start(charts: Path, helm4: str) -> None:
    [older] = template(helm4, charts / "any", kube="1.28", workloads=[workload("plain", PLAIN)])

    assert [each["name"] for each in spec_of(older)["containers"]] == ["app", "watchkeeper"]
    assert "initContainers" not in spec_of(older)


def test_switched_off_nothing_of_it_is_left(charts: Path, helm4: str) -> None:
    [off] = template(helm4, charts / "any", {"enabled": False}, workloads=[workload("plain", PLAIN)])

    assert "watchkeeper" not in json.dumps(spec_of(off))
    assert "watchkeeper.dev/sidecar" not in off["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_the_shipped_example_is_a_model_with_a_sidecar(
    helm: str, charts: Path, invalid: Any, request: pytest.FixtureRequest
) -> None:
    [made] = template(request.getfixturevalue(helm), charts / "vllm")
    [beside] = template(request.getfixturevalue(helm), charts / "vllm", {"native": False})
    container = sidecar_of(spec_of(made))

    assert container["image"] == f"registry.example.com/watchkeeper:{__version__}"
    engines = next(each["value"] for each in container["env"] if each["name"] == "WATCHKEEPER__ENGINES")
    assert json.loads(engines)[0]["url"] == "http://localhost:8000"
    assert [problem for release in RELEASES for one in (made, beside) for problem in invalid(one, release)] == []


def test_settings_go_into_the_environment_or_into_a_configmap_that_is_mounted(charts: Path, helm4: str) -> None:
    config = {"log_level": "debug", "otlp": {"enabled": False}}
    [by_env] = template(helm4, charts / "vllm", {"config": config})
    by_map = template(helm4, charts / "vllm", {"config": config, "configMap": "settings"})
    written = next(each for each in by_map if each["kind"] == "ConfigMap")
    mounting = next(each for each in by_map if each["kind"] == "Deployment")

    env = {each["name"]: each.get("value") for each in sidecar_of(spec_of(by_env))["env"]}
    assert {name: yaml.safe_load(env[f"WATCHKEEPER__{name.upper()}"] or "") for name in config} == config
    assert (written["metadata"]["name"], yaml.safe_load(written["data"]["watchkeeper.yaml"])) == ("settings", config)
    assert {"name": "watchkeeper-config", "configMap": {"name": "settings"}} in spec_of(mounting)["volumes"]
    container = sidecar_of(spec_of(mounting))
    assert container["args"][-2:] == ["--config", "/etc/watchkeeper/watchkeeper.yaml"]
    assert not {"WATCHKEEPER__LOG_LEVEL", "WATCHKEEPER__OTLP"} & {each["name"] for each in container["env"]}
    assert mounting["spec"]["template"]["metadata"]["annotations"]["watchkeeper.dev/config"]


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
@pytest.mark.parametrize(
    ("sidecar", "says"),
    [
        ({"image": None}, "watchkeeper-sidecar.image: has nothing below it, which takes its defaults away"),
        (
            {"resources": {"requests": {"memory": "1.5Gi"}}},
            "watchkeeper-sidecar.resources.requests.memory: 1.5Gi is above the limit, 512Mi; lower it, or raise ",
        ),
    ],
)
def test_what_would_show_in_the_models_pods_alone_is_refused_with_a_sentence(
    sidecar: Manifest, says: str, helm: str, charts: Path, request: pytest.FixtureRequest
) -> None:
    given = json.dumps({"watchkeeper-sidecar": sidecar})
    command = [request.getfixturevalue(helm), "template", "m", str(charts / "vllm"), "--values", "-"]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=240)

    assert done.returncode != 0
    assert [line for line in done.stderr.splitlines() if line.startswith(says)], done.stderr


def test_annotations_for_scraping_are_there_only_when_asked_for(charts: Path, helm4: str) -> None:
    asked: Manifest = {"scrapeAnnotations": True, "config": {"web": {"port": 9999}}}
    [with_them] = template(helm4, charts / "vllm", asked)
    [without] = template(helm4, charts / "vllm")

    annotations = with_them["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == "9999"
    assert sidecar_of(spec_of(with_them))["ports"][0]["containerPort"] == 9999
    assert sidecar_of(spec_of(with_them))["livenessProbe"]["httpGet"]["port"] == 9999
    assert "prometheus.io/scrape" not in without["spec"]["template"]["metadata"]["annotations"]


def test_what_is_sent_to_a_collector_names_pod_and_node(charts: Path, helm4: str) -> None:
    push = {"exporters": {"otlp": {"enabled": True, "endpoint": "http://collector:4318"}}}
    [made] = template(helm4, charts / "vllm", {"config": push})

    env = {each["name"]: each.get("value") for each in sidecar_of(spec_of(made))["env"]}
    told = json.loads(env["WATCHKEEPER__EXPORTERS__OTLP__RESOURCE_ATTRIBUTES"] or "")
    assert told == {
        "k8s.namespace.name": "$(WATCHKEEPER__POD__NAMESPACE)",
        "k8s.pod.name": "$(WATCHKEEPER__POD__NAME)",
        "k8s.node.name": "$(NODE_NAME)",
    }


@pytest.mark.parametrize(
    ("resources", "kept"),
    [
        (None, False),
        ({"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"cpu": "250m", "memory": "512Mi"}}, True),
    ],
    ids=["as it is", "as documented"],
)
def test_a_guaranteed_pod_stays_so_only_with_limits_that_are_the_requests(
    resources: Manifest | None, kept: bool, charts: Path, helm4: str
) -> None:
    exact = {"cpu": "8", "memory": "64Gi"}
    pod = workload("pinned", {**PLAIN, "resources": {"requests": exact, "limits": exact}})
    [made] = template(helm4, charts / "any", {"resources": resources} if resources else None, workloads=[pod])

    containers = spec_of(made)["containers"] + spec_of(made)["initContainers"]
    assert (
        all(
            each["resources"]["limits"] == each["resources"]["requests"] and len(each["resources"]["limits"]) == 2
            for each in containers
        )
        is kept
    )
