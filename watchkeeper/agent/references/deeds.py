"""What a person does to references, whichever way it is said: approve and retire. The caller is `store.writing`."""

from collections.abc import Sequence
from pathlib import Path

from detectors.drift.packs import Pack
from watchkeeper.agent.references import journal, store, transfer
from watchkeeper.agent.references.journal import Deed
from watchkeeper.agent.references.store import Shelf


class RefusedError(ValueError):
    """It cannot be done as things are; says why."""


def approve(folder: Path, shelf: Shelf, packs: Sequence[Pack], *, at: float, by: str, why: str) -> None:
    """
    Put in force, in place of what was.

    :param at: unix seconds
    :raises RefusedError: one is in force already, or a later approval than `at` is
    :raises OSError: not written
    """
    for pack in packs:
        old = shelf.packs.get(shelf.in_force.get((pack.segment, pack.signal), ""))
        if old is not None and old.id == pack.id:
            raise RefusedError(f"{transfer.short(pack)} is in force already")
        if old is not None and old.approval is not None and old.approval.at >= at:
            raise RefusedError(
                f"{transfer.short(old)} was approved later than this machine's clock says it is: set the clock"
            )
    journal.append(folder, [journal.event(Deed.APPROVED, pack, at=at, by=by, why=why) for pack in packs])
    for pack in packs:
        store.put(folder, pack.approved(by, at, why))


def retire(folder: Path, shelf: Shelf, packs: Sequence[Pack], *, at: float, by: str, why: str) -> None:
    """
    Out of force, and not to come back by itself.

    :param at: unix seconds
    :raises RefusedError: one is retired already
    :raises OSError: not written
    """
    for pack in packs:
        if pack.id in shelf.journal.retired:
            raise RefusedError(f"{transfer.short(pack)} is retired already")
    journal.append(folder, [journal.event(Deed.RETIRED, pack, at=at, by=by, why=why) for pack in packs])
