"""The time that a report is about: a calendar month, or days from one to another, in UTC."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

from watchkeeper.core.errors import ConfigError

HOUR_SECONDS: Final = 3600
LAST_MONTH: Final = "last-month"
"""for who asks by the clock, as a CronJob does"""
_MONTH: Final = re.compile(r"(\d{4})-(\d{2})")
_DAYS: Final = re.compile(r"(\d{4}-\d{2}-\d{2})/(\d{4}-\d{2}-\d{2})")


class Period(msgspec.Struct, frozen=True):
    """`name` as it was asked for; unix seconds, `until` not itself."""

    name: str
    since: float
    until: float

    @property
    def hours(self) -> int:
        """By the clock."""
        return round((self.until - self.since) / HOUR_SECONDS)

    @property
    def days(self) -> float:
        return (self.until - self.since) / 86_400

    def holds(self, at: float) -> bool:
        return self.since <= at < self.until


def parse(text: str, now: float) -> Period:
    """
    `2026-10`, `2026-10-05/2026-10-11`, both days included, or `last-month`, the one before that of `now`.

    :raises ConfigError: none of them
    """
    if text == LAST_MONTH:
        text = f"{datetime.fromtimestamp(now, UTC).replace(day=1) - timedelta(days=1):%Y-%m}"
    try:
        if found := _MONTH.fullmatch(text):
            first = date(int(found[1]), int(found[2]), 1)
            last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
            return _of(text, first, last)
        if found := _DAYS.fullmatch(text):
            first, last = date.fromisoformat(found[1]), date.fromisoformat(found[2])
            if first <= last:
                return _of(text, first, last)
    except (ValueError, OverflowError):
        pass
    raise ConfigError(
        f"--period: '{text}' is no period: give a month like 2026-10, days like 2026-10-05/2026-10-11, or last-month"
    )


def _of(name: str, first: date, last: date) -> Period:
    since, until = (
        datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() for day in (first, last + timedelta(days=1))
    )
    return Period(name, since, until)
