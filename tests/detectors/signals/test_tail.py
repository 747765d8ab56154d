import math

import msgspec
import numpy as np
import pytest

from detectors.signals import _tails
from detectors.signals.tail import PLUGIN, Line, TailConfig, problems
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Point, Severity, State
from watchkeeper.core.vocabulary import devices, engines, signals

WAITING = {"metric": "watchkeeper_engine_requests_waiting"}
ENGINE = {"service.name": "vllm", "gen_ai.request.model": "qwen"}
DAY = 2880
"""points"""


@pytest.fixture
def queue(host):
    """Feeds points of one gauge, 30 s each, into the signal as configured."""

    def make(**line):
        watch = host(PLUGIN, series=[{**WAITING, **line}])

        def feed(values):
            for value in values:
                watch.say(ENGINE, engines.WAITING, float(value))
                watch.tick(30)

        return watch, feed

    return make


def noise(seed, size, deviation=1.0):
    return np.random.default_rng(seed).normal(size=size) * deviation


def test_a_shift_that_lasts_is_a_warning_with_its_numbers_and_ends_when_it_is_over(queue):
    watch, feed = queue()
    feed(20 + noise(1, 1400))
    assert watch.findings == []
    began = watch.at
    feed(30 + noise(2, 100))

    [finding] = watch.findings
    assert finding.severity is Severity.WARNING
    assert finding.at - began <= 40 * 60
    assert finding.since == began + 30
    assert finding.labels == (
        ("service.name", "vllm"),
        ("gen_ai.request.model", "qwen"),
        ("series", "watchkeeper.engine.requests.waiting"),
    )
    assert finding.summary.startswith("watchkeeper.engine.requests.waiting of vllm qwen is ")
    assert "usually 17" in finding.summary
    assert "add replicas" in finding.action

    feed(20 + noise(3, 70))
    assert watch.findings[-1].resolved
    assert 1800 <= watch.findings[-1].at - began - 100 * 30 <= 1900


def test_what_a_warning_is_about_does_not_become_usual_within_a_day_and_is_after_it(queue):
    watch, feed = queue()
    feed(20 + noise(1, 1400))
    feed(40 + noise(2, DAY - 40))
    assert [finding.resolved for finding in watch.findings] == [False]

    feed(40 + noise(3, 200))
    assert [finding.resolved for finding in watch.findings] == [False, True]


def test_a_spike_is_none(queue):
    watch, feed = queue()
    feed(20 + noise(1, 2000))
    feed([500, 500])
    feed(20 + noise(2, 500))

    assert watch.findings == []


def test_a_small_shift_that_one_point_does_not_show_is_found_by_the_mean_of_four(queue):
    watch, feed = queue()
    feed(20 + noise(1, 2000))
    shift = 5.0 + noise(2, 120, 0.5)  # below 6 scales of one point, 10 of the mean of 4
    feed(20 + shift)

    assert watch.raised


def test_unrest_is_found_where_the_level_stays(queue):
    watch, feed = queue()
    feed(20 + noise(1, 2000))
    feed(20 + 5 * (-1.0) ** np.arange(120))

    assert watch.raised


def test_ups_and_downs_of_every_day_are_usual(queue):
    watch, feed = queue()
    points = np.arange(3 * DAY)
    feed(20 + 15 * np.sin(2 * math.pi * points / DAY) + noise(1, points.size))

    assert watch.findings == []


def test_what_comes_at_the_same_hour_every_day_is_usual_after_some_days():
    config = TailConfig(series=(Line(engines.WAITING.name),), false_alarm_days=5)
    signal = PLUGIN.build(config, Ledger())
    points = np.arange(8 * DAY)
    values = 20 + noise(1, points.size) + np.where(points % DAY < 28, 40, 0)
    days = set()
    for place, value in enumerate(values):
        at = 1_700_000_000.0 + 30 * place
        signal.update(Batch(at, (Point(engines.WAITING, (), float(value)),)))
        [said] = signal.assess(at)
        if said.verdict.state is State.WARN:
            days.add(place // DAY)

    assert days
    assert max(days) < 5


@pytest.mark.parametrize(
    ("line", "shift", "found"),
    [
        ({"side": "high"}, -15, False),
        ({"side": "low"}, -15, True),
        ({"side": "both"}, -15, True),
        ({"side": "both"}, 15, True),
        ({"beyond": 40}, 15, False),
        ({"beyond": 30}, 15, True),
        ({"side": "low", "beyond": 2}, -15, False),
        ({"side": "low", "beyond": 10}, -15, True),
        ({"floor": 3}, 15, False),
        ({"floor": 2}, 15, True),
    ],
    ids=str,
)
def test_only_the_side_and_the_size_that_matter_are_told(queue, line, shift, found):
    watch, feed = queue(**line)
    feed(20 + noise(1, 1400))
    feed(20 + shift + noise(2, 100, 0.1))

    assert bool(watch.raised) is found


def test_a_counter_is_watched_by_its_growth_per_second(host):
    watch = host(PLUGIN, series=[{"metric": "watchkeeper_engine_tokens_total", "side": "low", "floor": 5}])
    rng = np.random.default_rng(1)
    for number in range(1500):
        grown = rng.normal(1000, 20) if number < 1400 else 0.0
        watch.say(ENGINE, engines.TOKENS, 30 * grown, gen_ai__token__type="output")
        watch.tick(30)

    assert " token per second, far outside" in watch.raised[0].summary
    assert "usually 95" in watch.raised[0].summary


@pytest.mark.parametrize("metric", [engines.WAITING, engines.RECEIVED], ids=["gauge", "counter"])
def test_time_without_numbers_is_no_point(host, metric):
    watch = host(PLUGIN, series=[{"metric": metric.name, "side": "low"}])
    for number in range(300):
        if not 100 <= number < 200:
            watch.say(ENGINE, metric, 20.0)
        watch.tick(30)

    [watched] = watch.watched._signal._watched.values()
    assert watched.points.total == 200 - (metric is engines.RECEIVED)


def test_a_queue_that_is_mostly_empty_may_fill_now_and_then(queue):
    watch, feed = queue()
    points = np.arange(2500)
    feed(np.where(points % 50 < 2, 12.0, 0.0))
    feed(np.where(points[:600] % 10 < 2, 12.0, 0.0))

    assert watch.findings == []


def test_nothing_is_said_in_the_first_hours(queue):
    watch, feed = queue()
    feed(20 + noise(1, 1200))
    assert watch.states() == {}

    feed(20 + noise(2, 30))
    assert watch.states() != {}


def test_labels_choose_the_series_and_one_that_lacks_them_fits(host):
    lines = [{"metric": "hw.temperature", "labels": {"hw.sensor_location": "chip"}, "name": "chip"}]
    watch = host(PLUGIN, series=lines)
    for location in ("chip", "memory", ""):
        own = watch.gpu(len(location))
        watch.say(own, devices.TEMPERATURE, 60.0, **({"hw__sensor_location": location} if location else {}))
    watch.tick(30)

    known = watch.watched._signal._watched
    assert {dict(subject)["hw.id"] for subject in known} == {"GPU-4", "GPU-0"}


def test_series_beyond_the_bound_are_left_out_and_counted(host):
    watch = host(PLUGIN, series=[WAITING], max_series=3)
    for number in range(5):
        watch.say({"service.name": f"s{number}"}, engines.WAITING, 1.0)
    watch.tick(30)

    assert len(watch.watched._signal._watched) == 3
    drained = {sample.metric: sample.value for sample in watch.ledger.drain(0.0)}
    assert drained[signals.UNWATCHED] == 2


def test_a_series_not_seen_for_an_hour_leaves_its_place_and_is_taken_anew(host):
    watch = host(PLUGIN, series=[WAITING])
    watch.say(ENGINE, engines.WAITING, 1.0)
    watch.tick(30)
    watch.tick(3700)
    signal = watch.watched._signal
    assert signal._watched == signal._places == signal._feeds == {}

    watch.say(ENGINE, engines.WAITING, 1.0)
    watch.tick(30)
    assert list(signal._places) == [1]


def test_series_that_came_together_renew_what_is_usual_one_after_the_other(host, monkeypatch):
    watch, usual, renewed = host(PLUGIN, series=[WAITING]), _tails.usual, []
    monkeypatch.setattr(_tails, "usual", lambda points, floor: renewed.append(watch.at) or usual(points, floor))
    for _ in range(260):
        for number in range(5):
            watch.say({"service.name": f"s{number}"}, engines.WAITING, 20.0)
        watch.tick(30)

    assert len(renewed) == 10
    assert len(set(renewed)) == 10


def test_the_ring_holds_the_newest_points_in_order():
    points = _tails.Points()
    for value in range(_tails.WINDOW + 1234):
        points.add(value)
        if value in (10, 63, 64, 1000):
            assert points.newest(10**6) == list(range(value + 1))

    assert points.newest(_tails.WINDOW) == list(range(1234, _tails.WINDOW + 1234))
    assert points.newest(3) == [_tails.WINDOW + 1231, _tails.WINDOW + 1232, _tails.WINDOW + 1233]


def test_the_score_is_the_gaussian_tail_in_twentieths_of_a_decade():
    known = _tails.Usual(0.0, 1.0, 0.0, 1e9, 0.0, 1e9, -2.0, 2.0)
    line = Line("hw.temperature")

    assert _tails.score(np.array([0, 0, 0, 0, 5.99]), known, line) == 0.0
    assert _tails.score(np.array([0, 0, 0, 0, 7.0]), known, line) == pytest.approx(0.5946, abs=1e-3)
    assert _tails.score(np.array([0, 0, 0, 0, 1e6]), known, line) == 1.0


def heavy(rng, size):
    return rng.standard_cauchy(size)


def skewed(rng, size):
    return np.exp(rng.normal(size=size))


def flat(rng, size):
    return np.full(size, 5.0)


def dependent(rng, size):
    out, last = np.zeros(size), 0.0
    for place, step in enumerate(rng.normal(size=size)):
        last = out[place] = 0.8 * last + step
    return out


@pytest.mark.parametrize("draw", [heavy, skewed, flat, dependent], ids=lambda draw: draw.__name__)
def test_evidence_reaches_its_limit_by_chance_at_most_as_often_as_promised_whatever_the_law(draw):
    horizon, size = 20, 12_000
    config = TailConfig(
        series=(Line(engines.WAITING.name, side="both"),), interval_seconds=1, false_alarm_days=horizon * 10 / 86_400
    )
    signal = PLUGIN.build(config, Ledger())
    for place, value in enumerate(draw(np.random.default_rng(7), size)):
        signal.update(Batch(float(place), (Point(engines.WAITING, (), float(value)),)))
        signal.assess(float(place))

    [watched] = signal._watched.values()
    mean = (size / _tails.BLOCK - 100) / horizon / 2  # the first place has half of the budget
    assert 0 < watched.crossings <= math.ceil(mean + 3.09 * math.sqrt(mean) + (3.09**2 - 1) / 6)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            {"metric": "hw.temprature"},
            "signals.tail.series[0].metric: hw.temprature is no gauge or counter of docs/metrics.md; take one from "
            "there",
        ),
        (
            {"metric": "watchkeeper_engine_requests_waiting", "labels": {"hw.id": "1"}},
            "signals.tail.series[0].labels: watchkeeper.engine.requests.waiting has no label hw.id; it has "
            f"{', '.join(engines.ENGINE)}",
        ),
        (
            {"metric": "hw.temperature", "side": "both", "beyond": 1.0},
            "signals.tail.series[0].beyond: means nothing with `side: both`; make two lines of it, with names",
        ),
    ],
    ids=["metric", "label", "beyond"],
)
def test_a_line_that_cannot_be_watched_is_told_with_what_to_do(line, said):
    config = msgspec.convert({"series": [line]}, TailConfig)

    assert problems(config) == (said,)
    with pytest.raises(ConfigError):
        PLUGIN.build(config, Ledger())


def test_two_lines_of_one_name_are_a_mistake_by_whichever_name_of_the_metric():
    lines = (Line("hw.temperature"), Line("hw_temperature_celsius"))

    assert problems(TailConfig(series=lines)) == (
        "signals.tail.series[1].name: hw.temperature is taken by a line before; give this one a name of its own",
    )


def test_what_is_watched_by_default_is_no_mistake():
    assert problems(TailConfig()) == ()
