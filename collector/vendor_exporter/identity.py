"""Whose number a series is: the device, the card of which it is a partition, and the container that has it."""

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from collector.accelerators.driver import Device
from collector.accelerators.places import Place

_NOTHING: Final = frozenset(("", "-", "-1", "na", "n/a", "none", "null", "unknown", "not available", "<nil>"))
"""what exporters write, in any case, where they do not know"""
_KUBERNETES_NAME: Final = re.compile(r"[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?")
_POD: Final = ("pod", "pod_name", "dcu_pod_name", "podname")
_NAMESPACE: Final = ("namespace", "pod_namespace", "dcu_pod_namespace", "namespace_name", "podnamespace")
_CONTAINER: Final = ("container", "container_name", "ctrname")
_EXPORTED: Final = "exported_"
PLACE_LABELS: Final = frozenset(
    (*_POD, *_NAMESPACE, *_CONTAINER, *(f"{_EXPORTED}{name}" for name in (*_POD, *_NAMESPACE, *_CONTAINER)))
)
HOST: Final = ("Hostname", "hostname", "node", "node_name", "host", "Host", "nodeid", "instance")
"""label names for the machine; they differ also between the versions of one exporter"""


class Seen(msgspec.Struct, frozen=True):
    """`card` is the device of which `device` is a partition."""

    device: Device
    card: Device | None = None


Identify = Callable[[Mapping[str, str]], Seen | None]
"""labels of a series to its device; None when it is about none"""


def known(labels: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The first of these labels that says something, else empty."""
    for name in names:
        value = labels.get(name, "").strip()
        if value.lower() not in _NOTHING:
            return value
    return ""


def place_of(labels: Mapping[str, str]) -> Place | None:
    """
    The container that a series names. Behind a Prometheus server the exporter's own labels begin with `exported_`, and
    the plain ones name the exporter's pod. What is no Kubernetes name is a text for people (several pods share it).
    """
    prefix = _EXPORTED if any(f"{_EXPORTED}{name}" in labels for name in _POD) else ""
    pod, namespace, container = (
        known(labels, tuple(f"{prefix}{name}" for name in names)) for names in (_POD, _NAMESPACE, _CONTAINER)
    )
    if not pod or not _is_name(pod) or not (namespace == "" or _is_name(namespace)):
        return None
    return Place(namespace, pod, container if _is_name(container) else "")


def identify(
    vendor: str | Callable[[str], str],
    *,
    id: tuple[str, ...] = ("uuid", "UUID"),
    name: tuple[str, ...] = (),
    model: tuple[str, ...] = (),
    serial: tuple[str, ...] = (),
    driver: tuple[str, ...] = (),
    firmware: tuple[str, ...] = (),
    pci: tuple[str, ...] = (),
) -> Identify:
    """
    By label names, the first that says something. Where the exporter gives no id of the device's own, its serial number
    is taken, else its index with the machine's name before it.

    :param vendor: its name, or how to tell it from the model
    """

    def find(labels: Mapping[str, str]) -> Seen | None:
        index = known(labels, name)
        own = known(labels, id) or known(labels, serial)
        if not own and not index:
            return None
        kind = known(labels, model)
        maker = vendor if isinstance(vendor, str) else vendor(kind)
        return Seen(
            Device(
                own or "/".join(part for part in (known(labels, HOST), maker, index) if part),
                index, maker, kind, serial=known(labels, serial), driver_version=known(labels, driver),
                firmware_version=known(labels, firmware), pci_address=known(labels, pci),
            )
        )  # fmt: skip

    return find


def with_parts(
    find: Identify, part: Callable[[Mapping[str, str]], str], profile: tuple[str, ...] = (), id: tuple[str, ...] = ()
) -> Identify:
    """
    Devices that may be partitions of the card that `find` sees.

    :param part: labels to what names the partition on its card, empty for the card itself
    :param id: labels with the partition's own id, where the exporter gives it
    """

    def refine(labels: Mapping[str, str]) -> Seen | None:
        seen = find(labels)
        which = part(labels)
        if seen is None or not which:
            return seen
        card = seen.device
        return Seen(
            msgspec.structs.replace(
                card, id=known(labels, id) or f"{card.id}/{which}", name=f"{card.name}:{which}",
                parent=card.id, profile=known(labels, profile),
            ),
            card,
        )  # fmt: skip

    return refine


_MAKERS: Final = (
    ("nvidia", ("nvidia", "geforce", "tesla", "quadro", "rtx")), ("amd", ("amd", "instinct", "radeon")),
    ("ascend", ("ascend", "910", "310p")), ("gaudi", ("gaudi", "hl-")), ("cambricon", ("mlu", "cambricon")),
    ("hygon", ("dcu", "hygon")), ("metax", ("metax", "mxc")), ("moore_threads", ("mtt", "mthreads")),
    ("iluvatar", ("iluvatar",)), ("enflame", ("enflame", "gcu")), ("kunlunxin", ("kunlun", "p800")),
    ("google", ("tpu",)), ("intel", ("intel",)), ("apple", ("apple",)),
)  # fmt: skip


def maker_of(model: str) -> str:
    """Vendor by the name of the model, for exporters of many vendors; empty when nothing in it tells."""
    plain = model.lower()
    return next((maker for maker, marks in _MAKERS if any(mark in plain for mark in marks)), "")


def _is_name(text: str) -> bool:
    return _KUBERNETES_NAME.fullmatch(text) is not None
