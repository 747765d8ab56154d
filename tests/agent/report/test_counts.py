"""What was observed, by the hour: from files and from the store alike; references over time; noise by chance."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectors.drift import distances, packs
from detectors.drift.kinds import Kind
from detectors.drift.packs import Pack, Plan
from detectors.drift.seasons import Season
from exporters.store import StoreConfig, database, totals
from exporters.store.hours import Hours
from exporters.store.packed import encode_counts
from exporters.store.totals import Numbers, Writer
from watchkeeper.agent.references import journal, store
from watchkeeper.agent.references.journal import Deed
from watchkeeper.agent.references.observations import Wanted, read_rows
from watchkeeper.agent.report import chance, counts, sources
from watchkeeper.agent.report.period import parse
from watchkeeper.agent.report.places import Places
from watchkeeper.agent.report.standing import Standings
from watchkeeper.core.observed import Counted, Tally

MARCH = parse("2025-03", 0.0)
SEGMENT = "shop/chat/qwen"


def pack(seed: int = 0, segment: str = SEGMENT, **plan: Any) -> Pack:
    chances = np.random.default_rng(seed)
    times = MARCH.since - 30 * 86_400 + np.arange(30_000) * 60.0
    return packs.build(
        "duration",
        Kind.NUMBER,
        chances.lognormal(0, 0.5, times.size),
        made_at=1.0,
        times=times,
        segment=segment,
        plan=Plan(**plan),
    )


def test_the_store_gives_the_same_drift_as_the_files(month: Any, tmp_path: Path) -> None:
    """Of all streams that have a reference, counted as the agent counts for the store."""
    read = sources.read(Places(month.state / "references", month.state / "observed", None, 30.0), MARCH, Wanted(), [])
    hours = Hours(50_000)
    for tally in read_rows(month.state / "observed", pytest.fail):
        hours.add(_counted(tally, read.standings))
    config = StoreConfig(state_folder=str(tmp_path))
    engine = database.connect(config)
    database.prepare(engine)
    with database.writing(engine) as connection:
        number = totals.heartbeat(connection, Writer("default", "pod-1", "k", "0.1.0", MARCH.since), MARCH.until)
        numbers = Numbers("default")
        rows = [
            (hour, numbers.stream(connection, stream), number, encode_counts(held))
            for hour, stream, held in hours.changed(1_000_000)
        ]
        totals.profiles(connection, rows)
    engine.dispose()

    stored = sources.read(Places(month.state / "references", None, config, 30.0), MARCH, Wanted(), [])

    assert {row.source for row in stored.drift} == {"store"}
    assert len(stored.drift) == len(read.drift) == 19
    for ours, theirs in zip(read.drift, stored.drift, strict=True):
        assert (ours.signal, ours.reference, ours.observations) == (
            theirs.signal,
            theirs.reference,
            theirs.observations,
        )
        assert ours.log_e == pytest.approx(theirs.log_e, abs=1e-9)
        assert ours.distances["psi"].value == pytest.approx(theirs.distances["psi"].value, abs=1e-12)
    assert stored.profiles.flags == {
        key: value for key, value in read.observed.flags.items() if key in stored.profiles.flags
    }


def _counted(tally: Tally, standings: Standings) -> Iterator[Counted]:
    if not MARCH.holds(tally.at):
        return
    for signal, values in tally.counts.items():
        held = standings.at((tally.segment, signal), tally.at)
        if held is not None:
            bins = [0] * held.bins
            for value, count in values:
                place = held.bin(value)
                assert place is not None
                bins[place] += count
            yield Counted(tally.at, tally.segment, signal, held.id, bins)


def test_the_reference_of_a_season_is_mixed_as_the_hours_were_observed() -> None:
    seasonal = pack(season=Season.HOUR)
    night, noon = int(MARCH.since), int(MARCH.since) + 12 * 3600
    hours = {night: np.ones(seasonal.bins), noon: 3 * np.ones(seasonal.bins)}

    mixed = counts.reference_counts(seasonal, hours)

    shares = {key: np.array(one.counts) / sum(one.counts) for key, one in seasonal.strata.items()}
    assert mixed.sum() == pytest.approx(seasonal.n)
    assert mixed / mixed.sum() == pytest.approx(0.25 * shares["00"] + 0.75 * shares["12"])


def test_a_reference_is_in_force_from_its_approval_until_another_or_its_end(tmp_path: Path) -> None:
    first, second = pack(1), pack(2)
    turns = ((first, Deed.APPROVED, 100.0), (second, Deed.APPROVED, 200.0), (second, Deed.RETIRED, 300.0))
    with store.writing(tmp_path):
        journal.append(tmp_path, [journal.event(deed, one, at=at, by="ana", why="") for one, deed, at in turns])
        store.put(tmp_path, first.approved("ana", 100.0, ""))
        store.put(tmp_path, second.approved("ana", 200.0, ""))
    standings = Standings(store.load(tmp_path), MARCH.until)

    found = [standings.at((SEGMENT, "duration"), at) for at in (99.0, 100.0, 199.0, 200.0, 299.0, 300.0, 1e9)]

    assert [one.id if one else None for one in found] == [
        None, first.id, first.id, second.id, second.id, None, None,
    ]  # fmt: skip
    assert standings.retrospective == {}


def test_one_that_was_approved_after_the_period_stands_for_it_and_is_told(tmp_path: Path) -> None:
    late = pack().approved("ana", MARCH.until + 60, "looked at in April")
    (tmp_path / "references").mkdir()
    store.put(tmp_path / "references", late)  # without a journal, as a mounted folder is
    (tmp_path / "observed").mkdir()
    from watchkeeper.core.observed import encode_frame

    tallies = [Tally(MARCH.since + 600, 10.0, SEGMENT, {"duration": [(1.0, 30), (2.0, 5)]})]
    (tmp_path / "observed" / "1.tallies").write_bytes(encode_frame(tallies))

    read = sources.read(Places(tmp_path / "references", tmp_path / "observed", None, 30.0), MARCH, Wanted(), [])

    [row] = read.drift
    assert row.is_retrospective
    assert row.observations == 35
    assert read.observed.links[SEGMENT].silence == (MARCH.since + 610, MARCH.until)


def test_noise_that_was_drawn_is_that_of_the_formula_where_the_formula_holds() -> None:
    reference = np.full(16, 1000.0)
    window = np.full(16, 200.0)

    assert chance.approximates(window, reference)
    psi, jensen_shannon = chance.drawn_noise(window, reference)
    assert psi == pytest.approx(distances.psi(window, reference).noise, rel=0.15)
    assert jensen_shannon == pytest.approx(distances.jensen_shannon(window, reference).noise, rel=0.15)
    assert not chance.approximates(window / 50, reference)


def test_rows_of_chance_are_the_distances_of_each() -> None:
    chances = np.random.default_rng(3)
    windows, references = chances.dirichlet(np.ones(12), 5), chances.dirichlet(np.ones(12), 5)

    assert chance.psi(windows, references) == pytest.approx(
        [distances.psi(p, q).value for p, q in zip(windows, references, strict=True)]
    )
    assert chance.jensen_shannon(windows, references) == pytest.approx(
        [distances.jensen_shannon(p, q).value for p, q in zip(windows, references, strict=True)]
    )
