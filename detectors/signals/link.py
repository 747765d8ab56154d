"""
A data link of a device (PCIe, NVLink, HCCS, xGMI ...) that loses data, lanes or speed.

- Errors that cost data (fatal, non-fatal, failed recoveries): one within `hold_seconds` warns, a fatal one or a
  failed recovery alarms. Links that had to be trained anew (NVLink recovery, link integrity): `retrained` of them
  warn. Errors that the link put right: a rate over `corrected_per_minute` (CRC of NVLink: `crc_per_minute`), over 10
  minutes and over their last 2, warns; a burst that has ended, as when a job is killed, does not. Held by the 10.
- Links down: fewer up than this device has had, or than three of four of its model here have, for a minute, is an
  alarm. Ports that never were up are not missed.
- PCIe below its width or generation while the device works (utilisation over `busy_ratio` for 2 minutes), for 5
  minutes, warns: while idle the generation falls on purpose. What was found holds until it is seen under load again.

Catches: the above, errors at the next question (10 s), rates in 4 minutes or more, speed in 7. Misses: a link that
was slow before watchkeeper ran and whose limit is told as slow too; a loss of bandwidth without errors. A driver that
is loaded anew may show links as down for a moment: the minute is for that. Keeps 64 spans for each link and kind of
error.
"""

from collections import Counter, deque
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from detectors.signals._devices import Device, Roster
from detectors.signals._labels import named
from detectors.signals._levels import Ladder
from detectors.signals._spans import Increments, Spans, number
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Assessment, Batch, State, Verdict
from watchkeeper.core.vocabulary import devices

_WINDOW_SECONDS: Final = 600.0
_SHORT_SECONDS: Final = 120.0
_SPAN_SECONDS: Final = 10.0
_BUSY_SECONDS: Final = 120.0
_DOWN_SECONDS: Final = 60.0
_SLOW_SECONDS: Final = 300.0
_CLEAR_SECONDS: Final = 300.0
_RATE_SECONDS: Final = 150.0
"""longer than the short window: what is in it only because of one burst has left it by then"""
_SPEED_LOST: Final = 0.4
"""of PCIe: half the lanes, or one generation, is 0.5"""
_PEERS: Final = 4
_EVENTS: Final = 64
_TASK: Final = {"general", ""}

_FATAL: Final = frozenset(("fatal", "recovery_failed", "uncorrected"))
_COSTLY: Final = frozenset(("nonfatal", "malformed_packet", "buffer_overrun"))
_RETRAINED: Final = frozenset(("recovery", "recovery_succeeded", "link_integrity"))
"""of links between devices; PCIe goes through recovery whenever its speed changes"""
_ACTIONS: Final = {
    "costly": "look for a fault of the device beside it; reset it; if it returns, exchange cable, bridge or board",
    "retrained": "look at the other end of the link too, reset the device in the next window; repeated: hardware",
    "rate": "reseat the board or cable at the next window and watch whether it follows the device",
    "down": "ask whether a service spans devices over it and move that away; run the vendor's link diagnostics; reset",
    "speed": "compare slot, riser and BIOS settings with a neighbour that has its full width; reseat the board",
}


class LinkConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Data links that lose data, lanes or speed."""

    enabled: bool = True
    """False: links are not judged"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1)] = 10.0
    """how often they are judged"""
    corrected_per_minute: Annotated[float, msgspec.Meta(gt=0)] = 8.0
    """warn: errors on a link that it put right itself"""
    crc_per_minute: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    """warn: the same for checksum errors between devices, which are retried cheaply"""
    retrained: Annotated[int, msgspec.Meta(ge=1, le=64)] = 3
    """warn: links trained anew, within `hold_seconds`"""
    hold_seconds: Annotated[float, msgspec.Meta(ge=60)] = 1800.0
    """an error that cost data stays raised for so long"""
    busy_ratio: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.3
    """PCIe width and generation are judged at this utilisation or more"""


class _Complaint(msgspec.Struct, frozen=True):
    """One thing wrong with a link: `kind` names its action; score and threshold in the unit that `text` tells."""

    kind: str
    state: State
    score: float
    threshold: float
    text: str
    since: float


class _Link:
    """One kind of link of one device."""

    __slots__ = ("down", "events", "gauges", "most_up", "rates", "single", "spans", "speed", "speed_lost", "states")

    def __init__(self, name: str) -> None:
        self.single = _FATAL | _COSTLY | (_RETRAINED if name != "pcie" else frozenset())
        self.events: dict[str, deque[tuple[float, float]]] = {}
        self.spans: dict[str, Spans] = {}
        self.rates: dict[str, Ladder] = {}
        self.states: dict[str, float] = {}
        self.most_up = 0.0
        self.gauges: dict[str, float] = {}
        self.speed_lost = 0.0
        self.speed = Ladder(_SPEED_LOST, None, _SLOW_SECONDS, _CLEAR_SECONDS)
        self.down = Ladder(None, 1.0, _DOWN_SECONDS, _CLEAR_SECONDS)

    def count(self, kind: str, amount: float, at: float) -> None:
        if not amount:
            return
        if kind in self.single:
            self.events.setdefault(kind, deque(maxlen=_EVENTS)).append((at, amount))
            return
        spans = self.spans.get(kind)
        if spans is None:
            spans = self.spans[kind] = Spans(_SPAN_SECONDS, int(_WINDOW_SECONDS / _SPAN_SECONDS) + 4)
        spans.add(amount, at)

    def recent(self, kinds: frozenset[str], now: float, seconds: float) -> list[tuple[str, float, float]]:
        """Kind, time and count of the events of the last `seconds`; older ones are let go."""
        found = []
        for kind in self.events.keys() & kinds:
            events = self.events[kind]
            while events and not 0 <= now - events[0][0] <= seconds:
                events.popleft()
            found += [(kind, at, count) for at, count in events]
        return found


class _Kept:
    __slots__ = ("links", "load")

    def __init__(self) -> None:
        self.links: dict[str, _Link] = {}
        self.load = Spans(_SPAN_SECONDS, int(_BUSY_SECONDS / _SPAN_SECONDS) + 4)


class Link:
    def __init__(self, config: LinkConfig, ledger: Ledger) -> None:
        self._config = config
        self._roster: Roster[_Kept] = Roster(_Kept)
        self._increments = Increments()

    def update(self, batch: Batch) -> None:
        self._lose(batch)
        for point in batch.points:
            own = named(point.labels)
            known = self._roster.see(own, batch.at)
            if known is None:
                continue
            if point.metric is devices.UTILIZATION:
                if own.get("hw.gpu.task", "") in _TASK:
                    known.kept.load.add(number(point), batch.at)
                continue
            name = own.get(devices.LINK, "")
            link = known.kept.links.get(name)
            if link is None:
                link = known.kept.links[name] = _Link(name)
            if point.metric is devices.LINK_ERRORS:
                link.count(own.get("error.type", ""), self._increments.of(point), batch.at)
            elif point.metric is devices.LINKS:
                link.states[own.get("hw.state", "")] = number(point)
                link.most_up = max(link.most_up, link.states.get("up", 0.0))
            else:
                link.gauges[point.metric.name] = number(point)

    def _lose(self, batch: Batch) -> None:
        self._increments.forget(batch)
        for metric, labels in batch.gone:
            own = dict(labels)
            known = self._roster.find(own.get("hw.id", ""))
            link = known.kept.links.get(own.get(devices.LINK, "")) if known is not None else None
            if link is not None:
                link.states.pop(own.get("hw.state", ""), None)
                link.gauges.pop(metric.name, None)

    def assess(self, now: float) -> list[Assessment]:
        present = list(self._roster.present(now))
        ups: dict[tuple[str, str, str], list[float]] = {}
        for known in present:
            for name, link in known.kept.links.items():
                if "up" in link.states:
                    key = (known.device.vendor, known.device.model, name)
                    ups.setdefault(key, []).append(link.states["up"])
        assessments = []
        for known in present:
            load = known.kept.load.means(now, _BUSY_SECONDS)
            is_busy = len(load) > 1 and min(load) >= self._config.busy_ratio
            for name, link in known.kept.links.items():
                peers = ups.get((known.device.vendor, known.device.model, name), [])
                usual = sorted(peers)[len(peers) // 4] if len(peers) >= _PEERS else 0.0
                found = [*self._errors(link, now), *_down(link, usual, now), *_speed(link, is_busy, now)]
                assessments.append(_judge(known.device, name, found))
        return assessments

    def _errors(self, link: _Link, now: float) -> list[_Complaint]:
        hold = self._config.hold_seconds
        fatal = link.recent(_FATAL, now, hold)
        costly = fatal + link.recent(_COSTLY, now, hold)
        complaints = []
        if costly:
            state = State.ALARM if fatal else State.WARN
            count = sum(count for _, _, count in costly)
            text = f"lost data: {_listed(costly)} in {hold / 60:.0f} minutes"
            complaints.append(_Complaint("costly", state, count, 1.0, text, min(at for _, at, _ in costly)))
        retrained = link.recent(_RETRAINED, now, hold)
        count, limit = sum(count for _, _, count in retrained), float(self._config.retrained)
        state = State.WARN if count >= limit else State.OK
        since = min((at for _, at, _ in retrained), default=now)
        text = f"was trained anew: {_listed(retrained)} in {hold / 60:.0f} minutes" if retrained else ""
        complaints.append(_Complaint("retrained", state, count, limit, text, since))
        for kind, spans in link.spans.items():
            limit = self._config.crc_per_minute if "crc" in kind else self._config.corrected_per_minute
            ladder = link.rates.setdefault(kind, Ladder(limit, None, _RATE_SECONDS, _CLEAR_SECONDS))
            rate, short = ((spans.per_second(now, span) or 0.0) * 60 for span in (_WINDOW_SECONDS, _SHORT_SECONDS))
            text = f"has {rate:.3g} errors a minute ({kind}) that it puts right, {limit:g} are let pass"
            state = ladder.update(min(rate, short), now, held=rate)
            complaints.append(_Complaint("rate", state, min(rate, short), limit, text, ladder.since))
        return complaints


def _listed(events: Sequence[tuple[str, float, float]]) -> str:
    counts: Counter[str] = Counter()
    for kind, _, count in events:
        counts[kind] += int(count)
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common())


def _down(link: _Link, usual: float, now: float) -> list[_Complaint]:
    up = link.states.get("up")
    if up is None:
        return []
    wanted = max(link.most_up, usual)
    missing = max(0.0, wanted - up)
    text = f"has {up:g} of {wanted:g} links up"
    return [_Complaint("down", link.down.update(missing, now), missing, 1.0, text, link.down.since)]


def _speed(link: _Link, is_busy: bool, now: float) -> list[_Complaint]:
    width, widest = (link.gauges.get(one.name) for one in (devices.LINK_WIDTH, devices.LINK_WIDTH_LIMIT))
    generation, newest = (link.gauges.get(one.name) for one in (devices.LINK_GENERATION, devices.LINK_GENERATION_LIMIT))
    if is_busy and (widest or newest):
        kept_width = width / widest if width is not None and widest else 1.0
        kept_speed = 2.0 ** (generation - newest) if generation is not None and newest else 1.0
        link.speed_lost = max(0.0, 1 - kept_width * kept_speed)
        link.speed.update(link.speed_lost, now)
    text = (
        f"runs under load at {width or 0:g} of {widest or 0:g} lanes, generation {generation or 0:g} of {newest or 0:g}"
    )
    return [_Complaint("speed", link.speed.state, link.speed_lost, _SPEED_LOST, text, link.speed.since)]


_ORDER: Final = {State.ALARM: 2, State.WARN: 1, State.OK: 0}


def _judge(device: Device, name: str, found: Sequence[_Complaint]) -> Assessment:
    """The worst complaint speaks; the others are evidence."""
    worst = max(found, key=lambda one: (_ORDER[one.state], one.score / one.threshold))
    subject = (*device.subject, *(((devices.LINK, name),) if name else ()))
    verdict = Verdict(worst.state, worst.score, worst.threshold)
    if worst.state is State.OK:
        return Assessment(subject=subject, verdict=verdict)
    raised = [one for one in found if one.state is not State.OK]
    return Assessment(
        subject=subject,
        verdict=verdict,
        summary=f"{name or 'a link'} of {device} {worst.text}",
        action=_ACTIONS[worst.kind],
        evidence=tuple(f"it {one.text}" for one in raised),
        since=min(one.since for one in raised),
    )


PLUGIN: Final = Plugin(
    name="link",
    summary="A data link that loses data, lanes or speed.",
    config=LinkConfig,
    build=Link,
    reads=(
        devices.LINK_ERRORS, devices.LINKS, devices.LINK_WIDTH, devices.LINK_WIDTH_LIMIT, devices.LINK_GENERATION,
        devices.LINK_GENERATION_LIMIT, devices.UTILIZATION,
    ),
    roles=("run", "node"),
    interval_seconds=lambda config: config.interval_seconds,
)  # fmt: skip
