"""What a table says: which family of an exporter's page becomes which metric of the vocabulary, in which unit."""

from collections.abc import Callable, Collection, Mapping, Set
from typing import Final

import msgspec

from collector._pages.labels import Fold, Label
from collector._pages.page import Page
from collector.accelerators.status import STATES
from collector.vendor_exporter.identity import Identify
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels, Severity
from watchkeeper.core.vocabulary import devices
from watchkeeper.core.vocabulary.faults import FaultClass, KnownFault

PERCENT: Final = 0.01
MILLI: Final = 1e-3
MICRO: Final = 1e-6
NANO: Final = 1e-9
KIB: Final = 1024.0
MIB: Final = 1024.0 * 1024.0
MEGA: Final = 1e6

GENERAL: Final[Labels] = (("hw.gpu.task", "general"),)
CHIP: Final[Labels] = (("hw.sensor_location", "chip"),)
MEMORY: Final[Labels] = (("hw.sensor_location", "memory"),)
BOARD: Final[Labels] = (("hw.sensor_location", "board"),)
CORE_CLOCK: Final[Labels] = (("clock", "core"),)
MEMORY_CLOCK: Final[Labels] = (("clock", "memory"),)
CORRECTED: Final[Labels] = (("hw.type", "gpu"), ("error.type", "corrected"))
UNCORRECTED: Final[Labels] = (("hw.type", "gpu"), ("error.type", "uncorrected"))
PCIE: Final[Labels] = (("link", "pcie"),)
METER: Final[Labels] = (("watchkeeper.obtained", "meter"),)


class From(msgspec.Struct, frozen=True):
    """
    One family, named as the exporter writes it; its number times `scale` is in the metric's unit.

    `having` keeps the series whose label has one of these values, or that do not have the label. Series of one device
    that end on the same labels become one by `fold`; those that differ only in whose pod they name are the same number
    and count once. `plus` are families of the same device that are added and must be there, `perhaps` such as need not.
    `value` reads a number that a scale alone does not make right, given the page it is on.
    """

    name: str
    scale: float = 1.0
    labels: tuple[Label, ...] = ()
    constants: Labels = ()
    having: tuple[tuple[str, tuple[str, ...]], ...] = ()
    fold: Fold = Fold.MAX
    plus: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()
    value: Callable[[float, Page], float | None] | None = None


class Row(msgspec.Struct, frozen=True):
    """
    One metric and the families it can come from: for each device the first one that has it.

    `of_card`: a partition says the number of the whole card, which gets it. `by_holder`: one number for every container
    that has the device, not one for the device.
    """

    metric: Metric
    sources: tuple[From, ...]
    constants: Labels = ()
    of_card: bool = False
    by_holder: bool = False


class States(msgspec.Struct, frozen=True):
    """
    A number that stands for states. `active` gives those that it means, None when it says nothing; `names` are all that
    it can mean, so that the others are told as 0. Several series of a device (its links) are counted.
    """

    metric: Metric
    label: str
    names: tuple[str, ...]
    sources: tuple[str, ...]
    active: Callable[[float], Collection[str] | None]
    constants: Labels = ()
    of_card: bool = False


class Codes(msgspec.Struct, frozen=True):
    """
    Fault codes of a device: in running totals by the label `total_by`, or as the value itself (the last code, or one
    that holds now). Of several the first one that the page has is used. `known` looks a code up.
    """

    families: tuple[str, ...]
    known: Callable[[str], KnownFault]
    total_by: tuple[str, ...] = ()
    spelled: Callable[[float], str] = lambda value: f"{value:.0f}"


class Table(msgspec.Struct, frozen=True):
    """
    One exporter.

    `matches` sees all family names of a page. `device` tells from a series' labels whose it is. `codes` are
    alternatives. `placed_by` are families that only tell which container has a device, `part_labels` labels that
    tell partitions of a card apart. `prefixes` may stand before every name. `reference` is what the table was made
    from.
    """

    name: str
    title: str
    vendors: tuple[str, ...]
    matches: Callable[[Set[str]], bool]
    device: Identify
    rows: tuple[Row, ...]
    reference: str
    port: int
    states: tuple[States, ...] = ()
    codes: tuple[Codes, ...] = ()
    placed_by: tuple[str, ...] = ()
    part_labels: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    @property
    def obtained(self) -> Mapping[Metric, str]:
        """For every metric that the exporter can fill, the families it comes from: its column of the support matrix."""
        found: dict[Metric, list[str]] = {}
        for row in self.rows:
            found.setdefault(row.metric, []).extend(source.name for source in row.sources)
        for states in self.states:
            found.setdefault(states.metric, []).extend(states.sources)
        for codes in self.codes:
            for metric in (devices.FAULTS, devices.FAULT_CODES):
                found.setdefault(metric, []).extend(codes.families)
        if devices.POWER in found and devices.ENERGY not in found:
            found[devices.ENERGY] = [f"{name} over time" for name in found[devices.POWER]]
        if devices.MEMORY_LIMIT in found and devices.MEMORY_USAGE in found:
            found.setdefault(devices.MEMORY_UTILIZATION, ["usage / limit"])
        return {metric: ", ".join(dict.fromkeys(names)) for metric, names in found.items()}

    @property
    def families(self) -> frozenset[str]:
        """Names of all families that some row knows."""
        named = [source for row in self.rows for source in row.sources]
        return frozenset(
            (
                *(name for source in named for name in (source.name, *source.plus, *source.perhaps)),
                *(name for states in self.states for name in states.sources),
                *(name for codes in self.codes for name in codes.families),
                *self.placed_by,
            )
        )


def either(*names: str, scale: float = 1.0) -> tuple[From, ...]:
    """One family under the names it had over time, always in the same unit."""
    return tuple(From(name, scale) for name in names)


def starting(*prefixes: str) -> Callable[[Set[str]], bool]:
    """A page some of whose names begin so."""
    return lambda names: any(name.startswith(prefixes) for name in names)


def any_of(*families: str) -> Callable[[Set[str]], bool]:
    """A page that has one of these."""
    return lambda names: not names.isdisjoint(families)


def unless_zero(value: float, _page: Page) -> float | None:
    """A number whose 0 means that there is no sensor."""
    return value or None


def health(*sources: str, states: Mapping[float, str]) -> States:
    """`hw.status` from a number; one that `states` does not have says nothing."""
    return States(
        devices.STATUS, "hw.state", STATES, sources,
        lambda value: (states[value],) if value in states else None, (("hw.type", "gpu"),), of_card=True,
    )  # fmt: skip


def unlisted(code: str) -> KnownFault:
    """A code of a vendor whose codes nobody listed here."""
    return KnownFault(code, "code of the vendor's", FaultClass.OTHER, Severity.WARNING, "look it up in its catalogue")
