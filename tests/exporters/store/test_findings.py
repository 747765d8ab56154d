"""Findings and their life, changes and what is counted, on SQLite and on PostgreSQL."""

import threading

import msgspec
import pytest

from exporters.store import audit, deeds, keep, queries
from exporters.store.events import FindingTold
from exporters.store.queries import Wanted
from exporters.store.totals import Writer
from watchkeeper.core.observed import Counted, Drawn, Row
from watchkeeper.core.records import Batch, Cause, Change, ChangeKind, Point, Seen
from watchkeeper.core.vocabulary import devices, requests

AT = 1_790_000_000.0
DEPLOYMENT = "default"
HOUR = AT // 3600 * 3600


def test_a_finding_is_opened_changed_and_resolved_as_one(place):
    store = place.store()
    causes = (Cause("a new release", 0.8, ("tokens 3 -> 5",)),)
    place.tell(
        store,
        place.finding(),
        place.finding(at=AT + 1, summary="later", causes=causes),
        place.finding(at=AT + 2, resolved=True),
    )
    store.close()

    [found] = place.ask(queries.findings, Wanted())
    told = place.ask(queries.finding, found.id)

    assert (found.standing, found.summary, found.model, found.resolved_at) == ("resolved", "later", "m0", AT + 2)
    assert (found.opened_at, found.changed_at, found.since) == (AT, AT + 1, AT - 59)
    assert found.causes == list(causes)
    assert [one.deed for one in told.life] == ["opened", "changed", "resolved"]


def test_what_is_found_again_after_it_was_over_is_another_finding(place):
    store = place.store()
    place.tell(store, place.finding(), place.finding(at=AT + 1, resolved=True), place.finding(at=AT + 2))
    store.close()

    assert [one.standing for one in place.ask(queries.findings, Wanted())] == ["open", "resolved"]


def test_a_finding_of_an_earlier_run_is_gone_on_with(place):
    for at in (AT, AT + 60):
        store = place.store()
        place.tell(store, place.finding(at=at))
        store.close()

    [found] = place.ask(queries.findings, Wanted())
    assert [one.deed for one in place.ask(queries.finding, found.id).life] == ["opened", "changed"]


def test_an_event_that_was_written_already_counts_once_and_is_no_refusal(place):
    place.store().close()
    writer = Writer(DEPLOYMENT, "here", "w", "1", AT)
    events = [FindingTold("w-1", place.finding()), FindingTold("w-2", place.finding(at=AT + 1))]

    said = [place.do(lambda c, event=event: keep.event(c, writer, event)) for event in (*events, *events)]

    [found] = place.ask(queries.findings, Wanted())
    assert said == [True, True, False, False]
    assert [one.deed for one in place.ask(queries.finding, found.id).life] == ["opened", "changed"]
    assert place.ask(audit.verify).entries == 2


def test_the_same_subject_of_another_process_is_another_finding(place):
    for instance in ("one", "other"):
        store = place.store(instance=instance)
        place.tell(store, place.finding())
        store.close()

    assert sorted(one.instance for one in place.ask(queries.findings, Wanted())) == ["one", "other"]


def test_findings_are_listed_by_what_is_asked_for_and_page_by_page(place):
    store = place.store()
    place.tell(store, *(place.finding(number, at=AT + number) for number in range(5)))
    store.close()

    assert [one.model for one in place.ask(queries.findings, Wanted(model="m3"))] == ["m3"]
    assert place.ask(queries.findings, Wanted(severity="critical")) == []
    assert [one.model for one in place.ask(queries.findings, Wanted(since=AT + 1, until=AT + 3))] == ["m2", "m1"]
    first = place.ask(queries.findings, Wanted(limit=2))
    second = place.ask(queries.findings, Wanted(limit=2, before=first[-1].id))
    assert [one.model for one in (*first, *second)] == ["m4", "m3", "m2", "m1"]


def test_people_acknowledge_confirm_and_close_and_each_deed_is_audited(place):
    store = place.store()
    place.tell(store, place.finding())
    store.close()
    [found] = place.ask(queries.findings, Wanted())

    place.do(lambda c: deeds.acknowledge(c, DEPLOYMENT, found.id, at=AT + 5, who="ann", comment="looking"))
    acknowledged = place.ask(queries.finding, found.id)
    place.do(lambda c: deeds.confirm(c, DEPLOYMENT, found.id, at=AT + 6, who="bob", cause="release 7", comment=""))
    place.do(lambda c: deeds.close(c, DEPLOYMENT, found.id, at=AT + 7, who="ann", comment="rolled back"))
    place.do(lambda c: deeds.comment(c, DEPLOYMENT, found.id, at=AT + 8, who="eve", comment="thanks"))

    closed = place.ask(queries.finding, found.id)
    assert (acknowledged.standing, acknowledged.acknowledged_by) == ("acknowledged", "ann")
    assert (closed.standing, closed.closed_by, closed.cause, closed.cause_by) == ("closed", "ann", "release 7", "bob")
    assert [(one.who, one.deed, one.text) for one in closed.life[1:]] == [
        ("ann", "acknowledged", "looking"),
        ("bob", "cause confirmed", "release 7"),
        ("ann", "closed", "rolled back"),
        ("eve", "commented", "thanks"),
    ]
    told = place.ask(audit.entries)
    assert [(one.who, one.action) for one in told[-4:]] == [
        ("ann", "finding acknowledged"),
        ("bob", "finding cause confirmed"),
        ("ann", "finding closed"),
        ("eve", "finding commented"),
    ]
    assert place.ask(audit.verify).problem == ""
    with pytest.raises(deeds.ConflictError):
        place.do(lambda c: deeds.acknowledge(c, DEPLOYMENT, found.id, at=AT + 9, who="eve", comment=""))
    with pytest.raises(deeds.NotFoundError):
        place.do(lambda c: deeds.close(c, DEPLOYMENT, "none", at=AT + 9, who="eve", comment=""))


def test_of_several_that_close_a_finding_at_once_one_does(place):
    store = place.store()
    place.tell(store, place.finding())
    store.close()
    [found] = place.ask(queries.findings, Wanted())
    done = []

    def work(who):
        try:
            place.do(lambda c: deeds.close(c, DEPLOYMENT, found.id, at=AT + 7, who=who, comment=""))
            done.append(who)
        except deeds.ConflictError:
            pass

    threads = [threading.Thread(target=work, args=(f"p{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [place.ask(queries.finding, found.id).closed_by] == done
    assert [one.deed for one in place.ask(queries.finding, found.id).life] == ["opened", "closed"]


def test_what_goes_on_after_a_person_closed_it_is_another_finding(place):
    store = place.store()
    place.tell(store, place.finding())
    store.close()
    [found] = place.ask(queries.findings, Wanted())
    place.do(lambda c: deeds.close(c, DEPLOYMENT, found.id, at=AT + 7, who="ann", comment="noise"))
    store = place.store()
    place.tell(store, place.finding(at=AT + 10))
    store.close()

    assert [one.standing for one in place.ask(queries.findings, Wanted())] == ["open", "closed"]


def test_counts_of_an_hour_add_up_over_ticks_and_writers(place):
    for _ in range(2):
        store = place.store()
        for at in (AT, AT + 10):
            store.write(Batch(at, counted=(Counted(at, "shop/chat/qwen", "refusal", "ab" * 32, [5, 1]),)))
        store.close()

    [profile] = place.ask(queries.profiles, HOUR, HOUR + 1)
    assert (profile.segment, profile.signal, profile.counts) == ("shop/chat/qwen", "refusal", [20, 4])
    assert place.ask(queries.profiles, HOUR + 1, HOUR + 7200) == []


def test_counts_written_twice_count_once(place):
    store = place.store()
    store.close()
    stream = ("shop/chat/qwen", "refusal", "ab" * 32)
    store._hours.add([Counted(AT, *stream, [5, 1])])
    for _ in range(2):
        store._keep_totals(AT)
        store._hours._changed[int(HOUR), stream] = None

    assert [one.counts for one in place.ask(queries.profiles, HOUR, HOUR + 1)] == [[5, 1]]


def test_counts_of_an_hour_long_over_that_come_in_parts_add_up(place):
    store = place.store()
    store.close()
    for part in ([5, 1], [2, 2], [0, 1]):
        store._hours.add([Counted(AT, "shop/chat/qwen", "refusal", "ab" * 32, part)])
        store._keep_totals(AT + 10 * 3600)

    assert [one.counts for one in place.ask(queries.profiles, HOUR, HOUR + 1)] == [[7, 4]]


def test_rows_drawn_are_kept_as_the_last_word_on_their_hour(place):
    store = place.store()
    for seen in (1, 7):
        row = Row(AT, "shop/chat/qwen", {"input_tokens": float(seen), "finish_reason": "stop"})
        store.write(Batch(AT, drawn=(Drawn(HOUR, "shop/chat/qwen", seen, (row,)),)))
    store.close()

    [sampled] = place.ask(queries.samples, HOUR, HOUR + 1)
    assert (sampled.seen, sampled.instance) == (7, "here")
    assert [one.values["input_tokens"] for one in sampled.rows] == [7.0]


def test_models_services_and_devices_are_known_with_when_they_were_first_and_last_seen(place):
    calls = (("service.name", "chat"), ("gen_ai.request.model", "qwen"), ("gen_ai.response.model", "qwen-7b"))
    card = (("hw.id", "GPU-1"), ("hw.vendor", "nvidia"), ("hw.model", "H200"), ("hw.driver_version", "580.1"))
    for times in ((AT + 50, AT + 40), (AT, AT + 100), (AT + 60,)):
        store = place.store()
        for at in times:
            points = (Point(requests.REQUESTS, calls, 3.0), Point(devices.INFO, card, 1.0))
            store.write(Batch(at, points=points, seen=(Seen(at, "shop", "chat", "1.4"),)))
        store.close()

    found = {one.kind: one for one in place.ask(queries.inventory)}
    assert (found["model"].name, found["model"].version) == ("qwen", "qwen-7b")
    assert (found["device"].name, found["device"].version) == ("H200", "driver 580.1")
    assert found["service"].version == "1.4"
    assert {(one.first_seen, one.last_seen) for one in found.values()} == {(AT, AT + 100)}


def test_a_configuration_counts_as_changed_where_it_differs_and_the_difference_is_kept(place):
    def start(number: int, **settings: float) -> Change:
        document = msgspec.json.encode({"drift": settings}).decode()
        return Change(at=AT + number, kind=ChangeKind.CONFIGURATION, key=f"k{number}", subject="run", document=document)

    store = place.store()
    for number, days in enumerate((30.0, 30.0, 7.0)):
        store.write(Batch(AT, changes=(start(number, days=days),)))
    store.close()

    told = place.ask(queries.changes, AT - 1, AT + 10)
    assert [(one.at, one.summary) for one in told] == [
        (AT, "the first that is known"),
        (AT + 2, "drift.days: 30.0 -> 7.0"),
    ]
    assert len({one.hash for one in told}) == 2
    assert [one.action for one in place.ask(audit.entries)] == ["configuration changed"] * 2


def test_a_change_of_a_reference_that_is_told_again_counts_once(place):
    change = Change(at=AT, kind=ChangeKind.REFERENCE, key="ab" * 32, subject="refusal", who="ann", summary="approved")
    for _ in range(2):
        store = place.store()
        store.write(Batch(AT, changes=(change,)))
        store.close()

    assert [(one.who, one.summary) for one in place.ask(queries.changes, AT - 1, AT + 1)] == [("ann", "approved")]
    assert [one.who for one in place.ask(audit.entries)] == ["ann"]


def test_a_record_that_no_database_takes_is_left_out_and_what_follows_is_kept(place):
    store = place.store()
    place.tell(store, place.finding(1), place.finding(2, summary="\ud800"), place.finding(3, summary="nul \x00"))
    store.close()

    assert place.counted("events", "dropped") == 1
    assert {one.summary for one in place.ask(queries.findings, Wanted())} == {"late 1", "nul \N{REPLACEMENT CHARACTER}"}


def test_a_process_is_known_from_its_start_to_its_last_sign_of_life(place):
    store = place.store()
    store.close()

    [process] = place.ask(queries.processes, 0.0, 1e12)
    assert (process.instance, process.started_at <= process.seen_at) == ("here", True)


def test_of_one_process_all_that_is_not_over_is_remembered_and_the_last_of_the_rest_with_what_people_did(place):
    store = place.store()
    for number in range(4):
        place.tell(store, place.finding(number, at=AT + number))
    place.tell(store, *(place.finding(number, at=AT + 10, resolved=True) for number in (1, 2, 3)))
    store.close()
    other = place.store(instance="there")
    place.tell(other, place.finding(9, at=AT + 9))
    other.close()
    oldest = place.ask(queries.findings, Wanted())[-1].id
    for doer in (deeds.acknowledge, deeds.comment):
        place.do(lambda connection, doer=doer: doer(connection, DEPLOYMENT, oldest, at=AT + 20, who="ann", comment="x"))

    held = place.ask(queries.remembered, "here", 2)

    assert [(one.model, one.standing) for one in held] == [
        ("m3", "resolved"),
        ("m2", "resolved"),
        ("m0", "acknowledged"),
    ]
    assert sorted(one.deed for one in held[-1].life) == ["acknowledged", "commented"]
    assert place.ask(queries.remembered, "nowhere", 2) == []
