"""
What Kubernetes does not change of what stands is refused before anything is sent, where helm can ask the cluster: here
an API server that knows the kinds of the chart's objects. Without one (`helm template`, as in all other tests)
nothing is said.
"""

import copy
import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

CHART: Final = Path(__file__).resolve().parents[2] / "deploy/helm/watchkeeper"
KINDS: Final = {
    "v1": ("ServiceAccount", "ConfigMap", "Service", "Pod", "PersistentVolumeClaim"),
    "apps/v1": ("DaemonSet", "StatefulSet"),
    "batch/v1": ("CronJob",),
}
HELD: Final = ("DaemonSet", "StatefulSet", "PersistentVolumeClaim")
KEEPS: Final = "gateway.persistence.enabled=true"
REPORT: Final = "report.enabled=true,store.enabled=true,store.url=postgresql://watchkeeper@db/watchkeeper"

WAITED: Final = re.compile(r"I\d{4} .*\bWaited ")
"""what its client notes of a request that came late, on a machine that stood still"""

Manifest = dict[str, Any]
Upgrade = Callable[..., list[str]]


class Api(BaseHTTPRequestHandler):
    """Discovery, and what `standing` has by its path."""

    protocol_version = "HTTP/1.1"
    standing: dict[str, Manifest]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        found = self.standing.get(path)
        body = json.dumps(found or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def discovery() -> dict[str, Manifest]:
    def resources(version: str) -> Manifest:
        listed = [{"name": plural(kind), "namespaced": True, "kind": kind, "verbs": ["get"]} for kind in KINDS[version]]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed}

    versions = {name.partition("/")[0]: {"groupVersion": name, "version": "v1"} for name in KINDS if "/" in name}
    groups = [{"name": name, "versions": [one], "preferredVersion": one} for name, one in versions.items()]
    return {
        "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
        **{f"/{'apis' if '/' in name else 'api'}/{name}": resources(name) for name in KINDS},
    }


def plural(kind: str) -> str:
    return f"{kind.lower()}s"


@pytest.fixture(scope="module")
def api() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def upgrade(api: ThreadingHTTPServer, render: Any, request: pytest.FixtureRequest) -> Upgrade:
    """What helm says, line by line, to values `after` where those `before` were installed; nothing: it takes them."""

    def upgrade(before: str, after: str, helm: str = "helm4", **options: Any) -> list[str]:
        made = [as_it_stands(one) for one in render(*([before] if before else []), **options) if one["kind"] in HELD]
        Api.standing = discovery() | {path(one): one for one in made}
        command = [request.getfixturevalue(helm), "template", "wk", str(CHART), "--namespace=obs", "--dry-run=server"]
        command += [
            "--disable-openapi-validation",
            f"--kube-apiserver=http://127.0.0.1:{api.server_address[1]}",
            "--kubeconfig=/dev/null",
        ]
        command += [f"--set={after}"] if after else []
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        said = (line for line in done.stderr.splitlines() if not WAITED.match(line))
        lines = [line for line in said if ": " in line and "symbolic" not in line]
        assert bool(done.returncode) == bool(lines), done.stderr
        return [line for line in lines if not line.startswith("Error: execution error at")]

    return upgrade


def path(manifest: Manifest) -> str:
    root = "/api/v1" if manifest["apiVersion"] == "v1" else f"/apis/{manifest['apiVersion']}"
    name = manifest["metadata"]
    return f"{root}/namespaces/{name['namespace']}/{plural(manifest['kind'])}/{name['name']}"


def as_it_stands(manifest: Manifest) -> Manifest:
    """With what helm and an API server add, and quantities as they are written by it."""
    made = copy.deepcopy(manifest)
    owner = {"meta.helm.sh/release-name": "wk", "meta.helm.sh/release-namespace": "obs"}
    made["metadata"]["annotations"] = made["metadata"].get("annotations", {}) | owner
    claims = made["spec"].get("volumeClaimTemplates", [made] if made["kind"] == "PersistentVolumeClaim" else [])
    for claim in claims:
        claim.setdefault("status", {"phase": "Pending"})
        claim["spec"]["volumeMode"] = "Filesystem"
        requests = claim["spec"]["resources"]["requests"]
        requests["storage"] = {"10240Mi": "10Gi", "1.5Gi": "1536Mi"}.get(requests["storage"], requests["storage"])
        if claim is made:
            claim["spec"].setdefault("storageClassName", "standard")
            claim["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] = "yes"
    return made


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_the_step_from_the_default_installation_to_production_is_refused_with_the_way_out(
    helm: str, upgrade: Upgrade
) -> None:
    [line] = upgrade("", KEEPS, helm)

    assert line == (
        "gateway.persistence.enabled: StatefulSet wk-watchkeeper-gateway stands without claims, and Kubernetes lets "
        "none be added; set it to false, or take it away first, its pods staying (UPGRADING.md, what cannot be changed)"
    )


@pytest.mark.parametrize(
    ("before", "after", "key", "says"),
    [
        (KEEPS, "", "persistence.enabled", "stands with claims"),
        (KEEPS, f"{KEEPS},gateway.persistence.size=20Gi", "persistence.size", "have 10Gi"),
        (KEEPS, f"{KEEPS},gateway.persistence.size=5Gi", "persistence.size", "have 10Gi"),
        (KEEPS, f"{KEEPS},gateway.persistence.storageClass=fast", "persistence.storageClass", "the cluster's own"),
        (f"{KEEPS},gateway.persistence.storageClass=fast", KEEPS, "persistence.storageClass", "have fast"),
        (f"{KEEPS},gateway.persistence.storageClass=-", KEEPS, "persistence.storageClass", "have -, for none"),
        (KEEPS, f"{KEEPS},gateway.persistence.accessModes={{ReadWriteMany}}", "persistence.accessModes", "set it so"),
        (KEEPS, f"{KEEPS},gateway.persistence.annotations.a=b", "persistence.annotations", "have {}"),
        ("fullnameOverride=x", "fullnameOverride=x,nameOverride=y", "nameOverride", "finds its pods by"),
        (f"{REPORT},report.persistence.size=2Gi", REPORT, "persistence.size", "has 2Gi"),
        (REPORT, f"{REPORT},report.persistence.storageClass=fast", "persistence.storageClass", "has standard"),
    ],
)
def test_what_cannot_be_changed_of_what_stands_is_refused(
    before: str, after: str, key: str, says: str, upgrade: Upgrade
) -> None:
    lines = [line for line in upgrade(before, after) if line.partition(": ")[0].endswith(key)]

    assert lines
    assert all(says in line for line in lines)


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("node.enabled=false,gateway.enabled=false,alertmanagerExample.enabled=true,sidecars.inject=true", KEEPS),
        (
            f"{KEEPS},gateway.persistence.size=10240Mi",
            f"{KEEPS},gateway.persistence.size=10240Mi,gateway.preStopSleepSeconds=3",
        ),
        (f"{KEEPS},gateway.persistence.size=1.5Gi", f"{KEEPS},gateway.persistence.size=1.5Gi"),
        (
            f"{KEEPS},gateway.persistence.storageClass=-,gateway.persistence.annotations.a=b",
            f"{KEEPS},gateway.persistence.storageClass=-,gateway.persistence.annotations.a=b",
        ),
        (REPORT, f"{REPORT},report.persistence.size=5Gi"),
    ],
)
def test_what_can_be_changed_or_is_not_there_yet_is_taken(before: str, after: str, helm: str, upgrade: Upgrade) -> None:
    assert upgrade(before, after, helm) == []
