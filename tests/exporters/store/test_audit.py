"""The chain of the audit log: written by several at once, verified, shortened by retention, and broken by hand."""

import hashlib
import json
import threading

import msgspec
import pytest
from sqlalchemy import text

from exporters.store import RetentionConfig, audit, database, retention

AT = 1_790_000_000.0
DEPLOYMENT = "default"


@pytest.fixture
def log(place):
    """A place whose log has ten entries."""
    place.store().close()
    for number in range(10):
        place.do(lambda connection, number=number: append(connection, number))
    return place


def append(connection, number, deployment=DEPLOYMENT):
    return audit.append(
        connection, deployment, at=AT + number, who="ann", action="tried", subject=f"s{number}", detail={"é": number}
    )


def test_an_untouched_log_is_verified_to_its_head(log):
    said = log.ask(audit.verify)

    assert (said.problem, said.entries, said.head_number) == ("", 10, 10)
    assert said.head_hash == log.ask(audit.entries)[-1].hash


def test_the_hash_of_an_entry_can_be_had_without_watchkeeper(log):
    entry = log.ask(audit.entries, 3, 1)[0]
    fields = {name: getattr(entry, name) for name in ("number", "at", "who", "action", "subject", "detail", "previous")}
    fields["deployment"] = DEPLOYMENT

    told = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    assert hashlib.sha256(told.encode()).hexdigest() == entry.hash


@pytest.mark.parametrize(
    ("edit", "broken"),
    [
        ("UPDATE audit SET who = 'eve' WHERE number = 4", 4),
        ("UPDATE audit SET detail = replace(detail, '3', ' 3') WHERE number = 4", 4),
        ("UPDATE audit SET at = at + 0.001 WHERE number = 1", 1),
        ("UPDATE audit SET previous = '' WHERE number = 7", 7),
        ("DELETE FROM audit WHERE number = 5", 5),
        ("DELETE FROM audit WHERE number > 8", 9),
        ("DELETE FROM audit WHERE number < 3", 1),
        ("DELETE FROM audit", 1),
        ("UPDATE audit SET number = -number WHERE number = 6", 6),
        ("UPDATE audit_heads SET number = 9", 10),
        ("DELETE FROM audit_heads", 1),
    ],
)
def test_the_first_entry_that_was_edited_by_hand_is_told(log, edit, broken):
    log.do(lambda connection: connection.execute(text(edit)))

    said = log.ask(audit.verify)

    assert said.problem
    assert said.broken_number == broken


def test_an_entry_forged_with_a_hash_that_fits_shows_in_the_next_one(log):
    entry = msgspec.structs.replace(log.ask(audit.entries, 3, 1)[0], who="eve")
    values = {"hash": audit.digest(DEPLOYMENT, entry)}
    log.do(lambda c: c.execute(text("UPDATE audit SET who = 'eve', hash = :hash WHERE number = 4"), values))

    assert log.ask(audit.verify).broken_number == 5


def test_several_that_append_at_once_make_one_chain(place):
    place.store().close()
    failures = []

    def work():
        try:
            for number in range(25):
                with database.writing(engine) as connection:
                    append(connection, number)
        except Exception as error:  # noqa: BLE001 - any is told below
            failures.append(error)

    engine = database.connect(place.config())
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert (place.ask(audit.verify).problem, place.ask(audit.verify).entries) == ("", 100)


def test_deployments_have_chains_of_their_own(log):
    log.do(lambda connection: append(connection, 0, "other"))

    with database.reading(database.connect(log.config())) as connection:
        assert audit.verify(connection, "other").entries == 1
    assert log.ask(audit.verify).entries == 10


def test_what_retention_removed_is_no_break_and_the_rest_is_verified(log):
    kept = RetentionConfig(events_days=1)
    now = AT + 86_400 + 3.5

    gone = log.do(lambda connection: retention.bite(connection, kept, DEPLOYMENT, "audit", now))

    said = log.ask(audit.verify)
    assert (gone, said.problem, said.first_number, said.entries) == (4, "", 5, 6)
    log.do(lambda connection: connection.execute(text("UPDATE audit SET who = 'eve' WHERE number = 5")))
    assert log.ask(audit.verify).broken_number == 5
