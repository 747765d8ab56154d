"""Revisions, run by Alembic in the order that `migrations.REVISIONS` tells."""
