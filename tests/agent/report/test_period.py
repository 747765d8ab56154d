"""The period of a report."""

from datetime import UTC, datetime

import pytest

from watchkeeper.agent.report.period import parse
from watchkeeper.core.errors import ConfigError


@pytest.mark.parametrize(
    ("now", "month"),
    [
        ("2026-11-01T00:00:00", "2026-10"),
        ("2026-11-30T23:59:59", "2026-10"),
        ("2026-01-15T12:00:00", "2025-12"),
        ("2028-03-31T05:17:00", "2028-02"),
    ],
)
def test_last_month_is_the_whole_one_before_that_of_now(now, month):
    at = datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp()

    assert parse("last-month", at) == parse(month, at)


def test_what_is_no_period_is_refused_with_those_that_are():
    with pytest.raises(ConfigError, match="'october' is no period: give a month like 2026-10, days like"):
        parse("october", 0.0)
