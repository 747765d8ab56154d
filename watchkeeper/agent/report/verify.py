"""Whether a pack is as it was packed, and if not, what exactly was changed."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from detectors.drift import packs
from exporters.store import missing_package
from watchkeeper import __version__
from watchkeeper.agent.references import journal
from watchkeeper.agent.references.journal import NAME as JOURNAL
from watchkeeper.agent.report import record
from watchkeeper.agent.report.evidence import (
    AUDIT,
    CONFIGURATION,
    MANIFEST,
    PAGE,
    RECORD,
    REFERENCES,
    VERSION,
    Manifest,
    digest,
    parts,
)
from watchkeeper.agent.report.governance_page import page
from watchkeeper.core.errors import ConfigError

_MOST_BYTES: Final = 1 << 30
"""of all files together, unpacked"""
_MOST_PARTS: Final = 20
_CHUNK: Final = 1 << 20


class Verified(msgspec.Struct, frozen=True):
    is_well: bool
    lines: tuple[str, ...]


def verify(path: Path, expected: str | None) -> Verified:
    """
    Unpacks nothing to disk.

    :param expected: SHA-256 of the manifest, as it was printed when the pack was made
    :raises ConfigError: no pack, or of another version
    :raises OSError: the file cannot be read
    """
    files, damaged = _read(path)
    manifest = _manifest(path, files)
    told = digest(files[MANIFEST])
    problems = [f"{name}: damaged, it cannot be unpacked" for name in damaged]
    if expected is not None and told != expected.lower():
        problems.append(
            f"{MANIFEST}: its SHA-256 is {told}, not the one that was given: the pack was made anew or changed"
        )
    problems += _against(manifest, files, damaged)
    problems += _within(manifest, files)
    if problems:
        return Verified(False, tuple(problems))
    audit = f"; audit log up to entry {manifest.audit_number}, {manifest.audit_head}" if manifest.audit_number else ""
    said = f"{path}: {manifest.period}, {len(manifest.files)} files as they were packed{audit}"
    return Verified(True, (said, f"sha256 of its manifest: {told}"))


def _read(path: Path) -> tuple[dict[str, bytes], list[str]]:
    """Files by name, and names of those that cannot be unpacked."""
    files: dict[str, bytes] = {}
    damaged: list[str] = []
    room = _MOST_BYTES
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                try:
                    data = _unpacked(archive, info, room)
                except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
                    damaged.append(info.filename)
                    continue
                room -= len(data)
                files[info.filename] = data
    except zipfile.BadZipFile:
        raise ConfigError(f"{path}: not a zip, or cut off") from None
    return files, damaged


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo, room: int) -> bytes:
    """:raises ConfigError: larger than a pack can be, whatever its head says"""
    held = bytearray()
    with archive.open(info) as file:
        while chunk := file.read(_CHUNK):
            held += chunk
            if len(held) > room:
                raise ConfigError(
                    f"{info.filename}: unpacks to more than {_MOST_BYTES >> 20} MiB: no pack of watchkeeper's"
                )
    return bytes(held)


def _manifest(path: Path, files: dict[str, bytes]) -> Manifest:
    if MANIFEST not in files:
        raise ConfigError(f"{path}: holds no {MANIFEST}: no pack of watchkeeper's, or it is damaged")
    try:
        manifest = msgspec.json.decode(files[MANIFEST], type=Manifest)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path}: its {MANIFEST} cannot be read: {error}") from None
    if manifest.version != VERSION:
        raise ConfigError(f"{path}: a pack of version {manifest.version}; this watchkeeper reads version {VERSION}")
    return manifest


def _against(manifest: Manifest, files: dict[str, bytes], damaged: list[str]) -> Iterator[str]:
    """What the manifest says of each file."""
    known = {one.name for one in manifest.files}
    for one in manifest.files:
        data = files.get(one.name)
        if data is None:
            if one.name not in damaged:
                yield f"{one.name}: is gone"
        elif digest(data) != one.sha256:
            yield f"{one.name}: was changed{_where(one.parts, parts(one.name, data))}"
    for name in files.keys() - known - {MANIFEST}:
        yield f"{name}: was added"


def _where(before: dict[str, str], now: dict[str, str]) -> str:
    """Which lines or members differ."""
    found = [f"{name} changed" for name in before if name in now and now[name] != before[name]]
    found += [f"{name} gone" for name in before if name not in now]
    found += [f"{name} added" for name in now if name not in before]
    if not found:
        return ""
    left = f", and {len(found) - _MOST_PARTS} more" if len(found) > _MOST_PARTS else ""
    return f": {', '.join(found[:_MOST_PARTS])}{left}"


def _within(manifest: Manifest, files: dict[str, bytes]) -> Iterator[str]:
    """What files say of themselves, which holds even where somebody made a new manifest."""
    if (data := files.get(REFERENCES + JOURNAL)) is not None:
        yield from (f"{REFERENCES}{problem}" for problem in journal.parse(data).problems)
    for name, data in files.items():
        if name.startswith(REFERENCES) and name.endswith(".json"):
            try:
                packs.decode(data)
            except ValueError as error:
                yield f"{name}: {error}"
    if (data := files.get(AUDIT)) is not None:
        yield from _audit(manifest, data)
    if manifest.configuration and CONFIGURATION in files and digest(files[CONFIGURATION]) != manifest.configuration:
        yield f"{CONFIGURATION}: is not the one of which the audit log tells, {manifest.configuration[:12]}"
    if RECORD in files and PAGE in files:
        try:
            shown = record.decode(files[RECORD])
        except ValueError as error:
            yield f"{RECORD}: {error}"
        else:
            if shown.made_with == __version__ and page(shown).encode() != files[PAGE]:
                yield f"{PAGE}: does not show what {RECORD} says"


def _audit(manifest: Manifest, data: bytes) -> Iterator[str]:
    try:
        from exporters.store.audit import Entry
        from exporters.store.audit import digest as audit_digest
    except ModuleNotFoundError as error:
        raise ConfigError(missing_package(error)) from None
    before: Entry | None = None
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            entry = msgspec.json.decode(line, type=Entry)
        except msgspec.MsgspecError:
            yield f"{AUDIT}: line {number} is no entry"
            continue
        if entry.hash != audit_digest(manifest.deployment, entry):
            yield f"{AUDIT}: entry {entry.number} is not what its hash says"
        if before is not None and (entry.previous != before.hash or entry.number != before.number + 1):
            yield f"{AUDIT}: entry {entry.number} does not follow from {before.number}"
        before = entry
    head = before.hash if before is not None else ""
    if head != manifest.audit_head:
        yield f"{AUDIT}: does not end with the entry that was the head, {manifest.audit_head[:12]}"
    if manifest.audit_problem:
        yield f"{AUDIT}: was not as it was written when it was packed: {manifest.audit_problem}"
