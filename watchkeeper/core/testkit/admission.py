"""
A MutatingAdmissionPolicy, evaluated as an API server would, as far as that goes without one.

Google's own CEL checks the types of its expressions against Kubernetes' schemas and evaluates them; the JSON Patch that
comes out is applied. An API server's CEL is another implementation (cel-go), and costs of expressions are not counted.
"""

import json
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any, Final

import jsonpatch
import kubernetes_validate
from cel_expr_python import cel
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    json_format,
    message,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from kubernetes_validate.utils import latest_version

Object = dict[str, Any]

_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {"string": _FIELD.TYPE_STRING, "integer": _FIELD.TYPE_INT32, "boolean": _FIELD.TYPE_BOOL}
_KNOWN: Final = (any_pb2, struct_pb2, descriptor_pb2, duration_pb2, timestamp_pb2, wrappers_pb2, empty_pb2)
_TYPE: Final = re.compile(r"\bObject(?:\.[A-Za-z]+)+(?=\s*\{)")
"""of an object that an expression makes: the path to it"""


class Policy:
    """
    :param manifest: a MutatingAdmissionPolicy that matches pods and patches by JSON Patch
    :raises RuntimeError: an expression does not compile, or makes an object that is no part of a pod
    """

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        spec = manifest["spec"]
        mutations = [mutation["jsonPatch"]["expression"] for mutation in spec["mutations"]]
        self._pool = _pool(sorted({path for text in mutations for path in _TYPE.findall(text)}))
        environment = cel.NewEnv(descriptor_pool=self._pool, variables={"object": cel.Type.DYN})
        self._conditions = [_compiled(environment, one["expression"], "BOOL") for one in spec["matchConditions"]]
        self._mutations = [_compiled(environment, _TYPE.sub(_renamed, text), "LIST<JSONPatch>") for text in mutations]

    def admit(self, pod: Mapping[str, Any]) -> Object:
        """The pod as it is stored: a copy, changed where all conditions hold."""
        admitted: Object = _served(dict(pod))
        if all(condition.eval(data={"object": admitted}).plain_value() for condition in self._conditions):
            for mutation in self._mutations:
                operations = [self._operation(each) for each in mutation.eval(data={"object": admitted}).plain_value()]
                admitted = _served(jsonpatch.apply_patch(admitted, operations))
        return admitted

    def _operation(self, said: Any) -> Object:
        kind = self._pool.FindMessageTypeByName(said.value.type_url.rpartition("/")[2])
        value: message.Message = message_factory.GetMessageClass(kind)()
        value.ParseFromString(said.value.value)
        return {"op": said.op, "path": said.path, "value": json_format.MessageToDict(value)}


def _compiled(environment: Any, text: str, wanted: str) -> Any:
    expression = environment.compile(text)
    if (kind := str(expression.return_type())) != wanted:
        raise RuntimeError(f"an expression gives {kind}, and should give {wanted}: {text[:200]}")
    return expression


def _served(value: Any) -> Any:
    """As an API server has it that read an object: no empty lists and maps of optional fields, whole numbers whole."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        served = {name: _served(one) for name, one in value.items()}
        return {
            name: one for name, one in served.items() if one not in ([], None) and (one != {} or name == "emptyDir")
        }
    return [_served(one) for one in value] if isinstance(value, list) else value


def _renamed(found: re.Match[str]) -> str:
    """Types of protobuf cannot be named as the field beside them is: Object.spec.volumes as Object_spec_volumes."""
    return found[0].replace(".", "_")


def _pool(paths: Iterable[str]) -> descriptor_pool.DescriptorPool:
    """The objects at these paths as protobuf has them, and the operation of a JSON Patch."""
    file = descriptor_pb2.FileDescriptorProto(name="policy.proto", syntax="proto2")
    file.dependency.extend(["google/protobuf/any.proto", "google/protobuf/struct.proto"])
    patch = file.message_type.add(name="JSONPatch")
    for name in ("op", "path"):
        _add(patch, name, _FIELD.TYPE_STRING)
    _add(patch, "value", _FIELD.TYPE_MESSAGE, ".google.protobuf.Any")
    known = list(paths)
    schemas = _schemas()
    for path in known:
        made = file.message_type.add(name=path.replace(".", "_"))
        for name, schema in _at(schemas, path)["properties"].items():
            _add_field(made, name, _resolved(schemas, schema), f"{path}.{name}", known, schemas)
    pool = descriptor_pool.DescriptorPool()
    for module in _KNOWN:
        copied = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(copied)
        pool.Add(copied)
    pool.Add(file)
    return pool


def _add_field(
    made: Any, name: str, schema: Object, path: str, known: list[str], schemas: Mapping[str, Object]
) -> None:
    is_list = schema.get("type") in ("array", ["array", "null"])
    one = _resolved(schemas, schema["items"]) if is_list else schema
    kinds = one.get("type", [])
    kind = next((each for each in ([kinds] if isinstance(kinds, str) else kinds) if each != "null"), "")
    if kind in _SCALARS:
        _add(made, name, _SCALARS[kind], is_list=is_list)
    elif path in known:
        _add(made, name, _FIELD.TYPE_MESSAGE, "." + path.replace(".", "_"), is_list=is_list)
    elif kind == "object" and "properties" not in one:
        _add(made, name, _FIELD.TYPE_MESSAGE, ".google.protobuf.Struct", is_list=is_list)
    elif not kind:  # a number or a text
        _add(made, name, _FIELD.TYPE_MESSAGE, ".google.protobuf.Value", is_list=is_list)


def _add(made: Any, name: str, kind: int, type_name: str = "", *, is_list: bool = False) -> None:
    label = _FIELD.LABEL_REPEATED if is_list else _FIELD.LABEL_OPTIONAL
    field = made.field.add(name=name, json_name=name, number=len(made.field) + 1, type=kind, label=label)
    if type_name:
        field.type_name = type_name


def _schemas() -> Mapping[str, Object]:
    newest = f"kubernetes-json-schema/v{latest_version()}-local-strict/_definitions.json"
    found: Mapping[str, Object] = json.loads((resources.files(kubernetes_validate) / newest).read_text())["$defs"]
    return found


def _at(schemas: Mapping[str, Object], path: str) -> Object:
    """:raises RuntimeError: a pod has nothing there"""
    schema = schemas["io.k8s.api.core.v1.Pod"]
    for name in path.split(".")[1:]:
        properties = schema.get("properties", {})
        if name not in properties:
            raise RuntimeError(f"{path}: a pod has no such object")
        schema = _resolved(schemas, properties[name])
        schema = _resolved(schemas, schema["items"]) if "items" in schema else schema
    return schema


def _resolved(schemas: Mapping[str, Object], schema: Object) -> Object:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    return schema
