"""Which of the states that were kept hold, and from where a partition is to be read on. Pure."""

from collections.abc import Iterable

import msgspec

from watchkeeper.core.wire import STATE_VERSION, MarkRecord, StateRecord, Unreadable, decode


class Kept(msgspec.Struct, frozen=True):
    states: tuple[StateRecord, ...] = ()
    offset: int = 0
    """all records before it are in the states"""
    life: int = 0
    has_mark: bool = False


def newest(values: Iterable[bytes | None]) -> Kept:
    """
    Of all that was written for a partition, in whatever order and by however many writers: the largest offset wins. A
    state that the newest mark names and that is lost, or of another version, is made anew by reading further back.
    """
    states: dict[str, StateRecord] = {}
    mark = MarkRecord(0, {}, -1)
    for value in values:
        try:
            found = decode(value)
        except Unreadable:
            continue
        if isinstance(found, StateRecord) and found.body_version == STATE_VERSION:
            known = states.get(found.segment)
            if known is None or (found.life, found.offset) >= (known.life, known.offset):
                states[found.segment] = found
        elif isinstance(found, MarkRecord) and (found.life, found.offset) >= (mark.life, mark.offset):
            mark = found
    life = max([mark.life, *(state.life for state in states.values())], default=0)
    current = {name: state for name, state in states.items() if state.life == life}
    offset = mark.offset if mark.life == life else 0
    for name, wanted in mark.segments.items() if mark.life == life else ():
        state = current.get(name)
        if state is None or state.offset < wanted:
            offset = min(offset, state.offset if state is not None else 0)
    return Kept(tuple(current.values()), offset, max(0, life), mark.life == life >= 0)
