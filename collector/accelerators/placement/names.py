"""
Is a name that a device plugin gave one of our devices?

Plugins name devices as they like: UUID, PCI address, index. A name that is the only one of its kind in the world (or
on the host: a PCI address) counts whoever uses it. A short one counts only from a plugin of the device's vendor,
because a network plugin has a device "0" as well.
"""

import re
from typing import Final

from collector.accelerators.driver import Device

_RESOURCES: Final = {
    "nvidia": r"nvidia\.com/(gpu|mig-).*|(k8s\.)?gpu\.nvidia\.com(/.*)?",
    "ascend": r"huawei\.com/(ascend|npu).*|npu\.huawei\.com",
    "cambricon": r"cambricon\.com/.*",
    "amd": r"amd\.com/.*|(k8s\.)?gpu\.amd\.com(/.*)?",
    "gaudi": r"habana\.ai/.*|gaudi\.intel\.com|(k8s\.)?intel\.com/gaudi.*",
}
"""by vendor: the resources, DRA drivers and CDI kinds that are its accelerators; nvidia.com has network devices too"""
_NUMBERED: Final = {
    "nvidia": r"(?:nvidia|gpu-)?(\d+)",
    "ascend": r"(?:ascend[0-9a-z]*-(?:[0-9]+c[0-9a-z._]*-\d+-)?|npu-|davinci)?(\d+)",  # Ascend910-2c-100-3: a part of 3
    "cambricon": r"(?:cambricon_dev|mlu-?)?(\d+)",
    "amd": r"(\d+)",
    "gaudi": r"(?:hl|accel|gaudi-)?(\d+)",
}
"""by vendor: short names that hold the device's number"""
_LONG: Final = 10
"""names of at least so many characters are nobody else's: UUIDs and serial numbers"""
_PCI: Final = re.compile(r"(?:0000)?([0-9a-f]{4}[:-][0-9a-f]{2}[:-][0-9a-f]{2}[.-][0-7])(?![0-9a-z]).*")
_SHARED: Final = re.compile(r"(::|-_-|--fake--|/vgpu|/mxgpu).*$")
"""what plugins put behind a name when they give a device to several: Kubernetes, shares by memory, SR-IOV, GKE, AMD"""
_CLAIM: Final = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-(?=[a-z])")
"""what NVIDIA's DRA driver puts before a device in its CDI name: the claim; before a number it is a device's UUID"""
_NODE: Final = re.compile(r"(?:nvidia|accel)(\d+)")


def is_accelerator(resource: str) -> bool:
    """A resource of one of the vendors that are read here."""
    return any(re.fullmatch(resources, resource.lower()) for resources in _RESOURCES.values())


def means(given: str, resource: str, device: Device) -> bool:
    """Whether a plugin that offers `resource` means `device` by `given`."""
    name = given.lower()
    whole = not device.parent  # a partition has the serial number and the address of its parent
    if _is_long_name(name, device.id.lower()) or (whole and _is_long_name(name, device.serial.lower())):
        return True
    if whole and device.pci_address and pci(name) == pci(device.pci_address.lower()) != "":
        return True
    if re.fullmatch(_RESOURCES.get(device.vendor, r"(?!)"), resource.lower()) is None:
        return False
    short = _SHARED.sub("", _CLAIM.sub("", name))
    return short in _short_names(device) or (whole and _number(short, device.vendor) == _own_number(device))


def pci(name: str) -> str:
    """A PCI address in one spelling (`0000:1a:00.0`), or empty. Drivers write its domain with 4 or 8 digits."""
    found = _PCI.fullmatch(name)
    return re.sub("[-.]", ":", found[1]) if found else ""


def _is_long_name(name: str, own: str) -> bool:
    """The device's own name, or that and what a plugin put behind it."""
    if len(own) < _LONG or not name.startswith(own):
        return False
    return len(name) == len(own) or not name[len(own)].isalnum()


def _short_names(device: Device) -> tuple[str, ...]:
    return tuple(alias.lower() for alias in device.aliases)


def _number(name: str, vendor: str) -> str | None:
    found = re.fullmatch(_NUMBERED.get(vendor, r"(?!)"), name)
    return found[1] if found else None


def _own_number(device: Device) -> str:
    """Of NVIDIA's and Gaudi's the number of the device file, which need not be the index."""
    files = (_NODE.fullmatch(alias) for alias in device.aliases)
    return next((file[1] for file in files if file), device.name)
