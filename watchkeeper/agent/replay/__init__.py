"""History run through the pipeline again: what would have alarmed, and when. See docs/replay.md."""
