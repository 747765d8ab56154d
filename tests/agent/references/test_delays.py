import numpy as np
import pytest

from detectors.drift import packs
from detectors.drift.kinds import Kind
from detectors.drift.packs import Pack
from detectors.drift.seasons import Season
from detectors.drift.watch import Watch
from watchkeeper.agent.references.delays import PER_TICK, delays

HORIZON = 10_000.0
SHARE = 0.9
"""of one detector: what the reserve leaves"""


def found_after(pack: Pack, changed: np.ndarray, horizon: float = HORIZON) -> int:
    watch = Watch(pack, SHARE, horizon)
    for count, value in enumerate(changed.tolist()):
        watch.update(value, 10.0 * (count // PER_TICK))
        if watch.crossings:
            return count
    return len(changed)


@pytest.mark.parametrize("kind", [Kind.FLAG, Kind.NUMBER])
def test_what_is_foretold_is_about_what_happens(kind: Kind) -> None:
    """
    Median over 15 streams, within two thirds and one and a half of it.
    """
    random = np.random.default_rng(1)
    values = random.random(10_000) < 0.02 if kind is Kind.FLAG else random.lognormal(5, 0.8, 10_000)
    pack = packs.build("any", kind, values.astype(float), made_at=0.0, segment="a/b/c")
    place = 0 if kind is Kind.FLAG else 1
    change, foretold = delays(pack, HORIZON, 1)[place]
    happened = []
    for _ in range(15):
        now = (
            random.random(9_000) < 2 * float(np.mean(values))
            if kind is Kind.FLAG
            else 1.5 * random.lognormal(5, 0.8, 9_000)
        )
        happened.append(found_after(pack, now.astype(float)))

    assert change == ("twice as often" if kind is Kind.FLAG else "1.5 times as much")
    assert foretold is not None
    assert foretold / 1.5 <= np.median(happened) <= 1.5 * foretold


def test_a_change_within_the_tolerance_is_never_found() -> None:
    values = np.random.default_rng(1).lognormal(5, 0.8, 10_000)
    plan = packs.Plan(tolerance={"location": 0.3, "spread": 0.3})
    pack = packs.build("any", Kind.NUMBER, values, made_at=0.0, segment="a/b/c", plan=plan)

    assert [delay.observations for delay in delays(pack, HORIZON, 1)][:2] == [None, None]


def test_more_detectors_wait_longer() -> None:
    values = np.random.default_rng(1).random(5_000) < 0.02
    pack = packs.build("any", Kind.FLAG, values.astype(float), made_at=0.0, segment="a/b/c")

    alone, among_many = delays(pack, HORIZON, 1)[0].observations, delays(pack, HORIZON, 200)[0].observations

    assert alone is not None
    assert among_many is not None
    assert 1.2 < among_many / alone < 2


@pytest.mark.parametrize(
    ("kind", "values", "changes"),
    [
        (Kind.FLAG, np.zeros(500), ["in 1 % of calls", "in 5 % of calls"]),
        (Kind.FLAG, np.ones(500), ["twice as often"]),
        (Kind.NUMBER, np.full(500, 7.0), []),
        (Kind.NUMBER, np.linspace(-5, 5, 500), []),
        (Kind.CATEGORY, ["stop"] * 500, ["a new word in 1 % of calls", "a new word in 5 % of calls"]),
    ],
)
def test_changes_are_those_that_the_signal_can_make(kind: Kind, values: list[float], changes: list[str]) -> None:
    pack = packs.build("any", kind, values, made_at=0.0, segment="a/b/c")

    assert [delay.change for delay in delays(pack, HORIZON, 1)] == changes


def test_with_seasons_the_largest_hour_is_told_of() -> None:
    times = np.arange(6_000) * 20.0
    values = np.random.default_rng(1).random(6_000) < 0.1
    plan = packs.Plan(season=Season.HOUR)
    pack = packs.build("any", Kind.FLAG, values.astype(float), made_at=0.0, times=times, segment="a/b/c", plan=plan)

    assert [delay.change for delay in delays(pack, HORIZON, 1)] == ["twice as often"]
