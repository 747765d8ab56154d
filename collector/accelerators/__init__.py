"""
Source `accelerators`: reads the devices of this host through their vendors' libraries, in one vocabulary.

A vendor more is a folder (or file) with its driver and its name in VENDORS.
"""

import time
from typing import TYPE_CHECKING, Final

from collector.accelerators import amd, ascend, cambricon, gaudi, nvidia, placement
from collector.accelerators.config import AcceleratorsConfig
from collector.accelerators.driver import CountError, VendorPart
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import devices

if TYPE_CHECKING:
    from collector.accelerators.source import AcceleratorsSource

VENDORS: Final[tuple[VendorPart, ...]] = (nvidia.PART, ascend.PART, amd.PART, gaudi.PART, cambricon.PART)


def build(config: AcceleratorsConfig, ledger: Ledger) -> "AcceleratorsSource":
    from collector.accelerators.held import held_in
    from collector.accelerators.source import AcceleratorsSource
    from collector.accelerators.vendor import Vendor

    vendors = [
        Vendor(part.name, part.make(_counter(ledger, part.name)), ledger)
        for part in VENDORS
        if not config.vendors or part.name in config.vendors
    ]
    return AcceleratorsSource(
        vendors, placement.build(config.placement, ledger), config.interval_seconds, config.patience_seconds,
        held_in(ledger, asks=False),
    )  # fmt: skip


def problems(config: AcceleratorsConfig) -> tuple[str, ...]:
    """Vendors that nobody here knows."""
    known = [part.name for part in VENDORS]
    return tuple(
        f"accelerators.vendors: '{name}' is not one of {', '.join(known)}"
        for name in config.vendors
        if name not in known
    )


def probe(config: AcceleratorsConfig) -> tuple[str, ...]:
    """What `watchkeeper doctor` tells."""
    from collector.accelerators.doctor import probe as probe_vendors

    asked = [part for part in VENDORS if not config.vendors or part.name in config.vendors]
    found = probe_vendors(asked, time.time())
    if not found:  # then there is nothing to place either
        titles = ", ".join(part.title for part in asked)
        return (f"no accelerator found; looked for {titles}; device metrics stay absent",)
    return (*found, *placement.probe(config.placement))


def _counter(ledger: Ledger, vendor: str) -> CountError:
    def count(call: str, code: str) -> None:
        ledger.add(devices.CALL_ERRORS, 1, (("hw.vendor", vendor), ("call", call), ("code", code)))

    return count


PLUGIN: Final = Plugin(
    name="accelerators",
    summary=f"Accelerators of this host: {', '.join(part.title for part in VENDORS)}.",
    config=AcceleratorsConfig,
    build=build,
    metrics=devices.METRICS,
    roles=("run", "node"),
    interval_seconds=lambda config: config.interval_seconds,
    problems=problems,
    probe=probe,
)
