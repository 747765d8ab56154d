"""
A pack: the record of a period and what it rests on, in one zip, with a manifest of hashes.

`manifest.json` names every file with its SHA-256; of a file of records (`.json` that is an object, `.jsonl`) also the
SHA-256 of each of its parts or lines, so that a change can be told to the line. The manifest's own SHA-256 is printed:
who keeps it elsewhere can tell a pack that was made anew.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from watchkeeper.agent.references.journal import NAME as JOURNAL
from watchkeeper.agent.report.governance_page import page
from watchkeeper.agent.report.record import Record
from watchkeeper.agent.report.sources import Sources

VERSION: Final = 1
MANIFEST: Final = "manifest.json"
RECORD: Final = "governance.json"
PAGE: Final = "governance.html"
FINDINGS: Final = "findings.json"
AUDIT: Final = "audit.jsonl"
CONFIGURATION: Final = "configuration.json"
REFERENCES: Final = "references/"


class Packed(msgspec.Struct, frozen=True):
    name: str
    sha256: str
    size: int
    parts: dict[str, str] = {}
    """by name of a part or number of a line: the beginning of its SHA-256"""


class Manifest(msgspec.Struct, frozen=True):
    version: int
    made_with: str
    made_at: float
    period: str
    deployment: str
    audit_head: str
    """hash of the last entry of the audit log; empty where there is none"""
    audit_number: int
    audit_problem: str
    """what was wrong with the audit log when it was packed"""
    configuration: str
    """SHA-256 of the configuration in force at the end of the period"""
    files: tuple[Packed, ...]


def pack(read: Sources, record: Record, references: Path) -> tuple[bytes, str]:
    """
    :param references: the folder of them
    :return: the zip, and the SHA-256 of its manifest
    """
    files = dict(_files(read, record, references))
    stored = read.stored
    manifest = Manifest(
        version=VERSION,
        made_with=record.made_with,
        made_at=record.made_at,
        period=record.period.name,
        deployment=record.deployment,
        audit_head=stored.audit_head.head_hash if stored else "",
        audit_number=stored.audit_head.head_number if stored else 0,
        audit_problem=stored.audit_head.problem if stored else "",
        configuration=stored.configuration[0] if stored else "",
        files=tuple(Packed(name, digest(data), len(data), parts(name, data)) for name, data in files.items()),
    )
    told = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    return _zipped({MANIFEST: told, **files}, record.made_at), digest(told)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def parts(name: str, data: bytes) -> dict[str, str]:
    """Hashes of the lines of a journal, or of the members of an object; empty of anything else."""
    if name.endswith(".jsonl"):
        return {f"line {number}": _short(line) for number, line in enumerate(data.splitlines(), start=1)}
    if name.endswith(".json") and not name.startswith(REFERENCES):
        try:
            members = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        except msgspec.MsgspecError:
            return {}
        return {member: _short(bytes(value)) for member, value in members.items()}
    return {}


def _short(data: bytes) -> str:
    return digest(data)[:16]


def _files(read: Sources, record: Record, references: Path) -> Iterator[tuple[str, bytes]]:
    yield RECORD, record.encode()
    yield PAGE, page(record).encode()
    yield FINDINGS, _lines_of({one.id: msgspec.to_builtins(one) for one in record.incidents})
    journal = references / JOURNAL
    if journal.exists():
        yield REFERENCES + JOURNAL, journal.read_bytes()
    used = {row.reference for row in record.drift}
    for pack_ in sorted(read.shelf.packs.values(), key=lambda one: one.id):
        if pack_.id in used:
            yield f"{REFERENCES}{pack_.id}.json", pack_.encode()
    if read.stored is None:
        return
    yield AUDIT, b"".join(msgspec.json.encode(entry) + b"\n" for entry in read.stored.audit)
    if read.stored.configuration[1]:
        yield CONFIGURATION, read.stored.configuration[1].encode()


def _lines_of(findings: dict[str, object]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(findings), indent=1)


def _zipped(files: dict[str, bytes], at: float) -> bytes:
    moment = datetime.fromtimestamp(at, UTC).timetuple()[:6]
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, moment), data, zipfile.ZIP_DEFLATED)
    return held.getvalue()
