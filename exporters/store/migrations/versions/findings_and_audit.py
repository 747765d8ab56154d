"""Findings and their life, and the audit log."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False, server_default="")


def upgrade() -> None:
    op.create_table(
        "findings",
        sa.Column("id", sa.String(40), primary_key=True),
        *map(_text, ("deployment", "instance")),
        sa.Column("subject_key", sa.String(64), nullable=False),
        *map(_text, ("name", "subject")),
        sa.Column("labels", sa.Text, nullable=False, server_default="{}"),
        *map(_text, ("namespace", "service", "model", "severity", "summary")),
        sa.Column("evidence", sa.Text, nullable=False, server_default="[]"),
        sa.Column("causes", sa.Text, nullable=False, server_default="[]"),
        *map(_text, ("action", "runbook")),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("since", "opened_at", "changed_at")),
        sa.Column("resolved_at", sa.Float),
        sa.Column("acknowledged_at", sa.Float),
        _text("acknowledged_by"),
        sa.Column("closed_at", sa.Float),
        _text("closed_by"),
    )
    op.create_index("findings_by_subject", "findings", ["deployment", "instance", "subject_key"])
    op.create_index("findings_by_time", "findings", ["deployment", "opened_at"])
    op.create_table(
        "finding_events",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("finding", sa.String(40), sa.ForeignKey("findings.id", ondelete="CASCADE"), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        *map(_text, ("who", "deed", "text")),
    )
    op.create_index("ix_finding_events_finding", "finding_events", ["finding"])
    op.create_table(
        "audit",
        sa.Column("deployment", sa.String(200), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Float, nullable=False),
        *map(_text, ("who", "action", "subject", "detail", "previous", "hash")),
    )
    op.create_table(
        "audit_heads",
        sa.Column("deployment", sa.String(200), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        _text("hash"),
        sa.Column("base_number", sa.Integer, nullable=False),
        _text("base_hash"),
    )
