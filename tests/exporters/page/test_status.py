from typing import Any

import pytest

from collector.otlp.answers import (
    BAD_METHOD,
    BAD_PATH,
    MALFORMED,
    OF_A_SIGNAL,
    OF_NO_SIGNAL,
    UNDECODABLE,
    UNSUPPORTED_ENCODING,
    UNSUPPORTED_TYPE,
)
from exporters.page.document import sentence
from exporters.page.findings import MAX_FINDINGS, FindingBook
from exporters.page.history import History
from exporters.page.served import LANGUAGES
from exporters.page.status import STALE_SECONDS, State, Status, Why, judge
from exporters.page.view import view_of
from watchkeeper.core.records import Finding, Severity
from watchkeeper.core.vocabulary import health


def finding(
    severity: Severity = Severity.CRITICAL, *, subject: str = "qwen3", since: float = 1.0, **more: Any
) -> Finding:
    return Finding(at=more.pop("at", since), since=since, severity=severity, subject=subject, summary="slow", **more)


def status_of(traffic: Any, *findings: Finding, later: float = 0.0) -> Status:
    """What is said of one batch with all that the traffic did."""
    history = History()
    history.add(traffic.batch())
    return judge(view_of(history.seen(), traffic.at + later), findings)


def whys(status: Status) -> list[Why]:
    return [remark.why for remark in status.remarks]


def test_before_the_first_batch_it_is_starting() -> None:
    status = judge(view_of(History().seen(), 1.0), ())

    assert (status.state, whys(status)) == (State.UNKNOWN, [Why.STARTING])


def test_with_nothing_to_watch_it_does_not_claim_to_be_well(traffic: Any) -> None:
    traffic.itself()

    assert status_of(traffic) == Status(State.UNKNOWN)


def test_calls_and_parts_that_work_are_well(traffic: Any) -> None:
    traffic.itself()
    traffic.engine()
    traffic.call()

    assert status_of(traffic) == Status(State.WELL)


def test_accelerators_alone_are_something_to_watch(traffic: Any) -> None:
    traffic.itself()
    traffic.devices(up=8)

    assert status_of(traffic) == Status(State.WELL)


def test_an_accelerator_that_cannot_be_read_is_worth_attention(traffic: Any) -> None:
    traffic.devices(up=6, down=2)

    status = status_of(traffic)

    assert (status.state, whys(status)) == (State.ATTENTION, [Why.DEVICES_DOWN])
    assert sentence(status.remarks[0], LANGUAGES["en"]) == "Accelerators that cannot be read: 2"


@pytest.mark.parametrize(
    ("severity", "state"),
    [(Severity.CRITICAL, State.BAD), (Severity.WARNING, State.ATTENTION), (Severity.INFO, State.WELL)],
)
def test_an_open_finding_sets_the_state_by_its_severity(traffic: Any, severity: Severity, state: State) -> None:
    traffic.call()

    assert status_of(traffic, finding(severity)).state is state


def test_a_resolved_finding_is_no_concern(traffic: Any) -> None:
    traffic.call()

    assert status_of(traffic, finding(resolved=True)) == Status(State.WELL)


def test_one_engine_of_two_down_is_worth_attention(traffic: Any) -> None:
    traffic.engine(address="a")
    traffic.engine(address="b", up=False, fault="unreachable")
    status = status_of(traffic)

    assert (status.state, whys(status)) == (State.ATTENTION, [Why.ENGINES_DOWN])
    assert status.remarks[0].names == ("b:8000",)


def test_a_model_without_an_engine_is_bad(traffic: Any) -> None:
    traffic.engine(address="a", model="other")
    traffic.engine(address="b", up=False)
    status = status_of(traffic)

    assert (status.state, whys(status)) == (State.BAD, [Why.MODEL_WITHOUT_ENGINE, Why.ENGINES_DOWN])
    assert status.remarks[0].names == ("qwen3",)


@pytest.mark.parametrize(
    ("good", "failed", "state"),
    [(100, 4, State.WELL), (95, 5, State.ATTENTION), (75, 25, State.BAD), (0, 2, State.WELL), (0, 3, State.BAD)],
)
def test_the_share_of_failed_calls_sets_the_state(traffic: Any, good: int, failed: int, state: State) -> None:
    for _ in range(good):
        traffic.call()
    for _ in range(failed):
        traffic.call(outcome="error")

    assert status_of(traffic).state is state


def test_errors_are_forgiven_after_five_minutes(traffic: Any) -> None:
    history = History()
    for _ in range(10):
        traffic.call(outcome="error")
    history.add(traffic.batch())
    for _ in range(62):
        traffic.call()
        history.add(traffic.batch(seconds=5))

    assert judge(view_of(history.seen(), traffic.at), ()) == Status(State.WELL)


def test_one_source_down_is_worth_attention_and_all_down_is_blindness(traffic: Any) -> None:
    traffic.call()
    traffic.set(health.SOURCE_UP, {"source": "otlp"}, 1.0)
    traffic.set(health.SOURCE_UP, {"source": "engines"}, 0.0)
    one = status_of(traffic)
    traffic.set(health.SOURCE_UP, {"source": "otlp"}, 0.0)
    traffic.set(health.SOURCE_UP, {"source": "engines"}, 0.0)
    both = status_of(traffic)

    assert (one.state, whys(one)) == (State.ATTENTION, [Why.SOURCES_DOWN])
    assert (both.state, whys(both)) == (State.BAD, [Why.BLIND])


@pytest.mark.parametrize(
    ("metric", "labels", "why"),
    [
        (health.DROPPED, {"source": "otlp", "reason": "aged"}, Why.DROPPED),
        (health.REJECTED, {"source": "otlp", "reason": "full"}, Why.REJECTED),
        (health.REFUSED_REQUESTS, {"source": "otlp", "reason": "too_large"}, Why.REQUESTS_REFUSED),
        (health.SERIES_FOLDED, {}, Why.SERIES_REFUSED),
    ],
)
def test_what_is_lost_or_refused_is_worth_attention(traffic: Any, metric: Any, labels: Any, why: Why) -> None:
    traffic.call()
    traffic.add(metric, labels, 3)
    status = status_of(traffic)

    assert (status.state, whys(status), status.remarks[0].amount) == (State.ATTENTION, [why], 3)


@pytest.mark.parametrize("reason", [refusal.reason for refusal in (*OF_A_SIGNAL, *OF_NO_SIGNAL)])
def test_a_request_that_no_sender_of_ours_made_alarms_nobody(traffic: Any, reason: str) -> None:
    traffic.call()
    traffic.add(health.REFUSED_REQUESTS, {"source": "otlp", "reason": reason})
    status = status_of(traffic)

    mistaken = {
        BAD_PATH, BAD_METHOD, MALFORMED, UNDECODABLE, UNSUPPORTED_TYPE, UNSUPPORTED_ENCODING,
    }  # fmt: skip
    if reason in {refusal.reason for refusal in mistaken}:
        assert status == Status(State.WELL)
    else:
        assert (status.state, whys(status)) == (State.ATTENTION, [Why.REQUESTS_REFUSED])


def test_items_refused_for_what_they_are_still_count(traffic: Any) -> None:
    traffic.call()
    traffic.add(health.REJECTED, {"source": "otlp", "signal": "traces", "reason": "undecodable"})

    assert whys(status_of(traffic)) == [Why.REJECTED]


@pytest.mark.parametrize(
    ("lang", "said"),
    [
        ("en", "Requests refused by otlp in the last 15 minutes: 12 (queue full, too large)"),
        ("zh", "otlp 最近 15 分钟拒绝请求 12 个（队列已满、内容过大）"),
    ],
)
def test_a_refusal_is_said_with_its_source_and_reasons_in_words(traffic: Any, lang: str, said: str) -> None:
    traffic.call()
    for reason, amount in (("too_large", 2), ("queue_full", 10), ("bad_path", 7)):
        traffic.add(health.REFUSED_REQUESTS, {"source": "otlp", "reason": reason}, amount)
    [remark] = status_of(traffic).remarks

    assert sentence(remark, LANGUAGES[lang]) == said


def test_a_nearly_full_queue_is_worth_attention(traffic: Any) -> None:
    traffic.call()
    traffic.set(health.QUEUE_SIZE, {"queue": "otlp"}, 85.0)
    traffic.set(health.QUEUE_CAPACITY, {"queue": "otlp"}, 100.0)

    assert whys(status_of(traffic)) == [Why.QUEUE_FULL]


def test_an_exporter_that_cannot_write_is_worth_attention(traffic: Any) -> None:
    traffic.call()
    traffic.set(health.EXPORTER_UP, {"exporter": "otlp"}, 0.0)

    assert whys(status_of(traffic)) == [Why.EXPORTERS_DOWN]


def test_numbers_that_stand_still_are_bad_news_first(traffic: Any) -> None:
    traffic.call()
    status = status_of(traffic, finding(), later=STALE_SECONDS + 1)

    assert (status.state, whys(status)) == (State.BAD, [Why.STALE, Why.FINDING])


def test_the_worst_remark_comes_first(traffic: Any) -> None:
    traffic.call()
    traffic.add(health.DROPPED, {"source": "otlp", "reason": "aged"}, 3)

    assert whys(status_of(traffic, finding(Severity.WARNING), finding())) == [Why.FINDING, Why.FINDING, Why.DROPPED]


@pytest.mark.parametrize(
    ("lang", "said"), [("en", "qwen3: slow (and 2 more of this kind)"), ("zh", "qwen3：slow（同类另有 2 条）")]
)
def test_many_findings_of_a_kind_are_one_remark(traffic: Any, lang: str, said: str) -> None:
    traffic.call()
    found = [finding(since=float(number)) for number in range(3)]
    few = [finding(subject="few", since=float(number)) for number in range(2)]
    remarks = status_of(traffic, *found, *few).remarks

    assert sentence(remarks[0], LANGUAGES[lang]) == said
    assert [remark.amount for remark in remarks] == [2, 0, 0]


def test_a_resolution_closes_its_finding() -> None:
    book = FindingBook()
    book.add(finding(since=1.0))
    book.add(finding(since=2.0))
    book.add(finding(since=1.0, at=9.0, resolved=True))

    assert [(entry.since, entry.resolved) for entry in book.newest()] == [(2.0, False), (1.0, True)]


def test_a_resolution_that_names_no_known_beginning_closes_all_of_its_subject() -> None:
    book = FindingBook()
    book.add(finding(since=1.0))
    book.add(finding(since=2.0, subject="other"))
    book.add(finding(since=5.0, resolved=True))

    assert [entry.subject for entry in book.newest() if not entry.resolved] == ["other"]


def test_the_gravest_open_finding_comes_first_then_the_newest() -> None:
    book = FindingBook()
    book.add(finding(Severity.CRITICAL, subject="old", since=1.0))
    book.add(finding(Severity.CRITICAL, subject="new", since=2.0))
    book.add(finding(Severity.INFO, subject="info", since=3.0))

    assert [entry.subject for entry in book.newest()] == ["new", "old", "info"]


def test_findings_are_bounded_and_resolved_ones_make_room_first() -> None:
    book = FindingBook()
    book.add(finding(subject="open", since=0.0))
    for number in range(3 * MAX_FINDINGS):
        book.add(finding(subject=f"s{number}", since=1.0, resolved=True))

    entries = book.newest()

    assert len(entries) == MAX_FINDINGS
    assert entries[0].subject == "open"
