"""References as people read them, folded to the terminal."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import numpy as np

from detectors.drift.bands import Band
from detectors.drift.distances import quantile
from detectors.drift.kinds import Kind
from detectors.drift.packs import Pack, Stratum
from detectors.drift.seasons import Season
from watchkeeper.agent.doctor import in_colour, terminal_width, wrap
from watchkeeper.agent.drift.streams import unit_of
from watchkeeper.agent.references.delays import Delay
from watchkeeper.agent.references.proposals import Outcome
from watchkeeper.agent.references.standing import SHOWN_ID, Standing, standing
from watchkeeper.agent.references.store import Shelf

_COLOURS: Final = {Standing.APPROVED: "32", Standing.PROPOSED: "33"}
_TITLE: Final = 12
"""width of the titles in a reference's own page"""
_AGES: Final = ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"))
_RANKS: Final = {
    "location": "0.5 as in the reference, 1 all higher",
    "spread": "0.5 as in the reference, 1 all farther out",
}


def table(packs: Sequence[Pack], shelf: Shelf, now: float) -> str:
    """A line a reference, under its segment."""
    width = min(max((len(pack.signal) for pack in packs), default=0), terminal_width() - 57)
    lines = []
    for place, pack in enumerate(packs):
        if place == 0 or packs[place - 1].segment != pack.segment:
            lines += ["", segment_name(pack.segment)]
        state = standing(pack, shelf)
        told = _cut(_reason(pack, state, shelf), terminal_width() - width - 57)
        age = _age(now - _since(pack, state, shelf))
        name = f"{_coloured(state, 10)}  {pack.id[:SHOWN_ID]}  {_cut(pack.signal, width):<{width}}"
        lines.append(f"  {name}  {pack.kind:<8}{pack.n:>9,}  {age:<10}  {told}".rstrip())
    return "\n".join(lines)


def page(pack: Pack, shelf: Shelf, delays: Sequence[Delay], supposed: str) -> str:
    """
    All that there is to say of one reference.

    :param supposed: what the delays rest on
    """
    width = terminal_width()
    lines = [f"{pack.signal} of {segment_name(pack.segment)}"]
    for title, text in (*_facts(pack, shelf), *_found(delays, supposed), *_history(pack, shelf)):
        first, *rest = wrap(text, width - _TITLE - 4)
        lines.append(f"  {title:<{_TITLE}}{first}")
        lines += [f"  {'':<{_TITLE}}{line}" for line in rest]
    if pack.season is not Season.NONE:
        lines += ["", *_hours(pack)]
    return "\n".join(lines)


def outcomes(found: Sequence[Outcome]) -> str:
    """What became of each series that was to be a reference."""
    signals = min(max((len(one.key[1]) for one in found), default=0), terminal_width() - 46)
    lines = []
    for place, one in enumerate(found):
        if place == 0 or found[place - 1].key[0] != one.key[0]:
            lines += ["", segment_name(one.key[0])]
        start = f"{_cut(one.key[1], signals):<{signals}}  "
        if isinstance(one.made, Pack):
            lines.append(f"  {one.made.id[:SHOWN_ID]}  {start}{one.observations:>9,}  {extent(one.made)}")
        else:
            first, *rest = wrap(one.made, terminal_width() - signals - 14)
            lines.append(f"  {'-':<{SHOWN_ID}}  {start}{first}")
            lines += [f"  {'':<{SHOWN_ID + signals + 4}}{line}" for line in rest]
    return "\n".join(lines)


def as_json(pack: Pack, shelf: Shelf) -> dict[str, Any]:
    """What `list` says of a reference, for programs. Times in unix seconds."""
    return {
        "id": pack.id,
        "segment": pack.segment,
        "signal": pack.signal,
        "kind": pack.kind,
        "state": standing(pack, shelf),
        "made_at": pack.made_at,
        "observations": pack.n,
        "design_effect": pack.design_effect,
        "season": pack.season,
        "approval": None if pack.approval is None else msgspec.to_builtins(pack.approval),
    }


def segment_name(text: str) -> str:
    return text.strip("/") or "calls of no known service or model"


def extent(pack: Pack) -> str:
    """The reference in one phrase: a share, a median, the most frequent word."""
    counts = _all_counts(pack)
    if pack.kind is Kind.FLAG:
        return f"{percent(counts[1] / counts.sum())} of calls"
    if pack.kind is Kind.CATEGORY:
        shares = counts / counts.sum()
        place = int(shares.argmax())
        return f"'{(*pack.categories, 'other')[place]}' in {percent(shares[place])}"
    return f"median {_figure(quantile(pack.edges, counts, 0.5), unit_of(pack.signal))}"


def percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.0995 else f"{100 * share:.0f} %"


def utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _facts(pack: Pack, shelf: Shelf) -> Iterator[tuple[str, str]]:
    yield "id", pack.id
    state = standing(pack, shelf)
    approval = pack.approval
    said = f", approved {utc(approval.at)} by {approval.by}: {approval.why}" if approval else ""
    yield "state", f"{'in force' if state is Standing.APPROVED else state}{said}"
    worth = pack.n / pack.design_effect
    independent = "all as good as independent" if pack.design_effect < 1.05 else f"worth {worth:,.0f} independent ones"
    yield (
        "made",
        f"{utc(pack.made_at)}, of {pack.n:,} observations, {independent} (design effect {pack.design_effect:.1f})",
    )
    if pack.season is not Season.NONE:
        hours = 24 if pack.season is Season.HOUR else 48
        zone = f"UTC{pack.utc_offset_seconds / 3600:+g} h" if pack.utc_offset_seconds else "UTC"
        yield "seasons", f"{len(pack.strata)} of {hours} {pack.season.replace('_', ' ')}s have a reference; {zone}"
        return
    [stratum] = pack.strata.values()
    yield "observed", _distribution(pack, stratum)
    if pack.kind is Kind.CATEGORY:
        yield from _words(pack, stratum)
    else:
        for place, (name, band) in enumerate(stratum.bands.items()):
            yield "" if place else "left alone", _band(pack, name, band)


def _words(pack: Pack, stratum: Stratum) -> Iterator[tuple[str, str]]:
    named = [name for name in pack.categories if name in stratum.bands]
    for place, name in enumerate([*named, *(stratum.bands.keys() - set(named))]):
        shown = f"'{name}'" if name in named else "any other"
        yield "" if place else "left alone", f"{shown}: {_share_band(stratum.bands[name])}"


def _band(pack: Pack, name: str, band: Band) -> str:
    if pack.kind is Kind.NUMBER:
        return f"{name} {band.lo:.2f} to {band.hi:.2f} ({_RANKS[name]}), tolerance {band.tolerance:.2g}"
    return _share_band(band)


def _share_band(band: Band) -> str:
    return f"{percent(band.lo)} to {percent(band.hi)}, tolerance {100 * band.tolerance:.2g} points"


def _distribution(pack: Pack, stratum: Stratum) -> str:
    counts = np.asarray(stratum.counts, dtype=np.float64)
    if pack.kind is Kind.FLAG:
        return f"{percent(counts[1] / counts.sum())} of calls ({int(counts[1]):,})"
    if pack.kind is Kind.CATEGORY:
        shares = counts / counts.sum()
        named = [f"'{word}' {percent(share)}" for word, share in zip(pack.categories, shares, strict=False)]
        return ", ".join([*named, f"other {percent(shares[-1])}"])
    low, middle, high = (quantile(pack.edges, counts, share) for share in (0.05, 0.5, 0.95))
    return f"median {_figure(middle, unit_of(pack.signal))}; nine in ten from {_figure(low)} to {_figure(high)}"


def _hours(pack: Pack) -> Iterator[str]:
    yield f"  {'hour':<6}{'observed':>9}  {'reference':<28}  left alone"
    for key, stratum in sorted(pack.strata.items()):
        hour = f"{key[:2]}h" + (" we" if key.endswith("w") else "")
        some = next(iter(stratum.bands))
        name = max(stratum.bands, key=lambda one: stratum.bands[one].centre) if pack.kind is Kind.CATEGORY else some
        band = stratum.bands[name]
        left = (
            f"{band.lo:.2f} to {band.hi:.2f}"
            if pack.kind is Kind.NUMBER
            else f"{percent(band.lo)} to {percent(band.hi)}"
        )
        alone = msgspec.structs.replace(pack, strata={key: stratum})
        yield f"  {hour:<6}{sum(stratum.counts):>9,}  {_cut(extent(alone), 28):<28}  {left}"


def _found(delays: Sequence[Delay], supposed: str) -> Iterator[tuple[str, str]]:
    for place, (change, observations) in enumerate(delays):
        said = (
            "never found: it stays in the band" if observations is None else f"found after about {_round(observations)}"
        )
        yield "" if place else "changes", f"{change}: {said}"
    if delays:
        yield "", supposed


def _history(pack: Pack, shelf: Shelf) -> Iterator[tuple[str, str]]:
    events = [one for one in shelf.journal.events if one.reference == pack.id]
    for place, one in enumerate(events):
        why = f": {one.why}" if one.why else ""
        yield "" if place else "history", f"{utc(one.at)}  {one.deed} by {one.by}{why}"
    if not events:
        yield "history", "the journal here does not know it"


def _all_counts(pack: Pack) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return np.asarray(np.sum([stratum.counts for stratum in pack.strata.values()], axis=0, dtype=np.float64))


def _reason(pack: Pack, state: Standing, shelf: Shelf) -> str:
    """Who brought it where it stands, and why."""
    if state is Standing.RETIRED:
        last = next(one for one in reversed(shelf.journal.events) if one.reference == pack.id)
        return f"{last.by}: {last.why}"
    return f"{pack.approval.by}: {pack.approval.why}" if pack.approval else ""


def _since(pack: Pack, state: Standing, shelf: Shelf) -> float:
    """When it came to stand where it stands, as far as that is known."""
    if state is Standing.RETIRED:
        return max(one.at for one in shelf.journal.events if one.reference == pack.id)
    return pack.made_at if pack.approval is None else pack.approval.at


def _age(seconds: float) -> str:
    for length, name in _AGES:
        if seconds >= length:
            count = int(seconds / length)
            return f"{count} {name}{'s' if count > 1 else ''}"
    return "just now"


def _round(number: float) -> str:
    """Two digits: more would promise more."""
    return f"{float(f'{number:.2g}'):,.0f}"


def _figure(value: float, unit: str = "") -> str:
    return f"{value:.3g} {unit}".rstrip() if value < 1000 else f"{value:,.0f} {unit}".rstrip()


def _cut(text: str, width: int) -> str:
    """Nothing where there is no room for a word."""
    return text if len(text) <= width else f"{text[: width - 1]}…" if width > 6 else ""


def _coloured(state: Standing, width: int) -> str:
    padded = f"{state:<{width}}"
    return f"\x1b[{_COLOURS[state]}m{padded}\x1b[0m" if in_colour() and state in _COLOURS else padded
