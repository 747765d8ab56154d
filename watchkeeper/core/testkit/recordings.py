"""Recorded traffic that is kept beside the checkout, never in it."""

import os
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]


def recorded() -> Path:
    """
    The folder with `otlp/` and `engines/`: WATCHKEEPER_FIXTURES, else ../shared/fixtures. It may not exist: modules
    named `test_recorded_*` are then not collected.
    """
    return Path(os.environ.get("WATCHKEEPER_FIXTURES") or _ROOT.parent / "shared" / "fixtures")
