import random

import pytest

from detectors.signals._memory import CELL_SECONDS, DAY_CELLS, Memory
from detectors.signals.arrival import PLUGIN
from watchkeeper.core.records import Severity
from watchkeeper.core.vocabulary import engines

HOUR = 3_600.0
DAY = 24 * HOUR
CHAT = ("ml", "chat", "otlp")


def days(watch, number, services=("chat",), *, first=0):
    """A minute a tick; office hours from 8 to 18 with traffic that rises and fades, weekends (days 5, 6) without."""
    for day in range(first, first + number):
        for minute in range(1_440):
            hour = minute / 60
            busy = 8 <= hour < 18 and day % 7 < 5
            for service in services if busy else ():
                watch.calls(max(1, round(10 * min(1.0, hour - 7.9, 18.1 - hour))), service=service)
            watch.tick(60.0)


class TestOneService:
    def test_one_that_stops_while_others_go_on_warns_within_minutes(self, way):
        watch = way(PLUGIN)
        for _ in range(400):
            watch.calls(3)
            watch.calls(3, service="search")
            watch.tick()
        stopped_at = watch.at
        watch.run(1_200, 3, service="search")

        [finding] = watch.raised
        assert finding.severity is Severity.WARNING
        assert finding.at - stopped_at <= 620
        assert abs(finding.since - stopped_at) <= 10
        assert finding.summary.startswith("no record has come from ml/chat over otlp for 10 minutes")
        assert "other services of this source go on" in finding.summary
        assert finding.action
        assert watch.state(*CHAT) == 1
        assert watch.state("otlp") == 0

    def test_it_is_over_with_the_first_record(self, way):
        watch = way(PLUGIN)
        for _ in range(400):
            watch.calls(3)
            watch.calls(3, service="search")
            watch.tick()
        watch.run(1_200, 3, service="search")
        watch.calls(1)
        watch.tick()

        assert len(watch.over) == 1
        assert watch.state(*CHAT) == 0

    def test_one_that_is_gone_for_a_day_is_forgotten(self, way):
        watch = way(PLUGIN)
        for _ in range(120):
            watch.calls(9)
            watch.calls(9, service="search")
            watch.tick(60.0)
        watch.run(25 * HOUR, 9, service="search", every=60.0)

        assert watch.state(*CHAT) is None
        assert watch.over[-1].summary.endswith("(no longer observed)")

    def test_a_job_that_runs_once_an_hour_is_not_missed_in_between(self, way):
        watch = way(PLUGIN)
        for minute in range(3 * 1_440):
            watch.calls(2, service="search")
            if minute % 60 < 5:
                watch.calls(30)
            watch.tick(60.0)

        assert watch.raised == []

    def test_a_few_records_a_day_are_no_rhythm(self, way):
        watch = way(PLUGIN)
        chance = random.Random(1)
        for _ in range(3 * 1_440):
            watch.calls(2, service="search")
            watch.calls(int(chance.random() < 0.005))
            watch.tick(60.0)

        assert watch.raised == []


class TestAllOfASource:
    def test_several_services_that_stop_at_once_alarm(self, way):
        watch = way(PLUGIN)
        for _ in range(800):
            watch.calls(1)
            watch.calls(1, service="search")
            watch.tick()
        watch.run(1_200)

        [finding] = watch.raised
        assert finding.severity is Severity.CRITICAL
        assert finding.summary.startswith("no record of any service has come over otlp for 10 minutes")
        assert finding.labels == (("link", "otlp"),)

    def test_one_service_that_stops_on_its_first_day_only_warns(self, way):
        """The end of a load test looks the same."""
        watch = way(PLUGIN)
        watch.run(8_000, 3)
        watch.run(1_800)

        assert [finding.severity for finding in watch.raised] == [Severity.WARNING]

    def test_silence_while_engines_go_on_alarms_at_once(self, way):
        watch = way(PLUGIN)
        for _ in range(400):
            watch.calls(3)
            watch.add(engines.FINISHED, 3, service__name="llama")
            watch.tick()
        stopped_at = watch.at
        for _ in range(60):
            watch.add(engines.FINISHED, 3, service__name="llama")
            watch.tick()

        [finding] = watch.raised
        assert finding.severity is Severity.CRITICAL
        assert finding.at - stopped_at <= 310
        assert "the engines finished about 9" in finding.summary

    def test_work_for_others_is_no_witness(self, way):
        """An engine that also works for callers who never told of anything."""
        watch = way(PLUGIN)
        for minute in range(240):
            watch.calls(2 if minute < 120 and minute % 10 == 0 else 0)
            watch.add(engines.FINISHED, 60, service__name="llama")
            watch.tick(60.0)

        assert watch.raised == []

    def test_too_little_time_is_no_silence(self, way):
        watch = way(PLUGIN)
        watch.run(8_000, 3)
        watch.run(290)
        watch.run(600, 3)

        assert watch.raised == []

    def test_a_pause_of_watchkeeper_itself_is_nobodys_silence(self, way):
        watch = way(PLUGIN)
        watch.run(8_000, 3)
        watch.tick(7_200.0)
        watch.tick()
        watch.run(290)

        assert watch.raised == []

    def test_a_clock_that_is_set_back_stops_nothing(self, way):
        watch = way(PLUGIN)
        watch.run(8_000, 3)
        watch.at -= DAY
        watch.run(8_000, 3)
        watch.run(1_200)

        assert len(watch.raised) == 1

    def test_until_it_is_known_for_an_hour_nothing_is_said(self, way):
        watch = way(PLUGIN)
        watch.run(1_800, 3)
        assert watch.states == {}
        watch.run(7_200)

        assert watch.raised == []


class TestNightsAndWeekends:
    def test_an_office_that_rests_is_told_of_its_first_weekend_alone(self, way):
        watch = way(PLUGIN)
        days(watch, 5)
        assert watch.raised == []
        days(watch, 2, first=5)
        [weekend] = watch.raised
        assert weekend.severity is Severity.WARNING
        days(watch, 10, first=7)

        assert watch.raised == [weekend]

    @pytest.mark.parametrize("day", [7, 8])
    def test_a_stop_in_office_hours_alarms_on_a_monday_as_on_a_tuesday(self, way, day):
        watch = way(PLUGIN)
        days(watch, day)
        before = len(watch.raised)
        watch.run(8 * HOUR, every=60.0)
        watch.run(2 * HOUR, 10, every=60.0)
        stopped_at = watch.at
        watch.run(HOUR, every=60.0)

        finding = watch.raised[before]
        assert finding.severity is Severity.CRITICAL
        assert finding.at - stopped_at <= 600
        assert "on days before" in finding.summary

    def test_an_office_that_does_not_open_at_all_is_missed_too(self, way):
        watch = way(PLUGIN)
        days(watch, 3)
        watch.run(12 * HOUR, every=60.0)

        [finding] = watch.raised
        assert 9 * HOUR < finding.at - watch.began - 3 * DAY < 11 * HOUR


class TestMemory:
    def test_of_the_days_known_the_emptier_one_counts(self):
        memory = Memory(0.0)
        for cell in range(8 * DAY_CELLS):
            memory.add(6.0 if cell // DAY_CELLS == 1 else 60.0, cell * CELL_SECONDS)
        began = 8 * DAY_CELLS * CELL_SECONDS

        assert memory.usual(began, began + 600.0) == pytest.approx(6.0, rel=0.01)

    def test_a_day_without_traffic_is_passed_over(self):
        memory = Memory(0.0)
        for cell in range(2 * DAY_CELLS):
            memory.add(60.0, cell * CELL_SECONDS)
        began = 4 * DAY_CELLS * CELL_SECONDS + 3_600.0

        assert memory.usual(began, began + 300.0) == 0.0
        began = 3.5 * DAY
        assert memory.usual(began, began + 300.0) == pytest.approx(30.0)

    def test_without_a_day_before_there_is_nothing_usual(self):
        memory = Memory(0.0)
        for cell in range(DAY_CELLS):
            memory.add(60.0, cell * CELL_SECONDS)

        assert memory.usual(DAY, DAY + 600.0) is None

    @pytest.mark.parametrize(
        ("hour", "expected"),
        [((60,) * 6, 60.0), ((60, 60, 60, 60, 60, 20), None), ((3,) * 6, None), ((9, 5, 9, 8, 9, 9), 5.0)],
    )
    def test_an_hour_is_steady_when_it_does_not_fall_off(self, hour, expected):
        memory = Memory(0.0)
        for cell, records in enumerate((50, 50, *hour)):
            memory.add(records, cell * CELL_SECONDS)
        began = 8 * CELL_SECONDS

        assert memory.steady(began, began + 600.0) == expected

    def test_the_oldest_is_let_go_after_eight_days(self):
        memory = Memory(0.0)
        for cell in range(20 * DAY_CELLS):
            memory.add(1.0, cell * CELL_SECONDS)
        began = 20 * DAY

        assert memory.usual(began, began + 2 * HOUR) == pytest.approx(12.0, rel=0.1)
