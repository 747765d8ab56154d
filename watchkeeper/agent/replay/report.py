"""What a replay found, for a terminal and for a program."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from watchkeeper.agent.doctor import in_colour, terminal_width, wrap
from watchkeeper.agent.replay.rehearsal import STATES, Raised, Rehearsal, Watched, alarmed, worst
from watchkeeper.core.records import State

_COLOURS: Final = {State.ALARM: "31", State.WARN: "33", State.OK: "32"}
_MOST_STREAMS: Final = 40


class Report(msgspec.Struct, frozen=True):
    rehearsal: Rehearsal
    has_times: bool
    """of its own, not from --rate"""
    is_own_reference: bool
    notes: tuple[str, ...]


def as_text(report: Report) -> str:
    held = report.rehearsal
    span = held.last_at - held.first_at
    lines = [
        f"{held.calls:,} calls over {_length(span)}" + (f", from {_utc(held.first_at)}" if report.has_times else "")
    ]
    lines += [f"note: {note}" for note in report.notes]
    if not held.streams:
        lines.append(
            "No stream has a reference: give one with --reference FILE, or approve one in the configuration's."
        )
    raised = [one for one in held.raised if one.finding.name != "reference"]
    lines.append("")
    calm = "Nothing would have alarmed." if held.streams else "Nothing else would have alarmed; drift was not judged."
    lines.append("What would have been raised:" if alarmed(held.raised) else calm)
    for one in raised:
        lines += _finding(one, report)
    if held.streams:
        lines += ["", "How near each stream came to an alarm (100 % raises it):"]
        ranked = worst(held.streams)
        lines += [_stream(key, stream) for key, stream in ranked[:_MOST_STREAMS]]
        if len(ranked) > _MOST_STREAMS:
            lines.append(f"  and {len(ranked) - _MOST_STREAMS} more, none nearer")
    return "\n".join(lines)


def as_json(report: Report) -> dict[str, Any]:
    held = report.rehearsal
    return {
        "calls": held.calls,
        "first_at": None if math.isnan(held.first_at) else held.first_at,
        "last_at": None if math.isnan(held.last_at) else held.last_at,
        "alarmed": alarmed(held.raised),
        "findings": [{"calls": one.calls, **msgspec.to_builtins(one.finding)} for one in held.raised],
        "streams": [
            {"stream": list(key), "state": STATES[stream.state], "nearest": stream.nearest}
            for key, stream in worst(held.streams)
        ],
        "notes": list(report.notes),
    }


def _finding(one: Raised, report: Report) -> Iterator[str]:
    finding, width = one.finding, terminal_width()
    when = _utc(finding.at) if report.has_times else f"+{_length(finding.at - report.rehearsal.first_at)}"
    word = "over" if finding.resolved else finding.severity.value
    colour = "32" if finding.resolved else "31"
    yield f"  {_coloured(f'{word:<8}', colour)} {finding.name}"
    yield f"      {when}, after {one.calls:,} calls"
    if finding.resolved:
        return
    details = [finding.summary, *finding.evidence]
    details += [f"probable cause: {cause.summary} ({cause.score:.2f})" for cause in finding.causes]
    for detail in details:
        yield from (f"      {line}" for line in wrap(detail, width - 6))


def _stream(key: tuple[str, ...], stream: Watched) -> str:
    state = STATES[stream.state]
    word = _coloured(f"{state.value:<5}", _COLOURS[state])
    line = f"{key[-1]} of {'/'.join(key[:-1])}"
    room = terminal_width() - 16
    return f"  {word} {stream.nearest:>6.0%}  {line if len(line) <= room else line[: room - 1] + '…'}"


def _coloured(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if in_colour() else text


def _length(seconds: float) -> str:
    if not seconds > 0:
        return "0 s"
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {left:02d} s" if minutes else f"{left} s"


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
