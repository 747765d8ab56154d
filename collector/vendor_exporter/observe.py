"""A page and its table to what every device said. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from collector._pages.labels import Fold
from collector._pages.page import Family, Page
from collector.accelerators.driver import Device, Measured
from collector.accelerators.places import Place
from collector.accelerators.sanity import is_sane
from collector.vendor_exporter.absent import is_absent
from collector.vendor_exporter.identity import PLACE_LABELS, place_of
from collector.vendor_exporter.table import Codes, From, Row, States, Table, unlisted
from watchkeeper.core.records import Labels
from watchkeeper.core.vocabulary import devices as vocabulary
from watchkeeper.core.vocabulary.faults import KnownFault

_POSITIVE: Final = (vocabulary.MEMORY_LIMIT, vocabulary.POWER_LIMIT)
"""what is 0 of these is not there"""


class Held(msgspec.Struct, frozen=True):
    """A number of one container on a device."""

    place: Place
    measured: Measured


class Sighting(msgspec.Struct, frozen=True):
    """
    One device on the page. `totals` are running totals by fault code, `codes` those that stand there now; None where
    the page has neither. `look_up` knows the codes.
    """

    device: Device
    places: tuple[Place, ...] = ()
    measured: tuple[Measured, ...] = ()
    held: tuple[Held, ...] = ()
    totals: Mapping[str, float] | None = None
    codes: frozenset[str] | None = None
    look_up: Callable[[str], KnownFault] = unlisted


class Observation(msgspec.Struct, frozen=True):
    """`mapped` and `unmapped` count label sets of the page, `invalid` numbers that cannot be right, by metric."""

    sightings: Mapping[str, Sighting]
    mapped: int
    unmapped: int
    invalid: Mapping[str, int]


_Pairs = frozenset[tuple[str, str]]


class _Whose(msgspec.Struct, frozen=True):
    """
    What a label set tells. `apart` and `apart_of_card` tell a series from its repetition for another pod, and from that
    for another partition of its card.
    """

    labels: Mapping[str, str]
    device: Device
    card: Device | None
    place: Place | None
    apart: _Pairs
    apart_of_card: _Pairs


class _Entry(msgspec.Struct, frozen=True):
    whose: _Whose
    value: float


def observe(page: Page, table: Table) -> Observation:
    """Whatever the page holds: nothing in it raises."""
    view = _View(page, table)
    sightings = {device.id: view.sighting(device) for device in view.devices.values()}
    return Observation(sightings, view.mapped, view.series - view.mapped, view.invalid)


class _View:
    """The page by family and device."""

    def __init__(self, page: Page, table: Table) -> None:
        self.devices: dict[str, Device] = {}
        self.invalid: Counter[str] = Counter(page.invalid)
        self.mapped = 0
        self.series = sum(len(family.series) for family in page.families.values())
        self._page = page
        self._table = table
        self._known_labels: dict[Labels, _Whose | None] = {}
        self._places: defaultdict[str, dict[Place, None]] = defaultdict(dict)
        self._own: defaultdict[tuple[str, str], list[_Entry]] = defaultdict(list)
        self._of_card: defaultdict[tuple[str, str], list[_Entry]] = defaultdict(list)
        for name in sorted(table.families):
            family = _find(page, table, name)
            if family is not None:
                self._take(name, family)

    def _take(self, name: str, family: Family) -> None:
        self.mapped += len(family.series)
        for series in family.series:
            whose = self._whose_is(series.labels)
            if whose is None or not isinstance(series.value, float):
                continue
            entry = _Entry(whose, series.value)
            self._own[(name, whose.device.id)].append(entry)
            self._of_card[(name, (whose.card or whose.device).id)].append(entry)

    def _whose_is(self, pairs: Labels) -> _Whose | None:
        """Looked up once for all families, which mostly have the same label sets."""
        if pairs in self._known_labels:
            return self._known_labels[pairs]
        labels = dict(pairs)
        seen = self._table.device(labels)
        whose = None
        if seen is not None:
            self._know(seen.device)
            if seen.card is not None:
                self._know(seen.card)
            place = place_of(labels)
            if place is not None:
                self._places[seen.device.id][place] = None
            apart = frozenset(pair for pair in pairs if pair[0] not in PLACE_LABELS)
            of_card = frozenset(pair for pair in apart if pair[0] not in self._table.part_labels)
            whose = _Whose(labels, seen.device, seen.card, place, apart, of_card)
        self._known_labels[pairs] = whose
        return whose

    def _know(self, device: Device) -> None:
        """A device in all series together: one may have labels that another lacks."""
        known = self.devices.get(device.id)
        if known is None:
            self.devices[device.id] = device
        elif known != device:
            news = {
                field: getattr(device, field)
                for field in device.__struct_fields__
                if not getattr(known, field) and getattr(device, field)
            }
            self.devices[device.id] = msgspec.structs.replace(known, **news)

    def sighting(self, device: Device) -> Sighting:
        """Numbers of the card are filed under the card: a partition has none of them."""
        rows = self._table.rows
        measured = [one for row in rows if not row.by_holder for one in self._measured(row, self._entries(row), device)]
        measured += [one for states in self._table.states for one in self._states(states, device)]
        held = [one for row in rows if row.by_holder for one in self._held(row, device)]
        places = _named(self._places[device.id])
        codes = None if device.parent else self._codes_told()
        if codes is None:
            return Sighting(device, places, tuple(measured), tuple(held))
        entries = [entry for name in codes.families for entry in self._of_card.get((name, device.id), ())]
        totals = _totals(codes, entries) if codes.total_by else None
        standing = None if codes.total_by else _standing(codes, entries)
        return Sighting(device, places, tuple(measured), tuple(held), totals, standing, codes.known)

    def _entries(self, row: Row) -> Mapping[tuple[str, str], Sequence[_Entry]]:
        return self._of_card if row.of_card else self._own

    def _measured(
        self, row: Row, entries: Mapping[tuple[str, str], Sequence[_Entry]], device: Device
    ) -> Iterator[Measured]:
        for source in row.sources:
            values = self._values(row, source, entries, device)
            if values:
                yield from (Measured(row.metric, value, labels) for labels, value in values.items())
                return

    def _held(self, row: Row, device: Device) -> Iterator[Held]:
        """A number for each container, added up over what of the device it has."""
        for place in self._places[device.id]:
            entries = {
                key: [entry for entry in found if entry.whose.place == place]
                for key, found in self._own.items()
                if key[1] == device.id
            }
            yield from (Held(place, measured) for measured in self._measured(row, entries, device))

    def _values(
        self, row: Row, source: From, entries: Mapping[tuple[str, str], Sequence[_Entry]], device: Device
    ) -> dict[Labels, float]:
        """The numbers of one device from one source, by labels; none where a part of it is missing."""
        summed = self._folded(row, source, source.name, entries, device)
        for more, is_needed in (*((name, True) for name in source.plus), *((name, False) for name in source.perhaps)):
            added = self._folded(row, source, more, entries, device)
            if is_needed:
                summed = {labels: value for labels, value in summed.items() if labels in added}
            for labels in summed:
                summed[labels] += added.get(labels, 0.0)
        sane = {}
        for labels, value in summed.items():
            if value == 0 and row.metric in _POSITIVE:
                continue
            if is_sane(value, row.metric):
                sane[labels] = value
            else:
                self.invalid[row.metric.name] += 1
        return sane

    def _folded(
        self, row: Row, source: From, name: str, entries: Mapping[tuple[str, str], Sequence[_Entry]], device: Device
    ) -> dict[Labels, float]:
        told: defaultdict[Labels, dict[_Pairs, float]] = defaultdict(dict)
        for entry in entries.get((name, device.id), ()):
            labels = _labels(row, source, entry.whose.labels)
            if labels is None or is_absent(entry.value, row.metric):
                continue
            value = source.value(entry.value, self._page) if source.value is not None else entry.value
            if value is not None:
                which = entry.whose.apart_of_card if row.of_card else entry.whose.apart
                told[labels][which] = max(_scaled(value, source.scale), told[labels].get(which, float("-inf")))
        return {labels: _fold(list(values.values()), source.fold) for labels, values in told.items()}

    def _states(self, states: States, device: Device) -> Iterator[Measured]:
        entries = self._of_card if states.of_card else self._own
        for name in states.sources:
            counts: Counter[str] = Counter()
            told = {
                entry.whose.apart_of_card if states.of_card else entry.whose.apart: entry.value
                for entry in entries.get((name, device.id), ())
                if not is_absent(entry.value, states.metric)
            }
            meant = [active for value in told.values() if (active := states.active(value)) is not None]
            if meant:
                for active in meant:
                    counts.update(active)
                for state in states.names:
                    labels = (*states.constants, (states.label, state))
                    yield Measured(states.metric, float(counts[state]), labels)
                return

    def _codes_told(self) -> Codes | None:
        """Of the alternatives the first that the page has."""
        for codes in self._table.codes:
            if any(_find(self._page, self._table, name) is not None for name in codes.families):
                return codes
        return None


def _scaled(value: float, scale: float) -> float:
    """By division where the scale is a part of one: 70 percent are 0.7 and not the number beside it."""
    return value * scale if scale >= 1 else value / round(1 / scale)


def _find(page: Page, table: Table, name: str) -> Family | None:
    for prefix in ("", *table.prefixes):
        found = page.find(prefix + name)
        if found is not None:
            return found[1]
    return None


def _labels(row: Row, source: From, theirs: Mapping[str, str]) -> Labels | None:
    """None for a series that is not meant."""
    if not all(theirs.get(label, values[0]) in values for label, values in source.having):
        return None
    kept = []
    for label in source.labels:
        if label.theirs in theirs:
            translated = label.translate(theirs[label.theirs])
            if translated is None:
                return None
            kept.append((label.ours, translated))
    return (*row.constants, *source.constants, *kept)


def _totals(codes: Codes, entries: Collection[_Entry]) -> Mapping[str, float]:
    totals: dict[str, float] = {}
    for entry in entries:
        code = next((entry.whose.labels[name] for name in codes.total_by if entry.whose.labels.get(name)), "")
        if code not in ("", "0") and entry.value >= 0 and not is_absent(entry.value, vocabulary.FAULT_CODES):
            totals[code] = max(entry.value, totals.get(code, 0.0))
    return totals


def _standing(codes: Codes, entries: Collection[_Entry]) -> frozenset[str]:
    values = (entry.value for entry in entries if not is_absent(entry.value, vocabulary.FAULT_CODES))
    return frozenset(codes.spelled(value) for value in values if value > 0)


def _fold(values: Sequence[float], fold: Fold) -> float:
    if fold is Fold.SUM:
        return sum(values)
    return sum(values) / len(values) if fold is Fold.MEAN else max(values)


def _named(places: Collection[Place]) -> tuple[Place, ...]:
    """A container named in full makes the same one named in part superfluous."""
    whole = {(place.namespace, place.pod) for place in places if place.container}
    return tuple(place for place in places if place.container or (place.namespace, place.pod) not in whole)
