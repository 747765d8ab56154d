"""References from one deployment to another: as a folder, or as a file with one a line."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from detectors.drift.packs import Pack
from watchkeeper.agent.references import journal, store
from watchkeeper.agent.references.journal import Deed, Event
from watchkeeper.agent.references.standing import SHOWN_ID
from watchkeeper.agent.references.store import Shelf
from watchkeeper.core.errors import ConfigError

ONE_FILE: Final = ".jsonl"
CONFIG_MAP_BYTES: Final = 1 << 20
"""what Kubernetes takes in one ConfigMap"""
_AHEAD_SECONDS: Final = 300.0


class Refused(NamedTuple):
    what: str
    why: str


def write(destination: Path, chosen: Sequence[Pack]) -> int:
    """
    A file where its name ends in .jsonl, else a folder that holds references and nothing else: a ConfigMap takes it.

    :return: bytes written
    :raises ConfigError: it cannot be written, or holds references already
    """
    try:
        if destination.suffix == ONE_FILE:
            data = b"".join(pack.encode() + b"\n" for pack in chosen)
            store.write_whole(destination, data)
            return len(data)
        destination.mkdir(parents=True, exist_ok=True)
        if any(destination.glob("*.json")):
            raise ConfigError(
                f"{destination}: holds references already; give a new folder, or a file ending {ONE_FILE}"
            )
        for pack in chosen:
            store.put(destination, pack)
        return sum(len(pack.encode()) for pack in chosen)
    except OSError as error:
        raise ConfigError(f"{destination}: cannot be written: {error.strerror}") from error


def read(source: Path) -> Iterator[Pack | Refused]:
    """
    What a file or folder offers, each one's hash verified.

    :raises ConfigError: it cannot be read at all
    """
    try:
        if source.is_dir():
            for path in sorted(source.glob("*.json")):
                yield _decoded(path.name, path.read_bytes())
        elif source.suffix == ONE_FILE:
            with source.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    yield _decoded(f"line {number}", line)
        else:
            yield _decoded(source.name, source.read_bytes())
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror}; give what export wrote") from error


def refusal(pack: Pack, shelf: Shelf, now: float) -> str | None:
    """
    Why a reference is not taken into this folder; None: it is.

    :param now: unix seconds
    """
    held = shelf.packs.get(pack.id)
    if pack.id in shelf.journal.retired:
        return "was retired here; approve it to have it back"
    if pack.approval is not None and pack.approval.at > now + _AHEAD_SECONDS:
        return "was approved in the future by this machine's clock; set the clock, there or here"
    if held is not None and (held.approval is not None or pack.approval is None):
        return "is here already"
    return None


def take(folder: Path, pack: Pack, *, at: float, by: str, why: str) -> None:
    """
    Nothing is in force that the journal does not tell: first as a proposal, then told, then as it came.

    :raises OSError: not written
    """
    store.put(folder, msgspec.structs.replace(pack, approval=None))
    told: list[Event] = [journal.event(Deed.IMPORTED, pack, at=at, by=by, why=why)]
    if pack.approval is not None:
        approval = pack.approval
        told.append(journal.event(Deed.APPROVED, pack, at=approval.at, by=approval.by, why=approval.why))
    journal.append(folder, told)
    if pack.approval is not None:
        store.put(folder, pack)


def _decoded(what: str, data: bytes) -> Pack | Refused:
    try:
        return store.decoded(data)
    except ValueError as error:
        return Refused(what, str(error))


def short(pack: Pack) -> str:
    return pack.id[:SHOWN_ID]
