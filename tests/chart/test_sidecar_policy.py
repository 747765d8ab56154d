"""The policy that adds sidecars, and the PodMonitor that finds them: when there is one, and what it is about."""

import copy
import json
from importlib import resources
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
from kubernetes_validate.utils import latest_version

from watchkeeper.core.testkit.admission import Policy

NEWEST: Final = latest_version().rpartition(".")[0]
POLICY: Final = "MutatingAdmissionPolicy"
BINDING: Final = "MutatingAdmissionPolicyBinding"
KNOWN: Final = (f"admissionregistration.k8s.io/v1/{POLICY}",)

Manifest = dict[str, Any]


def pod(annotations: Manifest | None = None, **spec: Any) -> Manifest:
    metadata: Manifest = {"name": "llama-0", "namespace": "ml"}
    if annotations is not None:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": {"containers": [{"name": "vllm", "image": "vllm:1"}], **spec}}


NOTES: Final = Path(__file__).resolve().parents[2] / "deploy/helm/watchkeeper/templates/NOTES.txt"
ASKING: Final = {"watchkeeper.dev/inject": "true"}


def of_kind(kind: str, manifests: list[Manifest]) -> list[Manifest]:
    return [each for each in manifests if each["kind"] == kind]


@pytest.fixture(scope="module")
def made(render: Any) -> list[Manifest]:
    manifests: list[Manifest] = render("sidecars.inject=true", kube=NEWEST)
    return manifests


@pytest.fixture(scope="module")
def policy(made: list[Manifest]) -> Policy:
    return Policy(of_kind(POLICY, made)[0])


@pytest.mark.parametrize(
    ("kube", "apis", "there"),
    [("1.35", (), False), ("1.35", KNOWN, True), ("1.36", (), True), ("1.33", ("v1",), False)],
    ids=["older", "older that says it has it", "newer", "much older"],
)
def test_it_is_made_only_where_the_api_server_has_it(kube: str, apis: Any, there: bool, render: Any) -> None:
    manifests = render("sidecars.inject=true", kube=kube, apis=apis)

    assert (len(of_kind(POLICY, manifests)), len(of_kind(BINDING, manifests))) == (there, there)


@pytest.mark.parametrize(("kube", "told"), [("1.33", True), (NEWEST, False)], ids=["unknown", "known"])
def test_who_asked_for_it_in_vain_is_told_so(kube: str, told: bool, render: Any) -> None:
    """In the notes after an installation."""
    notes = '{kind: Notes, said: {{ include "watchkeeper.warnings" . | quote }}}'
    made = render(given={"sidecars": {"inject": True}, "extraManifests": [notes]}, kube=kube)

    [said] = [each["said"] for each in of_kind("Notes", made)]
    assert ("No pod gets a sidecar: this cluster does not know MutatingAdmissionPolicies" in said) is told


def test_notes_tell_how_a_pod_asks_for_it(render: Any) -> None:
    notes = NOTES.read_text("utf-8")
    asked = '{{ define "notes" }}' + notes + '{{ end }}{kind: Notes, said: {{ include "notes" . | toJson }}}'
    [said] = of_kind("Notes", render(given={"sidecars": {"inject": True}, "extraManifests": [asked]}, kube=NEWEST))

    assert "wk-watchkeeper-sidecars.obs, adds a sidecar to new pods" in said["said"]
    assert '{"annotations":{"watchkeeper.dev/inject":"true"}}' in said["said"]


def test_it_is_off_unless_asked_for(render: Any) -> None:
    assert of_kind(POLICY, render(kube=NEWEST)) == []


def test_it_is_valid_and_a_binding_names_it(made: list[Manifest], invalid: Any) -> None:
    [stated], [binding] = of_kind(POLICY, made), of_kind(BINDING, made)

    assert [*invalid(stated, NEWEST), *invalid(binding, NEWEST)] == []
    assert binding["spec"] == {"policyName": stated["metadata"]["name"]}
    assert {"namespace"}.isdisjoint(stated["metadata"]), "it is the cluster's"


def test_it_never_costs_a_pod_and_no_webhook_is_in_the_way(made: list[Manifest]) -> None:
    [stated] = of_kind(POLICY, made)

    assert stated["spec"]["failurePolicy"] == "Ignore"
    [rule] = stated["spec"]["matchConstraints"]["resourceRules"]
    assert (rule["operations"], rule["resources"]) == (["CREATE"], ["pods"])
    assert not [each["kind"] for each in made if "Webhook" in each["kind"]]


def test_it_patches_by_json_patch_as_an_apply_configuration_may_hold_nothing_atomic(made: list[Manifest]) -> None:
    """An API server refuses one that does; with `failurePolicy: Ignore` nobody would hear of it."""
    folder = resources.files(kubernetes_validate) / f"kubernetes-json-schema/v{latest_version()}-local-strict"
    known = json.loads((folder / "_definitions.json").read_text())["$defs"]
    arguments = known["io.k8s.api.core.v1.Container"]["properties"]["args"]
    [mutation] = of_kind(POLICY, made)[0]["spec"]["mutations"]

    assert (arguments["x-kubernetes-list-type"], mutation["patchType"]) == ("atomic", "JSONPatch")


@pytest.mark.parametrize(
    ("annotations", "spec"),
    [
        (None, {}),
        ({}, {}),
        ({"watchkeeper.dev/inject": "false"}, {}),
        ({"example.com/other": "true"}, {}),
        (ASKING, {"initContainers": [{"name": "watchkeeper", "image": "own:1"}]}),
        (ASKING, {"containers": [{"name": "vllm"}, {"name": "watchkeeper", "image": "own:1"}]}),
        (ASKING, {"volumes": [{"name": "watchkeeper-tmp", "emptyDir": {}}]}),
        (ASKING, {"os": {"name": "windows"}}),
    ],
    ids=["none", "empty", "refused", "another", "native there", "plain there", "volume there", "windows"],
)
def test_a_pod_that_did_not_ask_has_one_or_could_not_run_it_stays_as_it_is(
    annotations: Manifest | None, spec: Manifest, policy: Policy
) -> None:
    before = pod(annotations, **spec)
    if annotations == {}:
        del before["metadata"]["annotations"]

    assert policy.admit(before) == before


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"initContainers": [{"name": "get", "image": "get:1"}]},
        {"volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}]},
        {"os": {"name": "linux"}},
        {"hostNetwork": False},
    ],
    ids=["nothing else", "init containers", "volumes", "linux", "own network"],
)
def test_it_is_appended_to_what_is_there(spec: Manifest, policy: Policy) -> None:
    before = pod(ASKING, **spec)
    after = policy.admit(before)

    added = after["spec"]["initContainers"].pop()
    assert (added["name"], added["ports"][0]["name"]) == ("watchkeeper", "watchkeeper")
    assert after["spec"]["volumes"].pop()["name"] == "watchkeeper-tmp"
    assert after["metadata"].pop("labels") == {"watchkeeper.dev/sidecar": "true"}
    expected = copy.deepcopy(before)
    for name in ("initContainers", "volumes"):
        expected["spec"].setdefault(name, [])
    assert after == expected


def test_labels_that_are_there_stay(policy: Policy) -> None:
    before = pod(ASKING)
    before["metadata"]["labels"] = {"app": "llama"}

    assert policy.admit(before)["metadata"]["labels"] == {"app": "llama", "watchkeeper.dev/sidecar": "true"}


def test_what_the_values_say_of_the_container_reaches_the_pod(render: Any) -> None:
    given = {
        "sidecars": {"inject": True},
        "global": {"imageRegistry": "registry.example.com"},
        "watchkeeper-sidecar": {
            "native": False,
            "state": {"enabled": True},
            "config": {"log_level": "debug", "tap": [{"port": 8001, "upstream": 'http://a/"quoted"\n'}]},
            "resources": {"limits": {"cpu": 1}},
            "securityContext": {"runAsUser": None, "runAsGroup": None},
        },
    }
    admitted = Policy(of_kind(POLICY, render(given=given, kube=NEWEST))[0]).admit(pod(ASKING))
    container = admitted["spec"]["containers"][1]
    env = {each["name"]: each.get("value") for each in container["env"]}

    assert container["image"].startswith("registry.example.com/watchkeeper:")
    assert "restartPolicy" not in container
    assert "initContainers" not in admitted["spec"]
    assert {"name": "watchkeeper-state", "emptyDir": {}} in admitted["spec"]["volumes"]
    assert env["WATCHKEEPER__LOG_LEVEL"] == '"debug"'
    assert json.loads(env["WATCHKEEPER__TAP"] or "")[0]["upstream"] == 'http://a/"quoted"\n'
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "512Mi"}, "all texts"
    assert {"runAsUser", "runAsGroup"}.isdisjoint(container["securityContext"])


def test_what_is_set_to_nothing_is_left_out_and_never_a_null_or_an_error(render: Any) -> None:
    names = ("livenessProbe", "resources", "securityContext", "config", "engine", "state", "extraEnv")
    given = {"sidecars": {"inject": True}, "watchkeeper-sidecar": dict.fromkeys(names)}
    admitted = Policy(of_kind(POLICY, render(given=given, kube=NEWEST))[0]).admit(pod(ASKING))
    [container] = admitted["spec"]["initContainers"]

    assert container["livenessProbe"] == {"httpGet": {"path": "/healthz", "port": 9464}}
    assert not {"resources", "securityContext", "Error"} & set(container)


def test_on_openshift_it_names_no_user(render: Any) -> None:
    """A pod with a user that is not of its namespace's is refused there, the model with it."""
    made = render("sidecars.inject=true", presets=("openshift",), kube=NEWEST)
    admitted = Policy(of_kind(POLICY, made)[0]).admit(pod(ASKING))
    [container] = admitted["spec"]["initContainers"]

    assert not {"runAsUser", "runAsGroup"} & set(container["securityContext"])
    assert container["securityContext"]["runAsNonRoot"]


def test_namespaces_can_be_chosen(render: Any, invalid: Any) -> None:
    chosen = {"matchLabels": {"team": "ml"}}
    given = {"sidecars": {"inject": True, "namespaceSelector": chosen}}
    [binding] = of_kind(BINDING, render(given=given, kube=NEWEST))

    assert binding["spec"]["matchResources"] == {"namespaceSelector": chosen}
    assert invalid(binding, NEWEST) == []


def test_a_configmap_is_refused_as_pods_of_other_namespaces_could_not_mount_it(refusal: Any) -> None:
    given = {"sidecars": {"inject": True}, "watchkeeper-sidecar": {"configMap": "settings"}}

    assert "watchkeeper-sidecar.configMap: with sidecars.inject pods of other namespaces" in refusal(
        given=given, kube=NEWEST
    )


def test_a_podmonitor_finds_sidecars_wherever_they_are_by_label_and_by_the_name_of_the_port(
    render: Any, invalid: Any, policy: Policy
) -> None:
    given = {
        "metrics": {"sidecarMonitor": {"enabled": True}, "podMonitor": {"additionalLabels": {"release": "prom"}}},
        "auth": {"web": {"existingSecret": "token"}},
    }
    [monitor] = of_kind("PodMonitor", render(given=given))
    admitted = policy.admit(pod(ASKING))

    assert invalid(monitor, NEWEST) == []
    assert monitor["metadata"]["labels"]["release"] == "prom"
    assert monitor["spec"]["namespaceSelector"] == {"any": True}
    assert monitor["spec"]["selector"]["matchLabels"].items() <= admitted["metadata"]["labels"].items()
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == admitted["spec"]["initContainers"][0]["ports"][0]["name"]
    assert "authorization" not in endpoint, "whoever may label a pod would be handed the token"
