"""The cause a person confirmed; window profiles, sampled rows, inventory, changes, and who writes here."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False, server_default="")


def _key(name: str) -> "sa.Column[int]":
    kind = sa.BigInteger if name == "hour" else sa.Integer
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def upgrade() -> None:
    op.add_column("findings", _text("cause"))
    op.add_column("findings", _text("cause_by"))
    op.add_column("findings", sa.Column("cause_at", sa.Float))
    op.create_table(
        "changes",
        sa.Column("id", sa.String(80), primary_key=True),
        *map(_text, ("deployment", "instance")),
        sa.Column("at", sa.Float, nullable=False),
        *map(_text, ("kind", "who", "subject", "summary", "hash")),
    )
    op.create_index("changes_by_time", "changes", ["deployment", "at"])
    op.create_table(
        "configurations",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        _text("document"),
    )
    op.create_table(
        "writers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(40), nullable=False, unique=True),
        *map(_text, ("deployment", "instance", "version")),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("seen_at", sa.Float, nullable=False),
    )
    op.create_table(
        "segments",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("deployment", sa.String(200), nullable=False),
        sa.Column("segment", sa.String(600), nullable=False),
        sa.UniqueConstraint("deployment", "segment", name="segments_once"),
    )
    op.create_table(
        "streams",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("segment", sa.Integer, sa.ForeignKey("segments.id"), nullable=False),
        sa.Column("signal", sa.String(200), nullable=False),
        sa.Column("reference", sa.String(64), nullable=False),
        sa.UniqueConstraint("segment", "signal", "reference", name="streams_once"),
    )
    op.create_table(
        "profiles",
        *map(_key, ("hour", "stream", "writer")),
        sa.Column("counts", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "samples",
        *map(_key, ("hour", "segment", "writer")),
        sa.Column("seen", sa.Integer, nullable=False),
        sa.Column("rows", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "inventory",
        sa.Column("id", sa.String(64), primary_key=True),
        *map(_text, ("deployment", "kind", "namespace", "service", "provider", "name", "version")),
        sa.Column("first_seen", sa.Float, nullable=False),
        sa.Column("last_seen", sa.Float, nullable=False),
    )
    op.create_index("inventory_by_kind", "inventory", ["deployment", "kind"])
