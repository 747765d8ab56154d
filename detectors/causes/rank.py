"""
From what moved to the three causes that explain it best.

    score = sum of z in the expected direction / sqrt(how many of these quantities are measured)

halved for each required quantity that moved by less than 3 and for each that should have stayed and did not, 0 when a
required one is not measured. A cause is told from a score of 3 on, and only if a required quantity went its way at all:
1 or more. Scores are compared as whole numbers, so that the earlier onset of what is required decides among equals.

`Cause.score` is score / (score + 10): 0.5 is what one quantity alone gives that moved by ten of its usual spreads. It
orders causes and is no probability. A fact has 1.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Final

import msgspec

from detectors.causes.candidates import CANDIDATES, Unit
from detectors.causes.history import STEP_SECONDS, History
from detectors.causes.moves import LEAST_AFTER_SECONDS, LEAST_BEFORE_SECONDS, MOVED, Move, Window, move_of, window
from detectors.causes.scope import Place, tiers
from detectors.causes.table import CAUSES, PAGE, Expected, KnownCause, Sign
from detectors.causes.versions import Change, Versions
from watchkeeper.core.records import Cause

SHOWN: Final = 3
_FACT_SECONDS: Final = 600.0
_LEAST_SCORE: Final = 3.0
_WENT: Final = 1.0
_HALF_SCORE: Final = 10.0
_FULL_BEFORE_SECONDS: Final = 1700.0
_FACTS_SHOWN: Final = 4
_FACT_ACTION: Final = "ask who changed it; roll it back where the change was not meant to do this"


class Explanation(msgspec.Struct, frozen=True):
    """
    `causes` most probable first, a fact before all; `notes` are lines on what could not be told. `again_at`: unix
    seconds from which on there is enough since the onset to rank causes; 0 where they are ranked, or never will be.
    """

    causes: tuple[Cause, ...] = ()
    notes: tuple[str, ...] = ()
    again_at: float = 0.0


class _Ranked(msgspec.Struct, frozen=True):
    cause: KnownCause
    score: float
    moves: tuple[Move, ...]

    @property
    def onset(self) -> float:
        """Of the required quantity that moved most."""
        return self.moves[0].onset or float("inf")


def explain(subject: Place, onset: float, history: History, versions: Versions) -> Explanation:
    """
    What moved with a finding about `subject`.

    :param onset: unix seconds at which the finding says it began
    """
    near = tiers(subject, history.places)
    facts = _facts(versions, onset, near[3 if subject == Place() else 2] | {subject})
    look = window(history, onset)
    if not look.is_enough:
        return Explanation(facts, (_too_little(look),), _enough_at(look))
    moves = {
        candidate.name: move
        for candidate in CANDIDATES
        if (move := move_of(candidate, history, near, look)) is not None
    }
    ranked, unmeasured = rank(moves)
    causes = tuple(
        Cause(
            summary=each.cause.summary,
            score=each.score / (each.score + _HALF_SCORE),
            moved=tuple(worded(move) for move in each.moves),
            action=each.cause.action,
            runbook=each.cause.runbook,
        )
        for each in ranked
    )
    return Explanation(facts + causes, _notes(look, unmeasured))


def rank(moves: Mapping[str, Move]) -> tuple[tuple[_Ranked, ...], tuple[str, ...]]:
    """The best causes, best first, and the names of those of which nobody measures what they require."""
    judged = [(cause, _judge(cause, moves)) for cause in CAUSES]
    unmeasured = tuple(cause.name for cause, found in judged if found is None)
    told = [found for _, found in judged if found is not None and found.score >= _LEAST_SCORE]
    told.sort(key=lambda found: (-round(found.score), found.onset, -found.score))
    return tuple(told[:SHOWN]), unmeasured


def worded(move: Move) -> str:
    """Such as `prompt tokens 310 -> 465 (z +12)`."""
    words = move.candidate.words.format(move.apart)
    unit = move.candidate.unit
    near = f", {move.near}" if move.near else ""
    return f"{words} {_number(move.before, unit)} -> {_number(move.after, unit)} (z {move.z:+.0f}{near})"


def _judge(cause: KnownCause, moves: Mapping[str, Move]) -> _Ranked | None:
    required = _told(cause.required, moves)
    if len(required) < len(cause.required):
        return None
    others = _told(cause.others, moves)
    went = [_towards(*pair) for pair in required]
    # what may go either way does so by noise alone: it counts once it moved
    more = [z if expected.sign or z >= MOVED else 0.0 for move, expected in others for z in [_towards(move, expected)]]
    score = sum((*went, *more)) / sqrt(len(went) + len(more))
    score /= 2 ** sum(1 for z in went if z < MOVED)
    score /= 2 ** sum(1 for name in cause.still if name in moves and abs(moves[name].z) >= MOVED)
    if max(went) < _WENT:
        score = 0.0
    first, *rest = sorted(required, key=lambda pair: -_towards(*pair))
    shown = sorted((pair for pair in (*rest, *others) if _towards(*pair) >= MOVED), key=lambda pair: -_towards(*pair))
    return _Ranked(cause, max(0.0, score), (first[0], *(move for move, _ in shown)))


def _told(all_expected: tuple[Expected, ...], moves: Mapping[str, Move]) -> list[tuple[Move, Expected]]:
    return [(found, expected) for expected in all_expected if (found := _best(expected, moves)) is not None]


def _best(expected: Expected, moves: Mapping[str, Move]) -> Move | None:
    known = [moves[name] for name in expected.names if name in moves]
    return max(known, key=lambda move: _towards(move, expected), default=None)


def _towards(move: Move, expected: Expected) -> float:
    """How far it went the expected way; one that did not get as high as it has to went nowhere."""
    if move.after < expected.at_least:
        return min(0.0, move.z)
    return abs(move.z) if expected.sign is Sign.EITHER else expected.sign * move.z


def _facts(versions: Versions, onset: float, places: frozenset[Place]) -> tuple[Cause, ...]:
    changes = tuple(versions.around(onset, _FACT_SECONDS, places))[:_FACTS_SHOWN]
    if not changes:
        return ()
    moved = tuple(_fact(change, onset) for change in changes)
    summary = f"something was changed at that time: {moved[0]}"
    return (Cause(summary, 1.0, moved, _FACT_ACTION, f"{PAGE}#facts"),)


def _fact(change: Change, onset: float) -> str:
    minutes = (change.at - onset) / 60
    when = "at its onset" if abs(minutes) < 1 else f"{abs(minutes):.0f} min {'before' if minutes < 0 else 'after'} it"
    which = f" {change.before} -> {change.after}" if change.after else ""
    who = "/".join(part for part in change.place if part)
    return f"{change.what}{which}{f' of {who}' if who else ''}, {when}"


def _too_little(look: Window) -> str:
    if look.before_seconds < LEAST_BEFORE_SECONDS:
        return (
            f"causes not ranked: {look.before_seconds / 60:.0f} minutes before the onset are known, "
            f"{LEAST_BEFORE_SECONDS / 60:.0f} are needed"
        )
    return (
        f"causes not ranked: {look.after_seconds:.0f} seconds since the onset are known, "
        f"{LEAST_AFTER_SECONDS:.0f} are needed"
    )


def _enough_at(look: Window) -> float:
    """When the steps since the onset that are over will be enough; 0: there is too little before it."""
    if look.before_seconds < LEAST_BEFORE_SECONDS:
        return 0.0
    return look.begin * STEP_SECONDS + LEAST_AFTER_SECONDS


def _notes(look: Window, unmeasured: tuple[str, ...]) -> tuple[str, ...]:
    notes = []
    if look.before_seconds < _FULL_BEFORE_SECONDS:
        notes.append(f"compared with {look.before_seconds / 60:.0f} minutes before the onset: no more are known")
    if unmeasured:
        notes.append(f"causes not measured: {', '.join(unmeasured)}")
    return tuple(notes)


def _number(value: float, unit: Unit) -> str:
    if unit is Unit.SHARE:
        return f"{value:.1%}"
    if unit is Unit.MEGAHERTZ:
        return f"{value / 1e6:.0f} MHz"
    if unit is Unit.PER_HOUR:
        return f"{value * 3600:.3g}/h"
    if unit is Unit.PER_SECOND:
        return f"{value:.3g}/s"
    if unit is Unit.SECONDS:
        return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if unit is Unit.NUMBER:
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return f"{value:.0f} {unit.value}"
