"""
The kubelet's pod-resources API, v1: one question over its unix socket.

Only what is read is looked at, field by field; a name that is no text does not cost the others.
"""

import socket
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple

from collector.accelerators.placement import unary
from collector.accelerators.placement.allocation import Given, KubeletError, Trouble
from collector.accelerators.places import Place
from collector.otlp import wire

LIST: Final = "/v1.PodResourcesLister/List"
MAX_ANSWER_BYTES: Final = 4 << 20
"""250 pods with devices, memory and pinned cores make about 300 KB"""
MAX_GIVEN: Final = 8192
"""containers with devices that are kept of one answer"""
MAX_IDS: Final = 1024
"""devices that are kept of one container and resource"""


class _Message(NamedTuple):
    """A protobuf message in `raw[start:end]`, or a field's text; it is walked anew each time, and nothing is kept."""

    raw: bytes
    start: int
    end: int

    def every(self, number: int) -> "Iterator[_Message]":
        """:raises wire.Malformed: while iterating"""
        for found, wire_type, start, end in wire.fields(self.raw, self.start, self.end):
            if found == number and wire_type == wire.BYTES:
                yield _Message(self.raw, start, end)

    def last(self, number: int) -> str:
        """'' where it has none; of several the last counts, as protobuf has it."""
        text = ""
        for field in self.every(number):
            text = field.text()
        return text

    def text(self) -> str:
        return self.raw[self.start : self.end].decode("utf-8", "replace")


def ask(peer: socket.socket, timeout_seconds: float) -> tuple[Given, ...]:
    """
    Everything that containers of this node have. `peer` is connected to the kubelet, and only for this.

    :raises KubeletError: in every case of no answer
    """
    return parse(unary.ask(peer, LIST, timeout_seconds, MAX_ANSWER_BYTES))


@lru_cache(maxsize=1)
def parse(raw: bytes) -> tuple[Given, ...]:
    """
    The last one is kept: nearly always the answer is the same, byte for byte.

    :raises KubeletError: MALFORMED
    """
    try:
        return tuple(islice(_given(_Message(raw, 0, len(raw))), MAX_GIVEN))
    except wire.Malformed:
        raise KubeletError(Trouble.MALFORMED) from None


def _given(answer: _Message) -> Iterator[Given]:
    """ListPodResourcesResponse: pods = 1, in which name = 1, namespace = 2, containers = 3."""
    for pod in answer.every(1):
        name, namespace = pod.last(1), pod.last(2)
        for container in pod.every(3):
            yield from _of_container(container, name, namespace)


def _of_container(container: _Message, pod: str, namespace: str) -> Iterator[Given]:
    """
    ContainerResources: name = 1, devices = 2 (resource_name = 1, device_ids = 2), dynamic_resources = 5, in which
    claim_resources = 4.
    """
    place = Place(namespace=namespace, pod=pod, container=container.last(1))
    for devices in container.every(2):
        yield Given(place, devices.last(1), _texts(devices.every(2)))
    for claim in container.every(5):
        for claimed in claim.every(4):
            yield _of_claim(place, claimed)


def _of_claim(place: Place, claimed: _Message) -> Given:
    """
    ClaimResource: cdi_devices = 1 (name = 1), driver_name = 2, device_name = 4.

    Kubelets before 1.31 tell of a claim its CDI devices alone; these begin with their vendor.
    """
    cdi = tuple(device.last(1) for device in islice(claimed.every(1), MAX_IDS))
    driver = claimed.last(2) or (cdi[0].partition("=")[0] if cdi else "")
    names = (claimed.last(4), *(name.partition("=")[2] for name in cdi))
    return Given(place, driver, tuple(name for name in names if name))


def _texts(fields: Iterable[_Message]) -> tuple[str, ...]:
    return tuple(field.text() for field in islice(fields, MAX_IDS))
