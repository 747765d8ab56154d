"""What Kubernetes lets a value be: its own types, for the keys that are named as Kubernetes names them."""

import json
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any, Final

import kubernetes_validate
from kubernetes_validate.utils import latest_version

Schema = dict[str, Any]

QUANTITY: Final = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$"
WORDS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}

_CORE: Final = "io.k8s.api.core.v1."
_OWN: Final[Mapping[str, Schema]] = {  # plainer than Kubernetes' `oneOf`, which says what is wrong three times
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"], "pattern": QUANTITY, "minimum": 0},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["integer", "string"]},
}
_LEFT_OUT: Final = frozenset({"description", "format"})


def one(kind: str) -> Schema:
    """
    A reference to a type.

    >>> one("Affinity")
    {'$ref': '#/definitions/io.k8s.api.core.v1.Affinity'}
    """
    return {"$ref": f"#/definitions/{kind if '.' in kind else _CORE + kind}"}


def several(kind: str) -> Schema:
    return {"type": "array", "items": one(kind)}


SHAPES: Final[Mapping[str, Schema]] = {
    "additionalLabels": WORDS,
    "affinity": one("Affinity"),
    "annotations": WORDS,
    "commonAnnotations": WORDS,
    "commonLabels": WORDS,
    "containerSecurityContext": one("SecurityContext"),
    "dnsConfig": one("PodDNSConfig"),
    "extraContainers": several("Container"),
    "extraEnv": several("EnvVar"),
    "extraEnvFrom": several("EnvFromSource"),
    "extraInitContainers": several("Container"),
    "extraVolumeMounts": several("VolumeMount"),
    "extraVolumes": several("Volume"),
    "hostAliases": several("HostAlias"),
    "imagePullSecrets": several("LocalObjectReference"),
    "labels": WORDS,
    "livenessProbe": one("Probe"),
    "nodeSelector": WORDS,
    "podAnnotations": WORDS,
    "podLabels": WORDS,
    "podSecurityContext": one("PodSecurityContext"),
    "readinessProbe": one("Probe"),
    "resources": one("ResourceRequirements"),
    "securityContext": one("SecurityContext"),
    "startupProbe": one("Probe"),
    "tolerations": several("Toleration"),
    "topologySpreadConstraints": several("TopologySpreadConstraint"),
}
"""By the last part of a key. What stands in values.yaml is the default, not the shape."""


def definitions(names: Iterable[str]) -> dict[str, Schema]:
    """
    Types by name, with all that they refer to; unknown keys are refused.

    :raises KeyError: Kubernetes has no such type
    """
    known = _known()
    made: dict[str, Schema] = {}
    missing = sorted(names)
    while missing:
        name = missing.pop()
        if name not in made:
            made[name] = dict(_OWN[name]) if name in _OWN else _plain(known[name])
            missing += sorted(referred(made[name]) - made.keys())
    return made


def referred(schema: Any) -> set[str]:
    """Names of the definitions that a schema refers to."""
    if isinstance(schema, Mapping):
        here = {schema["$ref"].rpartition("/")[2]} if isinstance(schema.get("$ref"), str) else set()
        return here.union(*map(referred, schema.values()))
    return set().union(*map(referred, schema)) if isinstance(schema, list) else set()


def _known() -> Mapping[str, Schema]:
    """Of the newest release that kubernetes-validate has: what is new in it does no harm to older ones."""
    newest = f"kubernetes-json-schema/v{latest_version()}-local-strict/_definitions.json"
    found: Mapping[str, Schema] = json.loads((resources.files(kubernetes_validate) / newest).read_text())["$defs"]
    return found


def _plain(schema: Any, is_keyword: bool = True) -> Any:
    """In the words of draft 7, and without prose: Kubernetes documents itself."""
    if isinstance(schema, list):
        return [_plain(entry) for entry in schema]
    if not isinstance(schema, Mapping):
        return schema.replace("#/$defs/", "#/definitions/") if isinstance(schema, str) else schema
    return {
        key: _plain(value, is_keyword=not (is_keyword and key == "properties"))
        for key, value in schema.items()
        if not (is_keyword and (key in _LEFT_OUT or key.startswith("x-kubernetes")))
    }
