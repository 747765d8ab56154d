"""One signal from observations to verdict: power, units, season, restart, and what each state means."""

import math

import numpy as np
import pytest

from detectors.drift.bands import Band, Floats
from detectors.drift.bank import Bank, Watched
from detectors.drift.kinds import Kind
from detectors.drift.odds import HELD_SECONDS, horizon
from detectors.drift.packs import Pack, Plan, build, content_hash
from detectors.drift.rate import Score, Tracks, table, weights
from detectors.drift.seasons import Season
from detectors.drift.state import ForeignState
from detectors.drift.verdicts import Crossing, verdict
from detectors.drift.watch import Watch
from watchkeeper.core.records import State

TIGHT = Plan(tolerance={"rate": 0.0, "location": 0.01, "spread": 0.01})
MONTH = horizon(10.0)


def delays(score: Score, p: np.ndarray, per_tick: int, limit: float, runs: int, ticks: int) -> np.ndarray:
    """Observations until the first alarm of each run; those without one at the end."""
    chance = np.random.default_rng(1)
    tracks = Tracks(np.full(runs, limit), np.tile(weights(score.band), (runs, 1)))
    found = np.full(runs, ticks * per_tick)
    for number in range(ticks):
        counts = chance.multinomial(per_tick, p, runs).astype(float)
        fired = tracks.tick(slice(None), counts @ table(score), counts @ score.values, counts.sum(axis=1), 0.0)
        found[fired] = np.minimum(found[fired], (number + 1) * per_tick)
    return found


def flag_delay(hi: float, p: float, limit: float, lo: float = 0.0, per_tick: int = 10) -> float:
    score = Score("rate", np.array([0.0, 1.0]), Band(lo, hi, hi / 2, 0.0, 0.99, 1.0))
    return float(np.median(delays(score, np.array([1 - p, p]), per_tick, limit, 200, 600)))


def test_a_rate_that_doubles_from_two_percent_is_found_within_2500_observations() -> None:
    assert flag_delay(0.0256, 0.04, 10_000.0, lo=0.0144) <= 2500


def test_with_200_detectors_a_month_per_page_a_rare_script_is_found_in_time() -> None:
    assert flag_delay(0.00066, 0.008, 200 * MONTH) <= 2500
    assert flag_delay(0.00066, 0.16, 200 * MONTH, per_tick=2) <= 100


def test_a_rare_rate_that_rises_fourfold_is_found_although_it_stays_rare() -> None:
    """Bets that begin at 0.02 whatever the band lose money on 0.07 % becoming 0.27 %, and never find it."""
    assert flag_delay(0.00066, 0.0027, MONTH, per_tick=100) <= 20_000


def test_a_spread_that_grows_by_a_third_is_found_within_400_observations() -> None:
    chance = np.random.default_rng(2)
    pack = build("x", Kind.NUMBER, chance.normal(size=10_000), made_at=0.0, plan=TIGHT)
    spread = pack.scores("all")[1]
    bins = np.searchsorted(pack.edges, chance.normal(0.0, 1.33, 200_000), side="right")

    found = delays(spread, np.bincount(bins, minlength=pack.bins) / bins.size, 10, 2 * 10_000.0, 200, 100)

    assert np.median(found) <= 400


def run(watch: Watch, values: np.ndarray, start: float = 0.0, step: float = 0.1) -> list[tuple[int, Crossing]]:
    found = []
    for place, value in enumerate(values.tolist()):
        watch.update(value, start + place * step)
        found += [(place, crossing) for crossing in watch.crossings]
    return found


def test_seconds_and_milliseconds_give_the_same_alarms() -> None:
    chance = np.random.default_rng(3)
    reference, now = chance.lognormal(size=5000), chance.lognormal(0.2, 1.0, 6000)
    found = []
    for unit in (1.0, 1000.0):
        pack = build("latency", Kind.NUMBER, reference * unit, made_at=0.0)
        found.append([(place, one.score, one.log_odds) for place, one in run(Watch(pack, 1.0, 1000.0), now * unit)])

    assert found[0] == found[1] != []


def test_an_alarm_tells_onset_effect_and_odds() -> None:
    chance = np.random.default_rng(4)
    pack = build("latency", Kind.NUMBER, chance.normal(size=10_000), made_at=0.0, plan=TIGHT)
    values = np.concatenate([chance.normal(size=20_000), chance.normal(0.5, 1.0, 3000)])

    place, crossing = run(Watch(pack, 1.0, MONTH), values)[0]

    assert 20_000 < place < 21_000
    assert crossing.score == "location"
    assert crossing.onset == pytest.approx(2000.0, abs=20.0)
    assert crossing.effect == pytest.approx(0.638, abs=0.03)  # AUC of a shift by half a deviation
    assert crossing.log_odds >= math.log(2 * MONTH)
    assert (crossing.reference, crossing.share, crossing.horizon) == (pack.id, 0.5, MONTH)


def test_the_onset_is_the_tick_before_which_the_evidence_of_the_best_bet_was_last_at_nothing() -> None:
    score = Score("rate", np.array([0.0, 1.0]), Band(0.0, 0.1, 0.05, 0.0, 0.99, 1.0))
    tracks = Tracks(np.array([1000.0]), weights(score.band)[None, :])
    ups = [2, 0, 0, 0, 3] + [1, 3, 3, 4] * 10
    for number, up in enumerate(ups):
        counts = np.array([[10.0 - up, up]])
        fired = tracks.tick(
            slice(None), counts @ table(score), counts @ score.values, counts.sum(axis=1), 10.0 * number
        )
        if fired.any():
            break
    increments = [float((table(score).T @ np.array([10.0 - up, up]))[tracks.best[0]]) for up in ups[: number + 1]]
    onset, cusum = 0, 0.0
    for place, increment in enumerate(increments):
        onset = place if cusum <= 0 else onset
        cusum = max(cusum, 0.0) + increment

    assert tracks.since_onset(0) == (
        onset * 10.0,
        sum(ups[onset : number + 1]) / (10 * (number + 1 - onset)),
        10 * (number + 1 - onset),
    )
    assert onset > 0


def test_a_band_that_no_mean_can_leave_on_one_side_spends_nothing_on_it() -> None:
    assert weights(Band(0.0, 0.01, 0.0, 0.0, 0.99, 1.0)).tolist() == [0.1] * 10 + [0.0] * 10
    assert weights(Band(0.01, 1.0, 0.5, 0.0, 0.99, 1.0)).tolist() == [0.0] * 10 + [0.1] * 10
    assert weights(Band(0.0, 1.0, 0.5, 0.5, 0.99, 1.0)).tolist() == [0.0] * 20


def seasonal(chance: np.random.Generator, at: np.ndarray, shift: float = 0.0) -> np.ndarray:
    return np.asarray(chance.normal(0.5 * np.sin(2 * np.pi * at / 86400) + shift, 1.0))


def test_references_by_the_hour_stay_quiet_in_the_daily_season_and_find_what_is_on_top_of_it() -> None:
    """600,000 observations over 30 days, in ticks of ten minutes."""
    chance = np.random.default_rng(5)
    step = 86400 * 30 / 600_000
    at: Floats = np.arange(600_000.0) * step
    by_hour = Plan(season=Season.HOUR, tolerance={"location": 0.02, "spread": 0.02})
    pack = build("load", Kind.NUMBER, seasonal(chance, at), made_at=0.0, times=at, plan=by_hour)
    plain = build("load", Kind.NUMBER, seasonal(chance, at), made_at=0.0, plan=Plan(tolerance=by_hour.tolerance))
    bank, single = (Bank([Watched(one, 1.0)], 1e4) for one in (pack, plain))

    def alarms(which: Bank, values: np.ndarray, one: Pack) -> list[float]:
        bins = np.searchsorted(one.edges, values, side="right")
        size = round(600 / step)
        found = []
        for start in range(0, values.size, size):
            crossed = which.tick({0: np.bincount(bins[start : start + size], minlength=one.bins)}, at[start])
            found += [at[start]] * len(crossed)
        return found

    assert len(alarms(bank, seasonal(chance, at), pack)) <= 1
    assert len(alarms(single, seasonal(chance, at), plain)) > 100
    assert alarms(bank, seasonal(chance, at[:1000], 0.3), pack)


def test_an_hour_that_the_reference_does_not_know_is_warming_and_moves_nothing() -> None:
    chance = np.random.default_rng(6)
    times = np.arange(3600.0)
    pack = build("x", Kind.NUMBER, chance.random(3600), made_at=0.0, times=times, plan=Plan(season=Season.HOUR))
    watch = Watch(pack, 1.0, MONTH)
    run(watch, np.full(2000, 5.0), start=7200.0)

    assert watch.verdict(9000.0).state is State.WARMING
    assert watch.verdict(100.0).state is State.OK
    assert watch.effects() == []


def test_without_a_reference_a_watch_warms_up_and_keeps_nothing() -> None:
    watch = Watch(None, 0.1, MONTH)

    assert watch.update(1.0, 0.0).state is State.WARMING
    assert (watch.state(), watch.effects()) == (b"", [])


def test_what_is_no_number_changes_nothing() -> None:
    pack = build("x", Kind.NUMBER, np.random.default_rng(7).random(1000), made_at=0.0)
    watch = Watch(pack, 1.0, MONTH)
    before = watch.state()
    watch.update(math.nan, 1.0)
    watch.update("text", 1.0)

    assert watch.state() == before


@pytest.mark.parametrize("observations", [None, 7])
def test_a_restart_at_any_point_changes_nothing(observations: int | None) -> None:
    chance = np.random.default_rng(8)
    pack = build("x", Kind.NUMBER, chance.normal(size=3000), made_at=0.0)
    values = chance.normal(0.4, 1.0, 3000)
    steady, restarted = (
        Watch(pack, 0.5, 1000.0, tick_observations=observations),
        Watch(pack, 0.5, 1000.0, tick_observations=observations),
    )
    for place, value in enumerate(values.tolist()):
        if chance.random() < 0.01:
            state = restarted.state()
            assert len(state) < 4096
            restarted = Watch(pack, 0.5, 1000.0, tick_observations=observations)
            restarted.restore(state)
        assert steady.update(value, place * 0.1) == restarted.update(value, place * 0.1)
        assert steady.crossings == restarted.crossings
    assert steady.state() == restarted.state()


def test_state_of_another_reference_a_smaller_share_another_horizon_and_damage_are_refused() -> None:
    chance = np.random.default_rng(9)
    pack, other = (build("x", Kind.FLAG, (chance.random(2000) < 0.1).astype(float), made_at=0.0) for _ in range(2))
    state = Watch(pack, 0.5, 1000.0).state()

    for watch in (
        Watch(other, 0.5, 1000.0),
        Watch(pack, 0.75, 1000.0),
        Watch(pack, 0.5, 2000.0),
        Watch(None, 0.5, 1.0),
    ):
        with pytest.raises(ForeignState):
            watch.restore(state)
    for damaged in (b"", state[:-3], state.replace(b"\xa7version\x01", b"\xa7version\x02")):
        with pytest.raises(ForeignState):
            Watch(pack, 0.5, 1000.0).restore(damaged)


def test_a_category_alarm_names_the_value_that_moved() -> None:
    chance = np.random.default_rng(10)
    words = chance.choice(["stop", "length", "tool_calls"], 5000, p=[0.9, 0.05, 0.05])
    pack = build("finish", Kind.CATEGORY, words.tolist(), made_at=0.0)
    known, novel = Watch(pack, 1.0, MONTH), Watch(pack, 1.0, MONTH)
    for place in range(2000):
        known.update("length" if place % 5 == 0 else "stop", place * 0.1)
        novel.update("refused" if place % 20 == 0 else str(words[place]), place * 0.1)

    assert pack.categories[0] == "stop"
    assert known.verdict(200.0).state is State.ALARM
    assert {effect.score for effect in known.effects() if effect.value > effect.band.hi} == {"length"}
    assert {effect.score for effect in novel.effects() if effect.value > effect.band.hi} == {"other"}
    assert novel.verdict(200.0).state is State.ALARM


def test_a_state_is_warn_30_times_before_the_limit_and_alarm_until_half_an_hour_without_crossing() -> None:
    limit = 3000.0

    assert verdict(99.0, limit, 0.0, 1.0).state is State.OK
    assert verdict(101.0, limit, 0.0, 1.0).state is State.WARN
    assert verdict(0.0, limit, 100.0, 100.0 + HELD_SECONDS - 1).state is State.ALARM
    assert verdict(0.0, limit, 100.0, 100.0 + HELD_SECONDS).state is State.OK
    assert verdict(limit, limit, 0.0, 1.0).score == pytest.approx(1.0)
    assert verdict(0.0, limit, 0.0, 1.0).score == 0.0


def test_first_warnings_since_a_restart_are_at_most_thirty_to_one_false_alarm() -> None:
    score = Score("rate", np.array([0.0, 1.0]), Band(0.0, 0.02, 0.01, 0.0, 0.99, 1.0))
    chance, runs, ticks, limit = np.random.default_rng(11), 200, 2000, 3000.0
    tracks = Tracks(np.full(runs, limit), np.tile(weights(score.band), (runs, 1)))
    warned, count = np.zeros(runs, dtype=bool), 0
    for _ in range(ticks):
        counts = chance.multinomial(20, [0.98, 0.02], runs).astype(float)
        fired = tracks.tick(slice(None), counts @ table(score), counts @ score.values, counts.sum(axis=1), 0.0)
        now = tracks.odds >= limit / 30
        count += int((now & ~warned).sum())
        warned = (warned | now) & ~fired
    promised = runs * ticks * 30 / limit

    assert 0 < count <= promised + 3.1 * math.sqrt(promised)


def test_signals_in_a_bank_say_what_each_would_say_alone() -> None:
    chance = np.random.default_rng(12)
    number = build("a", Kind.NUMBER, chance.normal(size=3000), made_at=0.0)
    flag = build("b", Kind.FLAG, (chance.random(3000) < 0.1).astype(float), made_at=0.0)
    word = build("c", Kind.CATEGORY, chance.choice(["x", "y"], 3000).tolist(), made_at=0.0)
    packs = [number, flag, number, word]
    bank = Bank([Watched(pack, 0.25) for pack in packs], 500.0)
    alone = [Bank([Watched(pack, 0.25)], 500.0) for pack in packs]
    for tick in range(300):
        counts = {
            place: chance.multinomial(chance.integers(0, 30), np.arange(1, pack.bins + 1) / sum(range(pack.bins + 1)))
            for place, pack in enumerate(packs)
            if chance.random() < 0.8
        }
        found = bank.tick(counts, tick * 10.0)
        for place, count in counts.items():
            assert alone[place].tick({0: count}, tick * 10.0).get(0, []) == found.get(place, [])
            assert alone[place].state(0) == bank.state(place)


def test_shares_beyond_the_whole_budget_are_refused() -> None:
    pack = build("x", Kind.FLAG, np.zeros(100), made_at=0.0)

    with pytest.raises(ValueError, match="exceed 1"):
        Bank([Watched(pack, 0.6), Watched(pack, 0.6)], MONTH)


def test_no_stream_however_extreme_makes_the_score_anything_but_a_number() -> None:
    pack = build("x", Kind.FLAG, np.zeros(100_000), made_at=0.0, plan=TIGHT)
    watch = Watch(pack, 1e-6, 1e12)
    for tick in range(50):
        said = watch.tick([0, 10**6], tick * 10.0, tick * 10.0)
        assert math.isfinite(said.score)
    assert said.state is State.ALARM
    assert content_hash(pack) == pack.id
