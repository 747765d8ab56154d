"""
The kubelet's pod-resources API, v1: one question over its unix socket.

Only what is read is declared of its schema; names come as bytes, so that an odd one does not cost the others.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, Protocol, cast

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from collector.accelerators.placement.allocation import Given, KubeletError, Trouble
from collector.accelerators.places import Place

LIST: Final = "/v1.PodResourcesLister/List"
MAX_ANSWER_BYTES: Final = 4 << 20
"""250 pods with devices, memory and pinned cores make about 300 KB"""
MAX_GIVEN: Final = 8192
"""containers with devices that are kept of one answer"""
MAX_IDS: Final = 1024
"""devices that are kept of one container and resource"""

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.default_authority", "localhost"),  # a socket's path is none, and the kubelet refuses what is none
    ("grpc.use_local_subchannel_pool", 1),  # nobody's old connection, nobody's old wait before the next try
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
)
_TROUBLE: Final = {
    grpc.StatusCode.DEADLINE_EXCEEDED: Trouble.TIMED_OUT,
    grpc.StatusCode.UNIMPLEMENTED: Trouble.NOT_A_KUBELET,
    grpc.StatusCode.PERMISSION_DENIED: Trouble.NOT_PERMITTED,
    grpc.StatusCode.UNAUTHENTICATED: Trouble.NOT_PERMITTED,
    grpc.StatusCode.UNAVAILABLE: Trouble.NOT_A_KUBELET,  # it accepted the connection and spoke no gRPC
}

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE: Final = "watchkeeper.pod_resources"
_SCHEMA: Final = {
    "Answer": (("pod_resources", 1, "Pod"),),
    "Pod": (("name", 1, ""), ("namespace", 2, ""), ("containers", 3, "Container")),
    "Container": (("name", 1, ""), ("devices", 2, "Devices"), ("dynamic_resources", 5, "Claim")),
    "Devices": (("resource_name", 1, ""), ("device_ids", 2, "bytes")),
    "Claim": (("claim_resources", 4, "ClaimResource"),),
    "ClaimResource": (("cdi_devices", 1, "CdiDevice"), ("driver_name", 2, ""), ("device_name", 4, "")),
    "CdiDevice": (("name", 1, ""),),
}
"""message: (field, number, what is repeated in it; "" = bytes, once)"""


class _CdiDevice(Protocol):
    name: bytes


class _ClaimResource(Protocol):
    cdi_devices: Iterable[_CdiDevice]
    driver_name: bytes
    device_name: bytes


class _Claim(Protocol):
    claim_resources: Iterable[_ClaimResource]


class _Devices(Protocol):
    resource_name: bytes
    device_ids: Iterable[bytes]


class _Container(Protocol):
    name: bytes
    devices: Iterable[_Devices]
    dynamic_resources: Iterable[_Claim]


class _Pod(Protocol):
    name: bytes
    namespace: bytes
    containers: Iterable[_Container]


class _Answer(Protocol):
    pod_resources: Iterable[_Pod]


class _AnswerClass(Protocol):
    def FromString(self, data: bytes) -> _Answer: ...  # noqa: N802 - protobuf's name


def _answer_class() -> _AnswerClass:
    file = descriptor_pb2.FileDescriptorProto(name="watchkeeper/pod_resources.proto", package=_PACKAGE, syntax="proto3")
    for message, fields in _SCHEMA.items():
        declared = file.message_type.add(name=message)
        for name, number, many in fields:
            field = declared.field.add(name=name, number=number, type=_Field.TYPE_BYTES, label=_Field.LABEL_OPTIONAL)
            if many:
                field.label = _Field.LABEL_REPEATED
            if many in _SCHEMA:
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{many}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return cast(_AnswerClass, message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Answer")))


_Answers: Final = _answer_class()


def parse(raw: bytes) -> tuple[Given, ...]:
    """:raises KubeletError: MALFORMED"""
    try:
        answer = _Answers.FromString(raw)
    except DecodeError:
        raise KubeletError(Trouble.MALFORMED) from None
    return tuple(islice(_given(answer), MAX_GIVEN))


def ask(path: str, timeout_seconds: float) -> tuple[Given, ...]:
    """
    Everything that containers of this node have. Opens a connection of its own: a kubelet that is restarted makes a
    new socket, and a connection is cheap beside the seconds between two questions.

    :raises KubeletError: in every case of no answer
    """
    with grpc.insecure_channel(f"unix:{os.path.abspath(path)}", _OPTIONS) as channel:
        listing: Callable[..., bytes] = channel.unary_unary(LIST)  # without a serializer bytes go in and out
        try:
            raw = listing(b"", timeout=timeout_seconds)
        except grpc.RpcError as error:
            raise _error(cast(grpc.Call, error)) from None
    return parse(raw)


def _error(call: grpc.Call) -> KubeletError:
    code, details = call.code(), call.details() or ""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return KubeletError(Trouble.TOO_LARGE, f"more than {MAX_ANSWER_BYTES} bytes")
    return KubeletError(_TROUBLE.get(code, Trouble.FAILING), code.name)


def _given(answer: _Answer) -> Iterator[Given]:
    for pod in answer.pod_resources:
        for container in pod.containers:
            place = Place(namespace=_text(pod.namespace), pod=_text(pod.name), container=_text(container.name))
            for devices in container.devices:
                yield Given(place, _text(devices.resource_name), _texts(devices.device_ids))
            for claim in container.dynamic_resources:
                for claimed in claim.claim_resources:
                    yield _of_claim(place, claimed)


def _of_claim(place: Place, claimed: _ClaimResource) -> Given:
    """Kubelets before 1.31 tell of a claim its CDI devices alone; these begin with their vendor."""
    cdi = _texts(device.name for device in claimed.cdi_devices)
    driver = _text(claimed.driver_name) or (cdi[0].partition("=")[0] if cdi else "")
    names = (_text(claimed.device_name), *(name.partition("=")[2] for name in cdi))
    return Given(place, driver, tuple(name for name in names if name))


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _texts(names: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(_text(name) for name in islice(names, MAX_IDS))
