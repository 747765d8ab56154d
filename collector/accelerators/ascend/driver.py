"""Huawei Ascend through DCMI."""

import ctypes
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from collector.accelerators.ascend import codes, structs
from collector.accelerators.ascend.chip import Chip
from collector.accelerators.driver import (
    MOST_DEVICES,
    CountError,
    Device,
    DriverError,
    Fault,
    Listing,
    Meaning,
    Sampled,
)
from collector.accelerators.edges import Edges
from collector.accelerators.native import Native
from collector.accelerators.roll_call import RollCall

_LIST_CALL: Final = "dcmi_get_card_list"
_NOT_TOLD: Final = (Meaning.UNSUPPORTED, Meaning.NOT_PERMITTED, Meaning.NO_SAMPLE)
_SAYS_NOTHING: Final = frozenset(("", "na", "n/a", "none", "unknown"))


class _Unit(msgspec.Struct, frozen=True):
    """One unit of a card, who it is and what it is called where it has no id of its own; `device` None: no NPU."""

    place: tuple[int, int]
    device: Device | None = None
    otherwise: str = ""


class Ascend:
    """`names` are what the dynamic linker is asked for, one after the other."""

    def __init__(self, count_error: CountError, names: Sequence[str]) -> None:
        self._count_error = count_error
        self._library = Native(names, codes.error)
        self._edges = Edges()
        self._cards: RollCall[int] = RollCall("ascend-cards", "dcmi_get_device_num_in_card", count_error)
        self._units: RollCall[_Unit] = RollCall("ascend", "dcmi_get_device_logic_id", count_error)
        self._chips: Mapping[str, Chip] = {}
        self._version = ""

    def open(self) -> None:
        self._chips = {}
        self._cards.forget()
        self._units.forget()
        self._library.load()
        try:
            self._library.call("dcmi_init")
        except DriverError as failure:
            if failure.meaning in (Meaning.FAILING, Meaning.NOT_PERMITTED):
                raise
            raise DriverError(Meaning.NOT_LOADED, failure.code, failure.call) from None
        self._version = self._text("dcmi_get_driver_version", 64)

    def devices(self) -> Listing:
        listed: list[Device] = []
        chips: dict[str, Chip] = {}
        cards = {str(card): partial(self._chips_on, card) for card in self._card_numbers()}
        counts = {int(card): count for card, count in self._cards.of(cards).items()}
        places = [(card, number) for card, count in counts.items() for number in range(min(count, MOST_DEVICES))]
        units = self._units.of({f"{card}.{number}": partial(self._look, card, number) for card, number in places})
        unaddressable = len(cards) - len(counts) + len(places) - len(units)
        for unit in units.values():
            if unit.device is None:
                continue
            device = unit.device
            if device.id in chips:
                device = msgspec.structs.replace(device, id=unit.otherwise)
            listed.append(device)
            chips[device.id] = self._chip(device, unit.place, counts[unit.place[0]])
        if unaddressable and not chips and self._chips:
            raise DriverError(Meaning.RESTARTED, "ALL_LOST", _LIST_CALL)  # the driver may have been replaced underneath
        self._chips = chips
        return Listing(tuple(sorted(listed, key=lambda device: int(device.name))), unaddressable)

    def sample(self, device: Device, now: float) -> Sampled:
        chip = self._chips.get(device.id)
        if chip is None:
            raise DriverError(Meaning.STALE, "NOT_LISTED", _LIST_CALL)
        return chip.sample(now)

    def faults(self, timeout_seconds: float) -> Sequence[Fault]:
        return self._edges.wait(timeout_seconds)

    def close(self) -> None:
        """DCMI has nothing to be called at the end."""
        self._cards.stop()
        self._units.stop()
        self._chips = {}

    def _card_numbers(self) -> Sequence[int]:
        cards = (ctypes.c_int * structs.MOST_CARDS)()
        try:
            count = self._number(_LIST_CALL, after=(cards, structs.MOST_CARDS))
        except DriverError as failure:
            if failure.meaning is Meaning.LOST:
                return ()
            raise
        return [card for card in cards[: min(max(count, 0), structs.MOST_CARDS)] if card >= 0]

    def _chips_on(self, card: int) -> int:
        """NPUs of a card; they are numbered from 0, its micro-controller behind them."""
        try:
            return self._number("dcmi_get_device_num_in_card", card)
        except DriverError as failure:
            if failure.meaning is not Meaning.UNSUPPORTED:
                raise
            return self._number("dcmi_get_device_id_in_card", card, after=(_int(), _int()))

    def _look(self, card: int, number: int) -> _Unit:
        place = (card, number)
        if self._optional(lambda: self._number("dcmi_get_device_type", card, number), structs.NPU) != structs.NPU:
            return _Unit(place)
        logic = ctypes.c_int()
        self._library.call("dcmi_get_device_logic_id", ctypes.byref(logic), card, number)
        index = self._optional(lambda: self._number("dcmi_get_device_phyid_from_logicid", logic.value), logic.value)
        pci = self._optional(lambda: self._pci_address(card, number), "")
        otherwise = f"ascend-{pci or f'{card}-{number}'}"
        device = Device(
            id=self._optional(lambda: self._die(card, number), "") or otherwise,
            name=str(index),
            vendor="ascend",
            model=self._optional(lambda: self._model(card, number), ""),
            serial=self._serial(card),
            driver_version=self._version,
            pci_address=pci,
            aliases=(f"davinci{index}",),
        )
        return _Unit(place, device, otherwise)

    def _chip(self, device: Device, place: tuple[int, int], sharing: int) -> Chip:
        """What is known of it from the last listing, if it is still in its place."""
        kept = self._chips.get(device.id)
        if kept is not None and kept.place == place:
            return kept
        return Chip(self._library, device.id, place, device.model, sharing, self._edges, self._count_error)

    def _die(self, card: int, number: int) -> str:
        """The id that the vendor's tools show as VDie, or empty."""
        die = structs.DieId()
        self._library.call("dcmi_get_device_die_v2", card, number, structs.VDIE, ctypes.byref(die))
        return "-".join(f"{part:08X}" for part in die.soc_die) if any(die.soc_die) else ""

    def _model(self, card: int, number: int) -> str:
        info = structs.ChipInfo()
        try:
            self._library.call("dcmi_get_device_chip_info_v2", card, number, ctypes.byref(info))
        except DriverError as failure:
            if failure.meaning is not Meaning.UNSUPPORTED:
                raise
            self._library.call("dcmi_get_device_chip_info", card, number, ctypes.byref(info))
        kind, name = _words(info.chip_type), _words(info.chip_name)
        own = _words(info.npu_name)
        return own or (name if name.startswith(kind) else f"{kind} {name}")

    def _pci_address(self, card: int, number: int) -> str:
        info = structs.PcieInfo()
        self._library.call("dcmi_get_device_pcie_info_v2", card, number, ctypes.byref(info))
        return f"{info.domain & 0xFFFF:04x}:{info.bus:02x}:{info.device:02x}.{info.function:x}"

    def _serial(self, card: int) -> str:
        label = structs.Elabel()
        try:
            self._library.call("dcmi_get_card_elabel_v2", card, ctypes.byref(label))
        except DriverError:
            return ""
        return _words(label.serial_number)

    def _text(self, call: str, room: int) -> str:
        text = ctypes.create_string_buffer(room)
        try:
            self._library.call(call, text, room)
        except DriverError:
            return ""
        return _words(text.value)

    def _number(self, call: str, *before: Any, after: Sequence[Any] = ()) -> int:
        out = ctypes.c_int()
        self._library.call(call, *before, ctypes.byref(out), *after)
        return out.value

    def _optional(self, read: Any, otherwise: Any) -> Any:
        """What a device can do without, if this library or this place does not tell it."""
        try:
            return read()
        except DriverError as failure:
            if failure.meaning in _NOT_TOLD:
                return otherwise
            raise


def _int() -> Any:
    return ctypes.byref(ctypes.c_int())


def _words(raw: bytes) -> str:
    text = raw.decode(errors="replace").strip()
    return "" if text.lower() in _SAYS_NOTHING else text
