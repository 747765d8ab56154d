"""What an API server would refuse of a policy, the stand-in for it refuses, too."""

from typing import Any

import pytest

from watchkeeper.core.testkit.admission import Policy

POD: dict[str, Any] = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "app"}]}}


def policy(value: str, condition: str = "true") -> Policy:
    expression = f'[JSONPatch{{op: "add", path: "/spec/containers/-", value: {value}}}]'
    spec = {
        "matchConditions": [{"name": "c", "expression": condition}],
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
    }
    return Policy({"spec": spec})


def test_what_is_made_arrives_with_its_own_types() -> None:
    made = (
        'Object.spec.containers{name: "w", stdin: false, args: ["a"], '
        "livenessProbe: Object.spec.containers.livenessProbe{"
        "httpGet: Object.spec.containers.livenessProbe.httpGet{port: 80}}, "
        'resources: Object.spec.containers.resources{limits: {"cpu": "1"}}}'
    )

    added = policy(made).admit(POD)["spec"]["containers"][1]

    assert added == {
        "name": "w",
        "stdin": False,
        "args": ["a"],
        "livenessProbe": {"httpGet": {"port": 80}},
        "resources": {"limits": {"cpu": "1"}},
    }
    assert type(added["livenessProbe"]["httpGet"]["port"]) is int, "80.0 is no port"
    assert POD["spec"]["containers"] == [{"name": "app"}]


def test_where_a_condition_does_not_hold_nothing_changes() -> None:
    assert policy('Object.spec.containers{name: "w"}', "has(object.spec.nodeName)").admit(POD) == POD


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('Object.spec.containers{nam: "w"}', "undefined field 'nam'"),
        ("Object.spec.containers{name: 1}", "expected type of field 'name' is 'string'"),
        ('Object.spec.containers{args: "a"}', "expected type of field 'args'"),
        ("Object.spec.containers{env: [Object.spec.volumes{}]}", "expected type of field|undefined field 'env'"),
        ('Object.spec.conteiners{name: "w"}', "a pod has no such object"),
        ("object.spec.?a", "unsupported syntax"),
    ],
    ids=["field", "type", "list", "object of another place", "path", "syntax"],
)
def test_what_does_not_fit_a_pod_is_refused_before_any_pod_comes(value: str, said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        policy(value)


@pytest.mark.parametrize(
    ("value", "condition"), [('"w"', "1"), ('"w"}, 1, JSONPatch{op: "add"', "true")], ids=["condition", "patch"]
)
def test_an_expression_that_gives_something_else_is_refused(value: str, condition: str) -> None:
    with pytest.raises(RuntimeError, match="and should give"):
        policy(value, condition)
