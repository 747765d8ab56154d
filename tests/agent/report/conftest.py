"""A month of three services with three injected changes, written by the recorder, references and store themselves."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import pytest

from detectors.drift import packs
from detectors.drift.packs import Pack
from exporters.store import FILE, StoreConfig, database, deeds, keep, totals
from exporters.store.events import ChangeTold, FindingTold
from exporters.store.totals import Thing, Writer
from watchkeeper.agent.drift.recorder import Recorder
from watchkeeper.agent.drift.streams import kind_of
from watchkeeper.agent.references import journal, store
from watchkeeper.agent.references.journal import Deed
from watchkeeper.agent.references.observations import Wanted, gather, read_rows
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Cause, Change, ChangeKind, Finding, Severity

TICK: Final = 600.0
CHAT, SEARCH, BETA = "shop/chat/qwen3-8b", "shop/search/qwen3-8b", "shop/beta/qwen3-8b"
MARK: Final = "zebra-lampshade"
"""a word that no reference knows, as text would be"""


def at(day: int, hour: float = 0.0, month: int = 3) -> float:
    return datetime(2025, month, day, tzinfo=UTC).timestamp() + hour * 3600


class Truth(NamedTuple):
    """What was injected."""

    refusing: tuple[float, float] = (at(8, 9), at(9, 18))
    longer_since: float = at(17)
    failing: tuple[float, float] = (at(25, 12), at(25, 16))
    blind: tuple[float, float] = (at(12, 3), at(12, 5.5))


class Month(NamedTuple):
    state: Path
    truth: Truth
    calls: dict[str, int]
    """by segment, in March"""
    failed: dict[str, int]
    refused: dict[str, int]


@pytest.fixture(scope="session")
def month(tmp_path_factory: pytest.TempPathFactory) -> Month:
    """March 2025, and the fortnight before, of which its references are."""
    made = Month(tmp_path_factory.mktemp("month"), Truth(), {}, {}, {})
    _observe(made)
    _refer(made)
    keep_record(made, StoreConfig(state_folder=str(made.state)))
    assert (made.state / FILE).exists()
    return made


@pytest.fixture(scope="session")
def keep_month() -> Callable[[Month, StoreConfig], None]:
    """Tells another store what the month's was told."""
    return keep_record


def _observe(month: Month) -> None:
    recorder = Recorder(month.state / "observed", 256 << 20, Ledger())
    chance = np.random.default_rng(7)
    begins, ends = at(14, month=2), at(1, month=4)
    for number in range(int((ends - begins) / TICK)):
        now = begins + number * TICK
        if month.truth.blind[0] <= now < month.truth.blind[1]:
            continue
        busy = 1.0 + 0.6 * np.sin((now % 86_400) / 86_400 * 2 * np.pi)
        for segment, mean in ((CHAT, 12.0), (SEARCH, 7.0), (BETA, 0.02 if now >= at(1) else 1.0)):
            for _ in range(int(chance.poisson(mean * busy))):
                _call(month, recorder, segment, now, chance)
        recorder.flush(now, TICK, now)


def _call(month: Month, recorder: Recorder, segment: str, now: float, chance: np.random.Generator) -> None:
    truth = month.truth
    refuses = 0.09 if segment == CHAT and truth.refusing[0] <= now < truth.refusing[1] else 0.02
    fails = 0.08 if segment == CHAT and truth.failing[0] <= now < truth.failing[1] else 0.001
    longer = 1.6 if segment == SEARCH and now >= truth.longer_since else 1.0
    refused, failed = float(chance.random() < refuses), float(chance.random() < fails)
    values: dict[str, float | str] = {
        "refusal": refused,
        "pii": float(chance.random() < 0.004),
        "error": failed,
        "output_tokens": float(chance.lognormal(5.3, 0.6) * longer // 1),
        "time_to_first_token": float(chance.lognormal(-1.0, 0.5)),
        "finish_reason": "stop" if chance.random() < 0.93 else "length",
    }
    if now == at(5) and segment == CHAT:
        values["finish_reason"] = MARK
    recorder.add(segment, values)
    if now >= at(1):
        for counts, one in ((month.calls, 1), (month.failed, int(failed)), (month.refused, int(refused))):
            counts[segment] = counts.get(segment, 0) + one


def _refer(month: Month) -> None:
    """Of February for all; a new one of the search's output tokens after its new version, approved on the 20th."""
    folder = month.state / "references"
    _approve(folder, month, Wanted(until=at(1)), at(1, -12), "lin", "a usual fortnight, no release")
    again = Wanted(signals=frozenset({"output_tokens"}), service="search", since=at(17), until=at(20))
    _approve(folder, month, again, at(20, 10), "lin", "the new version answers at more length; wanted so")


def _approve(folder: Path, month: Month, wanted: Wanted, when: float, who: str, why: str) -> None:
    series = gather(read_rows(month.state / "observed", pytest.fail), wanted)
    made: list[Pack] = []
    for (segment, signal), one in sorted(series.items()):
        made.append(
            packs.build(signal, kind_of(signal), one.values, made_at=when - 3600, times=one.times, segment=segment)
        )
    with store.writing(folder):
        events = [journal.event(Deed.PROPOSED, pack, at=when - 3600, by=who, why="") for pack in made]
        events += [journal.event(Deed.APPROVED, pack, at=when, by=who, why=why) for pack in made]
        journal.append(folder, events)
        for pack in made:
            store.put(folder, pack.approved(who, when, why))


def keep_record(month: Month, config: StoreConfig) -> None:
    """What a store was told while it happened, and what people did."""
    engine = database.connect(config)
    database.prepare(engine)
    refusing, longer, failing, blind = month.truth
    lives = ((at(20, month=2), blind[0]), (blind[1], at(2, month=4)))
    writers = [Writer("default", "pod-1", f"key{place}", "0.1.0", life[0]) for place, life in enumerate(lives)]
    with database.writing(engine) as connection:
        for writer, life in zip(writers, lives, strict=True):
            totals.heartbeat(connection, writer, life[1])
        old, version = Thing("model", "shop", "search", "qwen", "qwen3-8b", "2502"), "2503"
        new = Thing("model", "shop", "search", "qwen", "qwen3-8b", version)
        things = {old: (at(14, month=2), longer), new: (longer, at(31, 23))}
        things |= {
            Thing("model", "shop", name, "qwen", "qwen3-8b", "2502"): (at(14, month=2), at(31, 23))
            for name in ("chat", "beta")
        }
        totals.inventory(connection, "default", things)
        for number, (when, temperature) in enumerate(((at(20, month=2), 20), (at(10, 11), 30))):
            document = f'{{"drift":{{"max_segments":{temperature}}}}}'
            change = Change(
                at=when,
                kind=ChangeKind.CONFIGURATION,
                key=f"c{number}",
                subject="watchkeeper",
                who="ops",
                document=document,
            )
            keep.event(connection, writers[0], ChangeTold(change.key, change))
    told = [
        _finding(refusing[0] + 1200, refusing[0] + 120, "refusal", "chat", "refusal in 8.8 % of calls"),
        _finding(longer + 3000, longer, "output_tokens", "search", "output_tokens higher: median about 321 tokens"),
        _finding(failing[0] + 600, failing[0], "error", "chat", "error in 7.9 % of calls"),
    ]
    with database.writing(engine) as connection:
        for number, finding in enumerate(told):
            keep.event(connection, writers[1], FindingTold(f"f{number}", finding))
    ends = (refusing[1] + 1800, at(20, 10), failing[1] + 1800)
    with database.writing(engine) as connection:
        for number, (finding, end) in enumerate(zip(told, ends, strict=True)):
            over = msgspec.structs.replace(finding, at=end, resolved=True)
            keep.event(connection, writers[1], FindingTold(f"r{number}", over))
        deeds.acknowledge(connection, "default", "f0", at=refusing[0] + 2460, who="mei", comment="")
        deeds.confirm(
            connection,
            "default",
            "f0",
            at=refusing[0] + 5000,
            who="mei",
            cause="system prompt 14, released at 08:58",
            comment="",
        )
        deeds.close(
            connection, "default", "f0", at=refusing[1] + 3600, who="mei", comment="rolled back to system prompt 13"
        )
        deeds.acknowledge(connection, "default", "f1", at=longer + 9 * 3600, who="lin", comment="")
        deeds.confirm(
            connection,
            "default",
            "f1",
            at=longer + 11 * 3600,
            who="lin",
            cause="new version 2503 of qwen3-8b",
            comment="",
        )
        deeds.close(connection, "default", "f1", at=at(20, 11), who="lin", comment="new reference approved")
        deeds.acknowledge(connection, "default", "f2", at=failing[0] + 1500, who="raj", comment="")
    engine.dispose()


def _finding(told: float, since: float, name: str, service: str, summary: str) -> Finding:
    labels = (
        ("k8s.namespace.name", "shop"),
        ("service.name", service),
        ("gen_ai.request.model", "qwen3-8b"),
        ("signal", name),
    )
    return Finding(
        at=told,
        since=since,
        severity=Severity.WARNING,
        subject=f"drift of {name} of shop/{service}/qwen3-8b",
        summary=summary,
        evidence=("odds 10^9 to 1 that it left its band",),
        causes=(Cause("a release of the service", 0.8),),
        name=name,
        labels=labels,
    )
