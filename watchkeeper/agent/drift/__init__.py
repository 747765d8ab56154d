"""Drift of what calls show: streams of observations, each judged against its approved reference. See docs/drift.md."""
