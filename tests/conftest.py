"""
With REQUIRE_ALL=1 in the environment nothing may be skipped: what a test needs and does not find is a failure. Only
hardware cannot be installed: a skip whose reason begins with "needs hardware" stays a skip.
Modules over recorded traffic are no part of the project: without the recordings they are not collected, and said so.
"""

import os
import zlib
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

from watchkeeper.core.testkit import recorded

hypothesis.settings.load_profile("ci")
"""nothing of chance in a run: the same examples each time, and no limit on how long one takes"""
os.environ.setdefault("GOGC", "400")
"""for promtool, Prometheus and other programs in Go that tests start: a quarter of their work is collecting garbage"""
REQUIRE_ALL = os.environ.get("REQUIRE_ALL", "") not in ("", "0")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return True if collection_path.name.startswith("test_recorded_") and not recorded().is_dir() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mixes files that wait with files that work, always alike: those that wait otherwise end up side by side."""
    items.sort(key=lambda item: zlib.crc32(item.nodeid.partition("::")[0].encode()))


def pytest_report_header() -> str:
    if recorded().is_dir():
        return f"recorded traffic: {recorded()}"
    return f"recorded traffic: not at {recorded()}, so test_recorded_* are left out (WATCHKEEPER_FIXTURES names it)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if REQUIRE_ALL and report.skipped:
        _fail(report)
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if reason.startswith("Skipped: needs hardware"):
        return
    report.outcome = "failed"
    report.longrepr = f"REQUIRE_ALL=1 allows no skip. {reason}"
