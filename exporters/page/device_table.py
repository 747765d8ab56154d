"""The accelerators as a table. Pure."""

from collections.abc import Sequence
from typing import Final

from exporters.page.devices import FINE, Device
from exporters.page.figures import Figure, count, share, size
from exporters.page.markup import Child, Html, element, fragment
from exporters.page.parts import absent, bar, dot, figure, more, section, table
from exporters.page.words import Words

MAX_DEVICES: Final = 24
_MOST_PODS: Final = 2
"""of a device that several share, named"""


def accelerators(devices: Sequence[Device], words: Words) -> Html:
    """In the order they come in."""
    is_placed = any(device.pods for device in devices)
    labels = [
        words.accelerator, words.state, words.device_busy, words.device_memory, words.temperature, words.power
    ]  # fmt: skip
    rows: list[list[Child]] = [
        [
            _named(device, is_placed, words),
            _state(device, words),
            _busy(device, words),
            _memory(device, words),
            _temperature(device, words),
            _power(device, words),
        ]
        for device in devices[:MAX_DEVICES]
    ]
    return section(
        "devices",
        fragment(words.accelerators, element("small", f" {_total(devices)}")),
        table("devices", [*labels], rows, labels),
        more(len(devices) - MAX_DEVICES, words.more),
    )


def _total(devices: Sequence[Device]) -> str:
    """How many, and what they draw together."""
    powers = [device.power for device in devices if device.power is not None]
    return " · ".join((str(len(devices)), *((str(_watts(sum(powers))),) if powers else ())))


def _named(device: Device, is_placed: bool, words: Words) -> Html:
    """`is_placed`: pods of some device are known, so that one without is free."""
    name = " ".join(filter(None, (device.vendor, device.name))) or device.id
    pods = words.listed(device.pods, _MOST_PODS) or (words.free if is_placed else "")
    return fragment(
        element("b", name, title=device.id),
        element("small", device.model) if device.model else None,
        element("small", pods, class_="under") if pods else None,
    )


def _state(device: Device, words: Words) -> Html:
    if device.up and device.status not in FINE:
        bad = device.status in ("failed", "predicted_failure")
        state = element("span", words.device_state(device.status), class_="down" if bad else "warn")
    else:
        state = dot(device.up, words, device.reason)
    notes = []
    if device.held_back:
        reasons = words.listed(tuple(words.reason(reason) for reason in device.held_back))
        notes.append(words.held_back.format(reasons=reasons))
    if device.faults:
        counts = (f"{words.fault_class(kind)} {count(amount)}" for kind, amount in device.faults.items())
        notes.append(words.faults_since.format(faults=words.listed(tuple(counts))))
    return fragment(state, [element("small", note, class_="under") for note in notes])


def _busy(device: Device, words: Words) -> Html:
    """How long anything ran, and how full it was; where only the second is told, that."""
    if device.busy is None and device.compute is None:
        return absent(words.absent_device)
    filled = None if device.compute is None else words.compute.format(share=share(device.compute))
    if device.busy is None:
        return bar(device.compute or 0.0, filled or "", alarms=False)
    return fragment(
        bar(device.busy, str(share(device.busy)), alarms=False),
        element("small", filled, class_="under") if filled else None,
    )


def _memory(device: Device, words: Words) -> Html:
    if device.memory_used is None:
        return absent(words.absent_device)
    used = size(device.memory_used)
    if not device.memory_limit:
        return figure(used, words.absent_device)
    part = device.memory_used / device.memory_limit
    of = element("small", f"{used} / {size(device.memory_limit)}", class_="under")
    return fragment(bar(part, str(share(part)), alarms=False), of)


def _temperature(device: Device, words: Words) -> Html:
    if device.temperature is None and device.memory_temperature is None:
        return absent(words.absent_device)
    memory = device.memory_temperature
    said = None if memory is None else words.of_memory.format(value=_celsius(memory))
    return fragment(
        absent(words.absent_device) if device.temperature is None else _celsius(device.temperature),
        element("small", said, class_="under") if said else None,
    )


def _power(device: Device, words: Words) -> Html:
    if device.power is None:
        return absent(words.absent_device)
    limit = device.power_limit
    return fragment(
        str(_watts(device.power)), element("small", f"/ {_watts(limit)}", class_="under") if limit else None
    )


def _celsius(value: float) -> str:
    return f"{value:.0f}\u00a0°C"


def _watts(value: float) -> Figure:
    return Figure(count(value / 1000), "kW") if value >= 2000 else Figure(f"{value:.0f}", "W")
