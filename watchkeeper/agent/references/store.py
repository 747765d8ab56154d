"""
The folder of references: read while others write it, written by one at a time.

In force is, for each segment and signal, what was approved last, unless it was retired. Nothing older comes back by
itself: not when the newest is retired, nor, where there is a journal to know it by, when its file is damaged or gone.
"""

import fcntl
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from detectors.drift import packs
from detectors.drift.packs import Pack
from watchkeeper.agent.references import journal
from watchkeeper.agent.references.journal import Deed, Journal
from watchkeeper.core.observed import Segment

_SUFFIX: Final = ".json"
_LOCK: Final = ".lock"
_TEMPORARY: Final = ".tmp"
MOST_BYTES: Final = 64 * 1024 * 1024
"""a file larger than this is no reference"""

Key = tuple[str, str]
"""segment as text, signal"""
_Stamp = tuple[int, int, int]


class Entry(NamedTuple):
    """What is known of a reference without holding it."""

    id: str
    key: Key
    approved_at: float | None
    """unix seconds; None: nobody approved it"""


@dataclass(frozen=True, slots=True)
class Shelf:
    """All that a folder holds at one moment."""

    packs: Mapping[str, Pack]
    """by id"""
    journal: Journal
    in_force: Mapping[Key, str]
    """ids"""
    problems: tuple[str, ...]


class References:
    """
    The approved references of a folder, for one thread. Memory: those in force, and a line for each other file.

    >>> references = References(Path("no/such/folder"))
    >>> references.refresh(), dict(references.active()), references.problems
    (False, {}, ())
    """

    def __init__(self, folder: Path) -> None:
        self.problems: tuple[str, ...] = ()
        """one line for each file that cannot be used"""
        self._folder = folder
        self._stamps: dict[str, _Stamp] = {}
        self._files: dict[str, Entry | str] = {}
        self._active: dict[Key, Pack] = {}
        self._unreadable = False

    def active(self) -> Mapping[Key, Pack]:
        """What is in force, by segment and signal."""
        return self._active

    def refresh(self) -> bool:
        """
        Looks whether files changed, and reads those that did. Raises nothing: what fails is among `problems`.

        While the folder as a whole cannot be read, all that was in force stays so.

        :return: whether `active()` or `problems` changed
        """
        before = self._active, self.problems
        try:
            stamps = _stamps(self._folder)
            if stamps == self._stamps and not self._unreadable:
                return False
            self._read(stamps)
            self._unreadable = False
        except OSError as error:
            self._unreadable = True
            self.problems = (f"{self._folder}: {error.strerror}; what was in force stays so",)
        return (self._active, self.problems) != before

    def _read(self, stamps: dict[str, _Stamp]) -> None:
        told = journal.read(self._folder)
        fresh: dict[str, Pack] = {}
        files: dict[str, Entry | str] = {}
        for name in stamps.keys() - {journal.NAME}:
            if name in self._files and self._stamps.get(name) == stamps[name]:
                files[name] = self._files[name]
                continue
            found = _try_read(self._folder / name)
            files[name] = found if isinstance(found, str) else entry(found)
            if isinstance(found, Pack):
                fresh[name] = found
        entries = {name: one for name, one in sorted(files.items()) if isinstance(one, Entry)}
        refused = {name: one for name, one in sorted(files.items()) if isinstance(one, str)}
        chosen, missing = in_force(entries.values(), told, refused)
        held = {pack.id: pack for pack in self._active.values()}
        active: dict[Key, Pack] = {}
        for key, reference in chosen.items():
            _, name = max((one.approved_at or 0.0, name) for name, one in entries.items() if one.id == reference)
            pack = fresh.get(name) or held.get(reference) or _try_read(self._folder / name)
            if isinstance(pack, str):
                refused[name] = pack
            else:
                active[key] = pack
        self._stamps, self._files, self._active = stamps, files, active
        self.problems = (*(f"{name}: {why}" for name, why in refused.items()), *told.problems, *missing)


def load(folder: Path) -> Shelf:
    """
    Everything, for the operator.

    :raises OSError: the folder or its journal cannot be read
    """
    told = journal.read(folder)
    held: dict[str, Pack] = {}
    refused: dict[str, str] = {}
    for name in sorted(_stamps(folder).keys() - {journal.NAME}):
        found = _try_read(folder / name)
        if isinstance(found, str):
            refused[name] = found
        elif found.id not in held or _approved_at(held[found.id]) < _approved_at(found):
            held[found.id] = found
    chosen, missing = in_force([entry(pack) for pack in held.values()], told, refused)
    problems = (*(f"{name}: {why}" for name, why in refused.items()), *told.problems, *missing)
    return Shelf(held, told, chosen, problems)


def entry(pack: Pack) -> Entry:
    return Entry(pack.id, (pack.segment, pack.signal), None if pack.approval is None else pack.approval.at)


def in_force(
    entries: Collection[Entry], told: Journal, refused: Collection[str] = ()
) -> tuple[dict[Key, str], list[str]]:
    """
    Ids by segment and signal, and a line for each that should be in force and has no file.

    :param refused: names of files that cannot be used, and of which that is said already
    """
    usable = {one.id for one in entries}
    candidates = [(one.key, one.approved_at, one.id) for one in entries if one.approved_at is not None]
    candidates += [
        ((one.segment, one.signal), one.at, one.reference)
        for one in told.events
        if one.deed is Deed.APPROVED and one.reference not in usable
    ]
    newest: dict[Key, tuple[float, str]] = {}
    for key, at, reference in candidates:
        newest[key] = max(newest.get(key, (at, reference)), (at, reference))
    chosen = {key: reference for key, (_, reference) in newest.items() if reference not in told.retired}
    lost = {key: reference for key, reference in chosen.items() if reference not in usable}
    problems = [
        f"{reference[:12]}: in force for {signal} of {segment}, but its file is gone; bring it back or approve another"
        for (segment, signal), reference in sorted(lost.items())
        if f"{reference}{_SUFFIX}" not in refused
    ]
    return {key: reference for key, reference in chosen.items() if key not in lost}, problems


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """
    Holds the folder, made if need be, against others that write. Readers need nothing of the kind.

    :raises OSError: it cannot be made or written
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob(f".*{_TEMPORARY}"):  # by a process that ended between writing and renaming
            left.unlink(missing_ok=True)
        yield


def put(folder: Path, pack: Pack) -> None:
    """
    On disk when it returns; a reader sees all of it or what was there before. The caller is `writing`.

    :raises OSError: not written
    """
    write_whole(folder / f"{pack.id}{_SUFFIX}", pack.encode())


def write_whole(path: Path, data: bytes) -> None:
    """:raises OSError: not written; what was there before still is"""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_pack(path: Path) -> Pack:
    """
    :raises ValueError: not a reference, or changed since it was made
    :raises OSError: cannot be read
    """
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES >> 20} MiB: not a reference")
    return decoded(data)


def decoded(data: bytes) -> Pack:
    """:raises ValueError: not a reference, changed since it was made, or of parts that do not fit each other"""
    pack = packs.decode(data)
    try:
        Segment.parse(pack.segment)
    except ValueError:
        raise ValueError("its segment is not namespace/service/model") from None
    counts = [held for one in pack.strata.values() for held in (one.counts, one.first_half)]
    counts += [block for blocks in pack.blocks.values() for block in blocks]
    if not pack.strata or any(len(held) != pack.bins or min(held) < 0 for held in counts):
        raise ValueError("its counts do not fit its bins")
    names = {tuple(sorted(one.bands)) for one in pack.strata.values()}
    if len(names) > 1 or not all(sum(one.counts) > 0 for one in pack.strata.values()):
        raise ValueError("its hours do not fit each other")
    try:
        pack.scores(next(iter(pack.strata)))
    except KeyError as error:
        raise ValueError(f"no signal of its kind has the score {error}") from None
    return pack


def _try_read(path: Path) -> Pack | str:
    """The reference, or one line on why it cannot be used."""
    try:
        return read_pack(path)
    except ValueError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _approved_at(pack: Pack) -> float:
    return -1.0 if pack.approval is None else pack.approval.at


def _stamps(folder: Path) -> dict[str, _Stamp]:
    """What tells that a file changed, by name; follows links, as a ConfigMap's files are."""
    found: dict[str, _Stamp] = {}
    try:
        with os.scandir(folder) as listed:
            for one in listed:
                if (one.name.endswith(_SUFFIX) or one.name == journal.NAME) and not one.name.startswith("."):
                    try:
                        stat = one.stat()
                    except FileNotFoundError:  # replaced while we look
                        continue
                    found[one.name] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    except FileNotFoundError:
        pass
    return found
