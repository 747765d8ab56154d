"""What is too old goes, kind by kind and a bite at a time; what is open stays. And what is held is bounded."""

import time
from types import SimpleNamespace

import pytest

from exporters.store import RetentionConfig, audit, deeds, queries, retention, writer
from exporters.store.hours import Hours, Things, things_of_call
from exporters.store.queries import Wanted
from exporters.store.totals import Thing
from watchkeeper.core.observed import Counted, Drawn, Row
from watchkeeper.core.records import Batch, Change, ChangeKind, Seen

AT = 1_790_000_000.0
DAY = 86_400.0
DEPLOYMENT = "default"
HOUR = AT // 3600 * 3600


def test_findings_go_when_they_are_over_and_old_and_open_ones_stay(place):
    store = place.store()
    over, going_on, closed = (place.finding(number) for number in range(3))
    place.tell(store, over, going_on, closed, place.finding(0, at=AT + 1, resolved=True))
    store.close()
    [identity] = [one.id for one in place.ask(queries.findings, Wanted(model="m2"))]
    place.do(lambda c: deeds.close(c, DEPLOYMENT, identity, at=AT + 5, who="ann", comment=""))
    kept = RetentionConfig(events_days=10)

    def bite(now):
        return place.do(lambda c: retention.bite(c, kept, DEPLOYMENT, "findings", now))

    assert bite(AT + 10 * DAY) == 0
    assert bite(AT + 10 * DAY + 10) == 2
    assert [one.model for one in place.ask(queries.findings, Wanted())] == ["m1"]


@pytest.mark.parametrize("kind", ["changes", "profiles", "samples", "inventory"])
def test_each_kind_goes_after_its_own_time(place, kind):
    store = place.store()
    row = Row(AT, "a/b/c", {"x": 1.0})
    for at in (HOUR, HOUR + 2 * DAY):
        change = Change(at=at, kind=ChangeKind.REFERENCE, key=f"k{at}", subject="s")
        counted, drawn = Counted(at, "a/b/c", "x", "ab", [1]), Drawn(at, "a/b/c", 1, (row,))
        seen = Seen(at, "a", "b", f"v{at}")
        store.write(Batch(at, counted=(counted,), drawn=(drawn,), changes=(change,), seen=(seen,)))
    store.close()
    kept = RetentionConfig(events_days=1, profiles_days=1, samples_days=1, inventory_days=1)

    gone = place.do(lambda c: retention.bite(c, kept, DEPLOYMENT, kind, HOUR + 2 * DAY))

    with_oldest = place.ask(retention.oldest)
    assert gone == 1
    assert with_oldest[kind] == HOUR + 2 * DAY
    assert all(at == HOUR for other, at in with_oldest.items() if other not in (kind, "audit"))


def test_a_bite_is_bounded_and_what_is_removed_is_told_in_the_audit_log(place, monkeypatch):
    monkeypatch.setattr(retention, "BITE", 3)
    store = place.store()
    place.tell(store, *(place.finding(number) for number in range(4)))
    place.tell(store, *(place.finding(number, at=AT + 1, resolved=True) for number in range(4)))
    store.close()
    kept = RetentionConfig(events_days=1)

    assert place.do(lambda c: retention.bite(c, kept, DEPLOYMENT, "findings", AT + 9 * DAY)) == 3
    monkeypatch.setattr(writer, "_RETENTION_SECONDS", 0.0)
    monkeypatch.setattr(writer, "time", SimpleNamespace(time=lambda: AT + 9 * DAY, monotonic=time.monotonic))
    store = place.store(retention=kept)
    place.wait_until(lambda: [one.action for one in place.ask(audit.entries)] == ["retention"] * 2)
    store.close()

    assert place.ask(queries.findings, Wanted()) == []
    assert place.ask(audit.verify).problem == ""
    told = [(one.subject, one.detail) for one in place.ask(audit.entries)]
    assert told == [("findings", '{"removed":1}'), ("audit", '{"removed":8}')]


def test_hours_hold_a_bounded_number_and_count_what_they_drop():
    hours = Hours(2)
    hours.add([Counted(AT, f"a/b/{number}", "x", "r", [1]) for number in range(5)])

    assert (len(hours.changed(100)), hours.dropped) == (2, 3)


def test_an_hour_that_is_over_and_written_is_forgotten_and_one_in_progress_goes_on():
    hours = Hours(1_000)
    hours.add([Counted(HOUR, "a/b/c", "x", "r", [1, 0]), Counted(HOUR + 7200, "a/b/c", "x", "r", [1, 0])])
    hours.written(hours.changed(100), (), HOUR + 7200)
    hours.add([Counted(HOUR, "a/b/c", "x", "r", [5, 0]), Counted(HOUR + 7210, "a/b/c", "x", "r", [0, 1])])

    assert [(hour, list(counts)) for hour, _, counts in hours.changed(100)] == [(HOUR, [5, 0]), (HOUR + 7200, [1, 1])]


def test_things_that_could_not_be_written_are_kept_with_what_was_seen_since():
    things, one = Things(), Thing("model", name="qwen")
    things.add([one], AT + 5)
    taken = things.take()
    things.add([one], AT + 9)
    things.give_back(taken)

    assert things.take() == {one: (AT + 5, AT + 9)}


def test_calls_without_a_model_and_folded_labels_are_no_inventory():
    assert list(things_of_call((("service.name", "chat"),))) == []
    assert list(things_of_call((("gen_ai.request.model", "other"),))) == []
