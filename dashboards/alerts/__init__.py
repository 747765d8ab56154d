"""Every alert, one file per area. `catalogue` is all of it for one set of values."""

from collections.abc import Callable
from types import ModuleType
from typing import Final

import msgspec

from dashboards.alert import Alert, Area, Group, Proof
from dashboards.alerts import accelerators, cost, data_drift, monitor, output, saturation, slo
from dashboards.values import Values

AREAS: Final[tuple[tuple[Area, ModuleType], ...]] = (
    ("slo", slo),
    ("saturation", saturation),
    ("accelerator", accelerators),
    ("data_drift", data_drift),
    ("output", output),
    ("cost", cost),
    ("monitor", monitor),
)


class Chapter(msgspec.Struct, frozen=True):
    """What one area records and alerts on."""

    area: Area
    groups: tuple[Group, ...]
    alerts: tuple[Alert, ...]
    proofs: tuple[Proof, ...]


def catalogue(values: Values) -> tuple[Chapter, ...]:
    """All areas, without those that are left out."""
    chapters = []
    for area, module in AREAS:
        make_alerts: Callable[[Values], tuple[Alert, ...]] = module.alerts
        make_groups: Callable[[Values], tuple[Group, ...]] = getattr(module, "groups", _none)
        wanted = tuple(alert for alert in make_alerts(values) if alert.name not in values.leave_out)
        chapters.append(Chapter(area, make_groups(values), wanted, getattr(module, "PROOFS", ())))
    return tuple(chapters)


def _none(_: Values) -> tuple[Group, ...]:
    return ()
