"""A kubelet that speaks pod-resources v1 on a unix socket, its answers encoded by the documented schema."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
_TYPES = {"string": _FIELD.TYPE_STRING, "int64": _FIELD.TYPE_INT64, "uint64": _FIELD.TYPE_UINT64}
DOCUMENTED = """
ListPodResourcesResponse: repeated PodResources pod_resources = 1
PodResources: string name = 1; string namespace = 2; repeated ContainerResources containers = 3
ContainerResources: string name = 1; repeated ContainerDevices devices = 2; repeated int64 cpu_ids = 3; \
repeated ContainerMemory memory = 4; repeated DynamicResource dynamic_resources = 5
ContainerMemory: string memory_type = 1; uint64 size = 2; TopologyInfo topology = 3
ContainerDevices: string resource_name = 1; repeated string device_ids = 2; TopologyInfo topology = 3
TopologyInfo: repeated NUMANode nodes = 1
NUMANode: int64 ID = 1
DynamicResource: string class_name = 1; string claim_name = 2; string claim_namespace = 3; \
repeated ClaimResource claim_resources = 4
ClaimResource: repeated CDIDevice cdi_devices = 1; string driver_name = 2; string pool_name = 3; \
string device_name = 4; string share_id = 5
CDIDevice: string name = 1
"""
"""the messages of kubelet/pkg/apis/podresources/v1/api.proto that an answer to List is made of, all their fields"""

Encode = Callable[[dict[str, Any]], bytes]


@pytest.fixture(scope="session")
def encode() -> Encode:
    """Protobuf of an answer given as JSON."""
    file = descriptor_pb2.FileDescriptorProto(name="documented.proto", package="v1", syntax="proto3")
    for line in DOCUMENTED.strip().splitlines():
        message, _, fields = line.partition(":")
        declared = file.message_type.add(name=message)
        for field in fields.split(";"):
            *label, kind, name, _, number = field.split()
            added = declared.field.add(name=name, number=int(number), type=_TYPES.get(kind, _FIELD.TYPE_MESSAGE))
            added.label = _FIELD.LABEL_REPEATED if label else _FIELD.LABEL_OPTIONAL
            if kind not in _TYPES:
                added.type_name = f".v1.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    answer = message_factory.GetMessageClass(pool.FindMessageTypeByName("v1.ListPodResourcesResponse"))
    return lambda json: json_format.ParseDict(json, answer()).SerializeToString()


class FakeKubelet:
    """Answers with `answer`, bytes or what makes them; `service` is the name under which it is known."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answer: bytes | Callable[[grpc.ServicerContext], bytes] = b""
        self.asked: list[bytes] = []
        self._server: grpc.Server | None = None

    def start(self, service: str = "v1.PodResourcesLister") -> None:
        self._server = grpc.server(ThreadPoolExecutor(2))
        handler = grpc.unary_unary_rpc_method_handler(self._list)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"List": handler}),))
        self._server.add_insecure_port(f"unix:{self.path}")
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(None).wait()
        self._server = None
        self.path.unlink(missing_ok=True)

    def _list(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.asked.append(request)
        return self.answer if isinstance(self.answer, bytes) else self.answer(context)


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[FakeKubelet]:
    """Started."""
    fake = FakeKubelet(tmp_path / "kubelet.sock")
    fake.start()
    yield fake
    fake.stop()
