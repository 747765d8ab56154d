"""What the store holds, as the newest migration leaves it. Times are unix seconds, `hour` the hour they began in."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA: Final = MetaData()


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


FINDINGS: Final = Table(
    "findings",
    METADATA,
    Column("id", String(40), primary_key=True),
    _text("deployment"),
    _text("instance"),
    Column("subject_key", String(64), nullable=False),
    _text("name"),
    _text("subject"),
    Column("labels", Text, nullable=False, server_default="{}"),
    _text("namespace"),
    _text("service"),
    _text("model"),
    _text("severity"),
    _text("summary"),
    Column("evidence", Text, nullable=False, server_default="[]"),
    Column("causes", Text, nullable=False, server_default="[]"),
    _text("action"),
    _text("runbook"),
    Column("since", Float, nullable=False),
    Column("opened_at", Float, nullable=False),
    Column("changed_at", Float, nullable=False),
    Column("resolved_at", Float),
    Column("acknowledged_at", Float),
    _text("acknowledged_by"),
    Column("closed_at", Float),
    _text("closed_by"),
    _text("cause"),
    _text("cause_by"),
    Column("cause_at", Float),
    Index("findings_by_subject", "deployment", "instance", "subject_key"),
    Index("findings_by_time", "deployment", "opened_at"),
)
FINDING_EVENTS: Final = Table(
    "finding_events",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("finding", String(40), ForeignKey("findings.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", Float, nullable=False),
    _text("who"),
    _text("deed"),
    _text("text"),
)
AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("deployment", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    _text("who"),
    _text("action"),
    _text("subject"),
    _text("detail"),
    _text("previous"),
    _text("hash"),
)
AUDIT_HEADS: Final = Table(
    "audit_heads",
    METADATA,
    Column("deployment", String(200), primary_key=True),
    Column("number", Integer, nullable=False),
    _text("hash"),
    Column("base_number", Integer, nullable=False),
    _text("base_hash"),
)
CHANGES: Final = Table(
    "changes",
    METADATA,
    Column("id", String(80), primary_key=True),
    _text("deployment"),
    _text("instance"),
    Column("at", Float, nullable=False),
    _text("kind"),
    _text("who"),
    _text("subject"),
    _text("summary"),
    _text("hash"),
    Index("changes_by_time", "deployment", "at"),
)
CONFIGURATIONS: Final = Table(
    "configurations",
    METADATA,
    Column("hash", String(64), primary_key=True),
    Column("at", Float, nullable=False),
    _text("document"),
)
WRITERS: Final = Table(
    "writers",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("key", String(40), nullable=False, unique=True),
    _text("deployment"),
    _text("instance"),
    _text("version"),
    Column("started_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
)
SEGMENTS: Final = Table(
    "segments",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("deployment", String(200), nullable=False),
    Column("segment", String(600), nullable=False),
    UniqueConstraint("deployment", "segment", name="segments_once"),
)
STREAMS: Final = Table(
    "streams",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("segment", Integer, ForeignKey("segments.id"), nullable=False),
    Column("signal", String(200), nullable=False),
    Column("reference", String(64), nullable=False),
    UniqueConstraint("segment", "signal", "reference", name="streams_once"),
)
PROFILES: Final = Table(
    "profiles",
    METADATA,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("stream", Integer, primary_key=True, autoincrement=False),
    Column("writer", Integer, primary_key=True, autoincrement=False),
    Column("counts", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
SAMPLES: Final = Table(
    "samples",
    METADATA,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("segment", Integer, primary_key=True, autoincrement=False),
    Column("writer", Integer, primary_key=True, autoincrement=False),
    Column("seen", Integer, nullable=False),
    Column("rows", LargeBinary, nullable=False),
)
INVENTORY: Final = Table(
    "inventory",
    METADATA,
    Column("id", String(64), primary_key=True),
    _text("deployment"),
    _text("kind"),
    _text("namespace"),
    _text("service"),
    _text("provider"),
    _text("name"),
    _text("version"),
    Column("first_seen", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    Index("inventory_by_kind", "deployment", "kind"),
)
