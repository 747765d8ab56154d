"""Every operation of the control API: one line in `OPERATIONS`, from which requests are routed and described."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import msgspec

from exporters.store.audit import Entry, Verified
from exporters.store.queries import Changed, Found, Thing, Wanted
from watchkeeper.agent.report.record import Record

Text = Annotated[str, msgspec.Meta(max_length=4_000)]
Name = Annotated[str, msgspec.Meta(max_length=200)]
Said = Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]


class Remark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who does it and what they say about it."""

    by: Name = ""
    """who; the name of the token where it is left out"""
    comment: Text = ""


class Comment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    comment: Said
    by: Name = ""


class Confirmation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cause: Said
    """what it came from; of those that were suggested, or another"""
    by: Name = ""
    comment: Text = ""


class Reasoned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    why: Said
    """kept in the journal of references and in the audit log"""
    by: Name = ""


class Health(msgspec.Struct, frozen=True):
    version: str
    role: str
    deployment: str
    at: float
    """unix seconds"""
    store: str
    """ok, or why the record cannot be asked"""


class Reference(msgspec.Struct, frozen=True):
    """What is normal for a signal of a segment, as a person approved it or has yet to."""

    id: str
    segment: str
    signal: str
    kind: str
    state: Literal["approved", "proposed", "superseded", "retired"]
    made_at: float
    observations: int
    approved_by: str
    approved_at: float | None
    why: str


class ReferencesWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    state: Literal["approved", "proposed", "superseded", "retired"] | None = None
    segment: str | None = None
    """namespace/service/model"""
    signal: str | None = None


class InventoryWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Literal["model", "service", "device"] | None = None


class ChangesWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    since: float = 0.0
    until: float = 1e12
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100


class EntriesWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    after: Annotated[int, msgspec.Meta(ge=0)] = 0
    """number of the last entry that is known"""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100


class RecordWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    period: Annotated[str, msgspec.Meta(max_length=40)] = "last-month"
    """a month like 2026-10, days like 2026-10-05/2026-10-11, or last-month"""
    namespace: str | None = None
    service: str | None = None
    model: str | None = None


class Findings(msgspec.Struct, frozen=True):
    findings: list[Found]


class References(msgspec.Struct, frozen=True):
    references: list[Reference]
    problems: list[str]
    """files that cannot be used, and places where the journal is not as it was written"""


class Inventory(msgspec.Struct, frozen=True):
    models: list[Thing]


class Changes(msgspec.Struct, frozen=True):
    changes: list[Changed]


class Entries(msgspec.Struct, frozen=True):
    entries: list[Entry]


class Call(msgspec.Struct, frozen=True):
    """One request, read and checked. `query` and `body` are of the operation's types."""

    at: float
    """unix seconds"""
    item: str
    """what stands for {id} in the path"""
    query: Any
    body: Any
    who: str
    """empty where nothing is written"""
    token: str
    """name of the token"""


class Operation(msgspec.Struct, frozen=True):
    """`path` may hold one `{id}`."""

    name: str
    """of the handler, and the operationId"""
    method: Literal["GET", "POST"]
    path: str
    summary: str
    answer: type[msgspec.Struct]
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    refusals: tuple[int, ...] = ()
    """statuses beside those that any operation may answer"""

    @property
    def has_item(self) -> bool:
        return "{id}" in self.path


Handler = Callable[[Call], msgspec.Struct]

_FINDING: Final = "/v1/findings/{id}"
_REFERENCE: Final = "/v1/references/{id}"
OPERATIONS: Final = (
    Operation("health", "GET", "/v1/health", "Whether it works, and on what.", Health),
    Operation("findings", "GET", "/v1/findings", "Findings, the newest first.", Findings, Wanted),
    Operation("finding", "GET", _FINDING, "One finding with all that happened to it.", Found, refusals=(404,)),
    Operation(
        "acknowledge", "POST", f"{_FINDING}/acknowledge", "Somebody looks at it.", Found, None, Remark, (404, 409)
    ),
    Operation(
        "confirm", "POST", f"{_FINDING}/cause", "What it came from, confirmed.", Found, None, Confirmation, (404, 409)
    ),
    Operation("close", "POST", f"{_FINDING}/close", "Nothing is left to do.", Found, None, Remark, (404, 409)),
    Operation("comment", "POST", f"{_FINDING}/comments", "A word about it.", Found, None, Comment, (404,)),
    Operation("references", "GET", "/v1/references", "What is normal.", References, ReferencesWanted),
    Operation("approve", "POST", f"{_REFERENCE}/approve", "Put it in force.", Reference, None, Reasoned, (404, 409)),
    Operation("retire", "POST", f"{_REFERENCE}/retire", "Out of force.", Reference, None, Reasoned, (404, 409)),
    Operation("models", "GET", "/v1/models", "Models, services and devices seen.", Inventory, InventoryWanted),
    Operation("changes", "GET", "/v1/changes", "What people changed, in order.", Changes, ChangesWanted),
    Operation("audit", "GET", "/v1/audit", "The audit log, in order.", Entries, EntriesWanted),
    Operation(
        "governance",
        "GET",
        "/v1/reports/governance",
        "The governance record of a period.",
        Record,
        RecordWanted,
        None,
        (404,),
    ),
    Operation("verify", "GET", "/v1/audit/verification", "Whether the audit log is as it was written.", Verified),
)
