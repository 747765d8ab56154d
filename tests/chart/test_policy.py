"""
What the chart asks of a cluster, held against the first table of docs/security.md: no more than that, in every preset
and with every switch; and what holds for every pod, whoever it is.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

CHART: Final = Path(__file__).resolve().parents[2] / "deploy/helm/watchkeeper"
SECURITY: Final = CHART.parents[2] / "docs/security.md"
PRESETS: Final = sorted(path.stem for path in (CHART / "presets").glob("*.yaml"))
DIGEST: Final = "sha256:" + "0f1e2d3c" * 8
EVERYTHING: Final[dict[str, Any]] = {
    "image": {"digest": DIGEST},
    "gateway": {
        "autoscaling": {"enabled": True},
        "config": {"tap": [{"port": 8080, "host": "0.0.0.0", "upstream": "http://vllm.models.svc:8000"}]},
        "service": {"type": "LoadBalancer"},
    },
    "detector": {"keda": {"enabled": True, "authenticationRef": "kafka"}},
    "engines": {"enabled": True, "config": {"engines": [{"url": "https://llm.example.org"}]}},
    "otlpExport": {"endpoint": "http://collector.obs.svc:4318", "existingSecret": "headers"},
    "alertmanagerExample": {"enabled": True},
    "metrics": {"scrapeAnnotations": True},
    "networkPolicy": {"ingress": {"metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]}},
    "node": {
        "hostPID": True,
        "hostLibraries": ["/opt/vendor/lib"],
        "config": {"engines": [{"url": "http://vllm.models.svc:8000"}]},
    },
}
"""What no preset has on, over `production`."""
CASES: Final = [*PRESETS, "everything"]
PODS: Final = ("DaemonSet", "StatefulSet", "CronJob", "Pod")
COMPONENT: Final = "app.kubernetes.io/component"

Manifest = dict[str, Any]


@pytest.fixture(scope="module", params=CASES)
def manifests(request: pytest.FixtureRequest, render: Any) -> list[Manifest]:
    if request.param == "everything":
        return list(render(presets=("production",), given=EVERYTHING))
    return list(render(presets=(request.param,)))


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def pods(manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    """Specs of pods, by component."""
    found = {}
    for manifest in of_kind(manifests, *PODS):
        outer = manifest["spec"]["jobTemplate"] if manifest["kind"] == "CronJob" else manifest
        spec = outer["spec"] if manifest["kind"] == "Pod" else outer["spec"]["template"]["spec"]
        found[manifest["metadata"]["labels"][COMPONENT]] = spec
    assert found
    return found


def containers(manifests: Sequence[Manifest]) -> list[tuple[str, Manifest]]:
    return [(name, container) for name, pod in pods(manifests).items() for container in pod["containers"]]


def stated() -> Mapping[tuple[str, str], tuple[str, ...]]:
    """User, capabilities, host paths, host namespaces and rights, by role and switch, as docs/security.md has them."""
    rows = [line for line in SECURITY.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    found = {}
    for row in rows:
        cells = [cell.strip() for cell in row.strip("| ").split(" | ")]
        names = re.findall(r"`([^`]+)`", cells[0])
        if len(cells) == 6 and len(names) <= 2 and cells[1] in ("0", "65532"):
            found[names[0], names[1] if len(names) == 2 and "." in names[1] else ""] = tuple(cells[1:])
    return found


def powers(pod: Manifest, manifests: Sequence[Manifest]) -> tuple[str, ...]:
    """What a pod may do, in the words of the table."""
    [container] = pod["containers"]
    context = pod["securityContext"] | container["securityContext"]
    is_privileged = context.get("privileged", False)
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    paths = [volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume]
    assert all(mounts[volume["name"]]["readOnly"] for volume in pod["volumes"] if "hostPath" in volume)
    capabilities = "all (privileged)" if is_privileged else "none"
    if not is_privileged:
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["allowPrivilegeEscalation"] is False
    host = [name for key, name in (("hostPID", "PID"), ("hostIPC", "IPC"), ("hostNetwork", "network")) if pod.get(key)]
    granting = of_kind(manifests, "RoleBinding", "ClusterRoleBinding", "Role", "ClusterRole")
    account = pod.get("serviceAccountName", "default")
    given = [one for one in granting if any(who["name"] == account for who in one.get("subjects", [{"name": account}]))]
    constraint = "use of that one constraint, in its own namespace"
    rights = [constraint if is_of_constraint(one) else str(one) for one in given]
    user = str(context.get("runAsUser", "65532"))  # OpenShift gives one of its own
    assert context["runAsNonRoot"] is (user != "0")
    told = ["those listed" if "vendor" in path else f"`{path}`" for path in paths]
    return user, capabilities, *(", ".join(words) or "none" for words in (told, host, rights))


def is_of_constraint(binding: Manifest) -> bool:
    reference = binding.get("roleRef", {})
    return (
        binding["kind"] == "RoleBinding"
        and reference["kind"] == "ClusterRole"
        and re.fullmatch(r"system:openshift:scc:[a-z-]+", reference["name"]) is not None
        and binding["subjects"] == [{"kind": "ServiceAccount", "name": "wk-watchkeeper-node", "namespace": "obs"}]
    )


@pytest.mark.parametrize(
    ("switch", "sets"),
    [
        ("", ""),
        ("node.podResources.enabled", "node.podResources.enabled=true"),
        ("node.hostLibraries", "node.hostLibraries={/opt/vendor/lib}"),
        ("node.hostPID", "node.hostPID=true"),
        ("node.privileged", "node.privileged=true"),
        ("openshift.nodeScc", "openshift.nodeScc=hostmount-anyuid"),
    ],
)
def test_a_switch_of_the_node_agent_takes_what_its_row_says(switch: str, sets: str, render: Any) -> None:
    manifests = render(sets) if sets else render()

    assert powers(pods(manifests)["node"], manifests) == stated()["node", switch]


def test_every_role_but_the_node_agent_has_no_power_at_all(manifests: list[Manifest]) -> None:
    for name, pod in pods(manifests).items():
        if name != "node":
            assert powers(pod, manifests) == stated()[name, ""] == ("65532", "none", "none", "none", "none")


def test_what_the_node_agent_has_in_a_preset_is_in_its_rows(manifests: list[Manifest]) -> None:
    rows = [row for (name, _), row in stated().items() if name == "node"]
    if pod := pods(manifests).get("node"):
        user, capabilities, _, host, rights = powers(pod, manifests)

        assert user in {row[0] for row in rows}
        assert capabilities in {row[1] for row in rows}
        assert {host, rights} <= {"none", "PID"}


def test_no_preset_makes_rights_secrets_or_webhooks(manifests: list[Manifest]) -> None:
    kinds = {manifest["kind"] for manifest in manifests}

    assert not {kind for kind in kinds if "Role" in kind or "Webhook" in kind}
    assert "Secret" not in kinds


def test_no_pod_has_a_token_of_the_cluster_or_a_part_of_the_host(manifests: list[Manifest]) -> None:
    for name, pod in pods(manifests).items():
        assert pod["automountServiceAccountToken"] is False, name
        assert not pod.get("hostNetwork"), name
        assert not pod.get("hostIPC"), name
        assert not any("hostPort" in port for one in pod["containers"] for port in one.get("ports", [])), name
    assert all(one["automountServiceAccountToken"] is False for one in of_kind(manifests, "ServiceAccount"))


def test_every_container_runs_under_seccomp_on_a_read_only_root_with_limits(manifests: list[Manifest]) -> None:
    for name, pod in pods(manifests).items():
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert container["resources"]["limits"].keys() == {"memory"}, name  # a limit of CPU only delays answers


def test_no_monitor_takes_a_device_from_a_model(manifests: list[Manifest]) -> None:
    for name, container in containers(manifests):
        resources = container["resources"]
        assert {*resources["requests"], *resources["limits"]} <= {"cpu", "memory"}, name


def test_what_is_written_has_a_bound(manifests: list[Manifest]) -> None:
    for name, pod in pods(manifests).items():
        for volume in pod["volumes"]:
            if "emptyDir" in volume:
                assert volume["emptyDir"].get("sizeLimit"), f"{name}: {volume['name']}"


def test_secrets_are_mounted_read_only_and_never_in_the_environment(manifests: list[Manifest]) -> None:
    for name, pod in pods(manifests).items():
        secret = {volume["name"] for volume in pod["volumes"] if "secret" in volume}
        for container in pod["containers"]:
            mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
            assert all(mounts[one].get("readOnly") for one in secret), name
            assert not any("secretKeyRef" in env.get("valueFrom", {}) for env in container.get("env", [])), name
            assert "envFrom" not in container, name


def test_every_port_has_a_name_that_its_policy_lets_in(render: Any) -> None:
    manifests = render(presets=("production",), given=EVERYTHING)
    policies = {one["metadata"]["labels"][COMPONENT]: one["spec"] for one in of_kind(manifests, "NetworkPolicy")}
    seen = set()
    for name, container in containers(manifests):
        if name == "test":
            continue  # listens on nothing, and lives for a minute
        ports = {port["name"] for port in container.get("ports", [])}
        let_in = {port["port"] for rule in policies[name]["ingress"] for port in rule["ports"]}
        assert (name, ports) == (name, let_in)
        assert policies[name]["policyTypes"] == ["Ingress", "Egress"]
        seen |= ports
    assert seen == {"metrics", "otlp-grpc", "otlp-http", "control", "tap-8080"}


def test_a_policy_lets_out_to_nothing_but_what_is_configured(render: Any) -> None:
    manifests = render(presets=("production",), given=EVERYTHING)
    out = {
        one["metadata"]["labels"][COMPONENT]: {port["port"] for rule in one["spec"]["egress"] for port in rule["ports"]}
        for one in of_kind(manifests, "NetworkPolicy")
    }

    assert out == {
        "node": {53, 5432, 4318, 8000},  # names, store, push, engine
        "gateway": {53, 9093, 4318, 8000},  # names, Kafka, push, upstream of the tap; its store is the detectors'
        "detector": {53, 9093, 5432, 4318},
        "engines": {53, 9093, 5432, 4318, 443},
        "report": {53, 5432, 9090},
    }


def test_every_image_is_the_one_of_the_values_by_digest_where_given(render: Any) -> None:
    given = {"global": {"imageRegistry": "registry.internal/"}, **EVERYTHING}
    images = {container["image"] for _, container in containers(render(presets=("production",), given=given))}

    assert images == {f"registry.internal/watchkeeper@{DIGEST}"}


def test_of_the_air_gapped_every_image_is_of_the_registry_inside_with_its_secret(render: Any) -> None:
    manifests = render(presets=("air-gapped",))

    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    assert {one["image"] for _, one in containers(manifests)} == {f"registry.internal/watchkeeper:{version}"}
    assert all(pod["imagePullSecrets"] == [{"name": "registry-internal"}] for pod in pods(manifests).values())


def test_every_selector_finds_its_pods_and_holds_nothing_that_changes(manifests: list[Manifest]) -> None:
    fixed = {f"app.kubernetes.io/{key}" for key in ("name", "instance", "component")}
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in of_kind(manifests, "DaemonSet", "StatefulSet")]
    labels += [one["metadata"]["labels"] for one in of_kind(manifests, "Pod")]
    labels += [
        one["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"] for one in of_kind(manifests, "CronJob")
    ]
    for manifest, selector in selectors(manifests):
        assert selector.keys() == fixed, manifest["metadata"]["name"]
        assert any(selector.items() <= some.items() for some in labels), manifest["metadata"]["name"]


def selectors(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, Mapping[str, str]]]:
    for manifest in manifests:
        spec = manifest.get("spec", {})
        if manifest["kind"] == "Service":
            yield manifest, spec["selector"]
        elif manifest["kind"] in ("DaemonSet", "StatefulSet", "PodDisruptionBudget", "PodMonitor"):
            yield manifest, spec["selector"]["matchLabels"]
        elif manifest["kind"] == "NetworkPolicy":
            yield manifest, spec["podSelector"]["matchLabels"]
