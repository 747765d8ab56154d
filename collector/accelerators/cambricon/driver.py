"""Cambricon through CNDev."""

import contextlib
import ctypes
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from collector.accelerators.cambricon import codes, structs
from collector.accelerators.cambricon.card import Card
from collector.accelerators.cambricon.events import Events
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
from collector.accelerators.roll_call import NOT_NOW, RollCall


class Cambricon:
    """`names` are what the dynamic linker is asked for, one after the other. CNDev's handles are numbers."""

    def __init__(self, count_error: CountError, names: Sequence[str]) -> None:
        self._count_error = count_error
        self._library = Native(names, codes.error)
        self._edges = Edges()
        self._events = Events(self._library)
        self._has_events = True
        self._roll: RollCall[tuple[Device, int]] = RollCall("cambricon", "cndevGetDeviceHandleByIndex", count_error)
        self._cards: Mapping[str, Card] = {}
        self._is_initialised = False

    def open(self) -> None:
        self._release()
        self._roll.forget()
        self._library.load()
        self._events, self._has_events = Events(self._library), True
        try:
            self._library.call("cndevInit", 0)
        except DriverError as failure:
            if failure.meaning in (Meaning.FAILING, Meaning.NOT_PERMITTED):
                raise
            raise DriverError(Meaning.NOT_LOADED, failure.code, failure.call) from None
        self._is_initialised = True

    def devices(self) -> Listing:
        listed: list[Device] = []
        cards: dict[str, Card] = {}
        count = structs.CardInfo(version=structs.VERSION)
        self._library.call("cndevGetDeviceCount", ctypes.byref(count))
        asked = {str(index): partial(self._look, index) for index in range(min(count.number, MOST_DEVICES))}
        found = self._roll.of(asked)
        for device, handle in found.values():
            cards[device.id] = self._card(device.id, handle)
            listed.append(device)
        self._cards = cards
        return Listing(tuple(listed), len(asked) - len(found))

    def _look(self, index: int) -> tuple[Device, int]:
        handle = self._handle(index)
        return self._describe(handle, index), handle

    def sample(self, device: Device, now: float) -> Sampled:
        card = self._cards.get(device.id)
        if card is None:
            raise DriverError(Meaning.STALE, "NOT_LISTED", "cndevGetDeviceHandleByIndex")
        return card.sample(now)

    def faults(self, timeout_seconds: float) -> Sequence[Fault]:
        """XIDs as they happen, and what a card's health report lists from now on."""
        if not self._has_events:
            return self._edges.wait(timeout_seconds)
        handles = {card.handle: key for key, card in self._cards.items()}
        try:
            found = self._events.wait(handles, timeout_seconds, time.time()) if handles else ()
        except DriverError as failure:
            if failure.meaning not in (Meaning.UNSUPPORTED, Meaning.NOT_PERMITTED):
                raise
            if failure.meaning is Meaning.NOT_PERMITTED:
                self._count_error(failure.call, failure.code)
            self._has_events = False
            found = ()
        return (*found, *self._edges.wait(0.0 if handles else timeout_seconds))

    def close(self) -> None:
        self._roll.stop()
        self._release()

    def _release(self) -> None:
        self._cards = {}
        if self._is_initialised:
            self._is_initialised = False
            with contextlib.suppress(DriverError):
                self._library.call("cndevRelease")

    def _handle(self, index: int) -> int:
        """Libraries without handles are asked by index."""
        handle = ctypes.c_int(index)
        try:
            self._library.call("cndevGetDeviceHandleByIndex", index, ctypes.byref(handle))
        except DriverError as failure:
            if failure.code != "SYMBOL_NOT_FOUND":
                raise
        return handle.value

    def _card(self, device_id: str, handle: int) -> Card:
        """What is known of it from the last listing, if its handle is still the same."""
        kept = self._cards.get(device_id)
        if kept is not None and kept.handle == handle:
            return kept
        return Card(self._library, handle, device_id, self._edges, self._count_error)

    def _describe(self, handle: int, index: int) -> Device:
        uuid = _words(self._get("cndevGetUUID", structs.Uuid, handle).uuid)
        if not uuid:
            raise DriverError(Meaning.FAILING, "NO_UUID", "cndevGetUUID")
        versions = self._optional(lambda: self._get("cndevGetVersionInfo", structs.Versions, handle), None)
        serial = self._optional(lambda: self._get("cndevGetCardSN", structs.CardSn, handle).sn, 0)
        return Device(
            id=uuid if uuid.startswith("MLU-") else f"MLU-{uuid}",
            name=str(index),
            vendor="cambricon",
            model=self._optional(lambda: self._model(handle), ""),
            serial=f"{serial:x}" if serial else "",
            driver_version=_version(versions and versions.driver),
            firmware_version=_version(versions and versions.mcu),
            pci_address=self._optional(lambda: self._pci_address(handle), ""),
            aliases=(f"cambricon_dev{index}",),
        )

    def _model(self, handle: int) -> str:
        return _words(self._library.function("cndevGetCardNameStringByDevId", ctypes.c_char_p)(handle) or b"")

    def _pci_address(self, handle: int) -> str:
        info = structs.PcieInfo()
        self._library.call("cndevGetPCIeInfoV2", ctypes.byref(info), handle)
        return f"{info.domain & 0xFFFF:04x}:{info.bus:02x}:{info.device:02x}.{info.function:x}"

    def _get(self, call: str, layout: Callable[..., Any], handle: int) -> Any:
        out = layout(version=structs.VERSION)
        self._library.call(call, ctypes.byref(out), handle)
        return out

    def _optional(self, read: Callable[[], Any], otherwise: Any) -> Any:
        """Part of the inventory, if it is told."""
        try:
            return read()
        except DriverError as failure:
            if failure.meaning in NOT_NOW:
                raise
            return otherwise


def _version(numbers: Sequence[int] | None) -> str:
    return ".".join(str(number) for number in numbers) if numbers and any(numbers) else ""


def _words(raw: bytes) -> str:
    return raw.decode(errors="replace").strip()
