"""What each fault leads to: the table that is kept is of these rules, and nothing in it is to be regretted."""

import msgspec
import pytest

from dashboards import fault_table
from dashboards.estate import FAULTS
from dashboards.fault_table import Kept, Outcome, Row, keep, kept, line, problems, row
from dashboards.heard import Alarm, told
from dashboards.values import DEFAULTS

PAGE = {"component": "watchkeeper", "alertname": "WatchkeeperEngineStalled", "severity": "critical",
        "area": "saturation", "service_name": "chat", "gen_ai_request_model": "qwen"}  # fmt: skip
TICKET = PAGE | {"alertname": "WatchkeeperServiceUnusual", "severity": "warning"}
REVIEW = PAGE | {"alertname": "WatchkeeperDataQuality", "severity": "info", "area": "data_drift"}
WATCHDOG = {"component": "watchkeeper", "alertname": "WatchkeeperWatchdog", "severity": "none", "area": "monitor"}


def test_the_table_that_is_kept_is_of_these_rules_and_of_every_fault():
    assert kept().rules == fault_table.digest(DEFAULTS), (
        "conditions or routing changed; run: watchkeeper simulate --table --trouble-hours 2"
        " --keep dashboards/estate/outcomes.yaml"
    )
    assert [one.fault for one in kept().rows] == [fault_table.HEALTHY, *(fault.name for fault in FAULTS)]


def test_every_fault_is_heard_of_in_time_by_its_own_alert_and_pages_at_most_once():
    assert list(problems(kept().rows)) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Row("", 0, 1, (Outcome("QueueSaturated", "warning", 3.0, 8.0),)),
         "nothing is wrong, and QueueSaturated fires"),
        (Row("leak", 0, 0, (Outcome("SensitiveDataLeak", "critical", 0.0),)),
         "leak: nobody hears of SensitiveDataLeak"),
        (Row("leak", 1, 0, (Outcome("SensitiveDataLeak", "critical", 9.0, 9.5),)),
         "leak: SensitiveDataLeak after 9 minutes, 2 are promised"),
        (Row("leak", 2, 0, (Outcome("SensitiveDataLeak", "critical", 0.0, 0.5),)), "leak: 2 pages for one incident"),
        (Row("leak", 1, 0, (Outcome("SensitiveDataLeak", "critical", -5.0, -4.5),)),
         "leak: before it begins fires SensitiveDataLeak"),
    ],
)  # fmt: skip
def test_what_an_operator_would_regret_is_named(wrong, said):
    assert list(problems([wrong])) == [said]


def test_what_is_kept_reads_back_as_it_was():
    rows = (
        Row("", 0, 0, ()),
        Row("leak", 1, 0, (Outcome("SensitiveDataLeak", "critical", 0.0, 0.5), Outcome("X", "info", 9.0))),
    )

    assert msgspec.yaml.decode(keep(rows, DEFAULTS), type=Kept) == Kept(fault_table.digest(DEFAULTS), rows)


def test_a_row_says_what_names_the_fault_what_else_is_heard_and_what_is_muted():
    first = 6000.0
    alarms = [
        Alarm(WATCHDOG, ((0.0, 9000.0),)),
        Alarm(PAGE | {"k8s_pod_name": "chat-0"}, ((first + 180, 9000.0),)),
        Alarm(PAGE | {"k8s_pod_name": "chat-1"}, ((first + 240, 9000.0),)),
        Alarm(TICKET, ((first + 60, first + 120), (first + 500, 9000.0))),
        Alarm({**TICKET, "gen_ai_request_model": "another"}, ((first + 600, 9000.0),)),
        Alarm({**TICKET, "alertname": "WatchkeeperTtftBudgetBurn", "area": "slo"}, ((first + 600, 9000.0),)),
    ]
    made = row("engine-hangs", alarms, first, DEFAULTS)

    assert (made.pages, made.tickets) == (1, 1)
    assert line(made) == (
        "| `engine-hangs`: an engine hangs | page `EngineStalled` | 3 min (5) | 1, 1 | ticket `ServiceUnusual` 15 |"
        " ticket `TtftBudgetBurn` 10 |"
    )


class TestWhatIsHeard:
    def test_a_page_waits_half_a_minute_and_a_ticket_five(self):
        assert told([Alarm(PAGE, ((0.0, 600.0),))], DEFAULTS) == [30.0]
        assert told([Alarm(TICKET, ((0.0, 600.0),))], DEFAULTS) == [300.0]

    def test_what_ends_before_its_wait_is_not_told(self):
        assert told([Alarm(TICKET, ((0.0, 200.0), (900.0, 1000.0)))], DEFAULTS) == [None]

    def test_nobody_is_told_of_a_review_of_data(self):
        assert told([Alarm(REVIEW, ((0.0, 9000.0),))], DEFAULTS) == [None]

    def test_a_ticket_that_a_page_mutes_is_told_when_the_page_has_ended(self):
        alarms = [Alarm(PAGE, ((200.0, 1000.0),)), Alarm(TICKET, ((0.0, 2000.0),))]

        assert told(alarms, DEFAULTS) == [230.0, 1001.0]

    def test_a_ticket_that_was_sent_before_the_page_was_heard(self):
        alarms = [Alarm(PAGE, ((400.0, 1000.0),)), Alarm(TICKET, ((0.0, 2000.0),))]

        assert told(alarms, DEFAULTS) == [430.0, 300.0]

    def test_a_page_about_another_model_mutes_nothing(self):
        alarms = [Alarm(PAGE | {"gen_ai_request_model": "another"}, ((0.0, 9000.0),)), Alarm(TICKET, ((0.0, 9000.0),))]

        assert told(alarms, DEFAULTS) == [30.0, 300.0]
