"""What `watchkeeper doctor` tells of accelerators: libraries, devices, what cannot be read, and what to do."""

import ctypes
import logging
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from collector.accelerators.driver import Sampled, VendorPart
from collector.accelerators.vendor import Vendor
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Reason

_LOG: Final = logging.getLogger("watchkeeper.accelerators")
PATIENCE_SECONDS: Final = 5.0
_ADVICE: Final = {
    "lost": "Drain the node; reset the device or reboot",
    "reset_required": "Drain the node and reset the device",
    "not_permitted": "Run as a user who may read it",
    "hung": "Its driver does not answer: look into the kernel log, reset the device or reboot",
    "failing": "Look into the kernel log",
}


def probe(vendors: Sequence[VendorPart], now: float) -> tuple[str, ...]:
    """Every vendor's library is opened and every device read once; empty where there is none. Never raises."""
    _LOG.addHandler(logging.NullHandler())  # what vendors log is in the lines
    return tuple(line for part in vendors for line in _vendor(part, now))


def _vendor(part: VendorPart, now: float) -> Iterator[str]:
    file = part.device_file
    has_library = any(_loads(name) for name in (part.library, *part.paths))
    has_device = bool(file) and Path(file).exists()
    if not has_library:
        if has_device:
            yield f"! {part.title}: {file} is here and {part.library} is not. Needed: {part.needs}"
        return
    vendor = Vendor(part.name, part.make(lambda _call, _code: None), Ledger())
    try:
        vendor.tick(now, PATIENCE_SECONDS)
        yield from _found(part, vendor, has_device)
    finally:
        vendor.close()


def _found(part: VendorPart, vendor: Vendor, has_device: bool) -> Iterator[str]:
    if not vendor.is_open:
        why = vendor.trouble.removeprefix(f"{part.name}: ") or f"{part.library} is here and says that there is none"
        missing = (
            f"; {part.device_file} is missing: is the driver loaded?" if part.device_file and not has_device else ""
        )
        yield f"! {part.title}: {why}{missing}"
        return
    if has_device and not os.access(part.device_file, os.R_OK | os.W_OK):
        yield f"! {part.title}: {part.device_file} is not open to this user. Needed: {part.needs}"
    whole = [device for device in vendor.devices.values() if not device.parent]
    models = ", ".join(f"{count} x {model or 'unknown model'}" for model, count in _models(vendor).items())
    versions = ", ".join(sorted({device.driver_version for device in whole if device.driver_version}))
    partitions = len(vendor.devices) - len(whole)
    driver = f", driver {versions}" if versions else ""
    yield f"{part.title}: {models or 'no device'}{driver}" + (f", {partitions} partitions" if partitions else "")
    if vendor.unaddressable:
        yield f"! {part.title}: devices that cannot be addressed: {vendor.unaddressable}. {_ADVICE['lost']}"
    for key, reason in vendor.unreadable.items():
        yield f"! {part.title}: device {vendor.devices[key].name} cannot be read ({reason}). {_ADVICE[reason]}"
    yield from _missing(part, vendor.samples.values())


def _missing(part: VendorPart, samples: Collection[Sampled]) -> Iterator[str]:
    denied = sorted(
        {metric.name for sampled in samples for metric, why in sampled.missing if why is Reason.NOT_PERMITTED}
    )
    if denied:
        yield f"! {part.title}: not permitted to read {', '.join(denied)}. Needed: {part.needs}"


def _models(vendor: Vendor) -> Counter[str]:
    return Counter(device.model for device in vendor.devices.values() if not device.parent)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
