"""What the operations do: ask the store, or the folder of references. They block, and run in threads of their own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
from sqlalchemy import Connection

from exporters.store import StoreConfig, audit, database, deeds, queries
from exporters.store.audit import Verified
from watchkeeper import __version__
from watchkeeper.agent.control.operations import (
    Call,
    Changes,
    Entries,
    Findings,
    Handler,
    Health,
    Inventory,
    Reference,
    References,
)
from watchkeeper.agent.control.refusals import RefusedError
from watchkeeper.agent.report.record import Record
from watchkeeper.core.errors import Unavailable

Deed = Callable[..., None]


class Handlers:
    """
    A method for each operation, by its name.

    :param references: None: there is no such folder
    :param days_per_alarm: in which at most one false alarm of drift is promised on average
    """

    def __init__(self, store: StoreConfig, references: Path | None, role: str, days_per_alarm: float) -> None:
        self._store = store
        self._engine = database.connect(store)
        self._deployment = store.deployment
        self._folder = references
        self._role = role
        self._days_per_alarm = days_per_alarm
        self._reporting = Lock()

    def of(self, name: str) -> Handler:
        found: Handler = getattr(self, name)
        return found

    def health(self, call: Call) -> Health:
        try:
            with database.reading(self._engine) as connection:
                database.revision(connection)
            said = "ok"
        except Unavailable as error:
            said = str(error)
        return Health(__version__, self._role, self._deployment, call.at, said)

    def findings(self, call: Call) -> Findings:
        with self._reading() as connection:
            return Findings(queries.findings(connection, self._deployment, call.query))

    def finding(self, call: Call) -> queries.Found:
        with self._reading() as connection:
            return self._found(connection, call.item)

    def acknowledge(self, call: Call) -> queries.Found:
        return self._do(deeds.acknowledge, call, comment=call.body.comment)

    def confirm(self, call: Call) -> queries.Found:
        return self._do(deeds.confirm, call, cause=call.body.cause, comment=call.body.comment)

    def close(self, call: Call) -> queries.Found:
        return self._do(deeds.close, call, comment=call.body.comment)

    def comment(self, call: Call) -> queries.Found:
        return self._do(deeds.comment, call, comment=call.body.comment)

    def models(self, call: Call) -> Inventory:
        with self._reading() as connection:
            return Inventory(queries.inventory(connection, self._deployment, call.query.kind))

    def changes(self, call: Call) -> Changes:
        wanted = call.query
        with self._reading() as connection:
            return Changes(queries.changes(connection, self._deployment, wanted.since, wanted.until, wanted.limit))

    def audit(self, call: Call) -> Entries:
        with self._reading() as connection:
            return Entries(audit.entries(connection, self._deployment, call.query.after, call.query.limit))

    def verify(self, _: Call) -> Verified:
        with self._reading() as connection:
            return audit.verify(connection, self._deployment)

    def governance(self, call: Call) -> Record:
        """One at a time: a month of many services takes seconds of processor time."""
        if self._folder is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "no folder of references is configured")
        if not self._reporting.acquire(blocking=False):
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "another report is being made; come again")
        try:
            from watchkeeper.agent.control.reports import governance

            return governance(self._store, self._folder, self._days_per_alarm, call.query, call.at)
        finally:
            self._reporting.release()

    def references(self, call: Call) -> References:
        wanted = call.query
        shelf = self._shelf()
        found = [_reference(pack, shelf) for pack in shelf.packs.values()]
        found = [
            one
            for one in found
            if all(
                given is None or given == held
                for given, held in zip(
                    (wanted.state, wanted.segment, wanted.signal), (one.state, one.segment, one.signal), strict=True
                )
            )
        ]
        return References(sorted(found, key=lambda one: (one.segment, one.signal, one.made_at)), list(shelf.problems))

    def approve(self, call: Call) -> Reference:
        from watchkeeper.agent.references import deeds as of_references

        return self._refer(of_references.approve, "reference approved", call)

    def retire(self, call: Call) -> Reference:
        from watchkeeper.agent.references import deeds as of_references

        return self._refer(of_references.retire, "reference retired", call)

    def _do(self, deed: Deed, call: Call, **said: str) -> queries.Found:
        """In one transaction with its entry in the audit log: answered once it is committed."""
        try:
            with self._writing() as connection:
                deed(connection, self._deployment, call.item, at=call.at, who=call.who, **said)
                return self._found(connection, call.item)
        except deeds.NotFoundError:
            raise _no_such("finding") from None
        except deeds.ConflictError as error:
            raise RefusedError(HTTPStatus.CONFLICT, str(error)) from None

    def _refer(self, deed: Deed, action: str, call: Call) -> Reference:
        """The folder is written within the transaction: where either cannot be, neither is."""
        from watchkeeper.agent.references import store
        from watchkeeper.agent.references.deeds import RefusedError as ImpossibleError

        if self._folder is None:
            raise RefusedError(HTTPStatus.CONFLICT, "no folder of references is configured here")
        try:
            with self._writing() as connection, store.writing(self._folder):
                shelf = self._shelf()
                pack = shelf.packs.get(call.item)
                if pack is None:
                    raise _no_such("reference")
                detail = {"reference": pack.id, "signal": pack.signal, "segment": pack.segment, "why": call.body.why}
                deeds.note(
                    connection,
                    self._deployment,
                    at=call.at,
                    who=call.who,
                    action=action,
                    subject=pack.id,
                    detail=detail,
                )
                deed(self._folder, shelf, [pack], at=call.at, by=call.who, why=call.body.why)
            shelf = self._shelf()
            return _reference(shelf.packs[call.item], shelf)
        except ImpossibleError as error:
            raise RefusedError(HTTPStatus.CONFLICT, str(error)) from None
        except OSError as error:
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE, f"the folder of references cannot be written: {error.strerror}"
            ) from None

    def _found(self, connection: Connection, identity: str) -> queries.Found:
        found = queries.finding(connection, self._deployment, identity)
        if found is None:
            raise _no_such("finding")
        return found

    def _shelf(self) -> Any:
        from watchkeeper.agent.references import store
        from watchkeeper.agent.references.journal import Journal

        if self._folder is None:
            return store.Shelf({}, Journal(), {}, ("no folder of references is configured here",))
        try:
            return store.load(self._folder)
        except OSError as error:
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE, f"the folder of references cannot be read: {error.strerror}"
            ) from None

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _answered(), database.reading(self._engine) as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with _answered(), database.writing(self._engine) as connection:
            yield connection


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, f"the store is away: {error}") from None


def _no_such(what: str) -> RefusedError:
    return RefusedError(HTTPStatus.NOT_FOUND, f"no {what} has this id")


def _reference(pack: Any, shelf: Any) -> Reference:
    from watchkeeper.agent.references.standing import standing

    approval = pack.approval
    return msgspec.convert(
        {
            "id": pack.id,
            "segment": pack.segment,
            "signal": pack.signal,
            "kind": str(pack.kind),
            "state": str(standing(pack, shelf)),
            "made_at": pack.made_at,
            "observations": pack.n,
            "approved_by": approval.by if approval else "",
            "approved_at": approval.at if approval else None,
            "why": approval.why if approval else "",
        },
        Reference,
    )
