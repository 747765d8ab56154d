import pytest

from detectors.signals.stuck import PLUGIN
from watchkeeper.core.records import HistogramValue, SeriesKey, Severity
from watchkeeper.core.vocabulary import engines, requests

BOUNDS = (1.0,)


class Engines:
    """Engines' pages, one reading a tick of 10 s."""

    def __init__(self, host, **settings):
        self.watch = host(PLUGIN, **settings)

    def page(
        self, name="a", running=1.0, waiting=0.0, output=None, ended=None, cache=None, steps=None, up=1.0, model="qwen"
    ):
        """None: not told."""
        watch = self.watch
        own = {"service.name": "vllm", "server.address": f"10.0.0.{name}", "server.port": "8000"}
        watch.say(own, engines.ENGINE_UP, up)
        own["gen_ai.request.model"] = model
        told = (
            (engines.RUNNING, running, {}),
            (engines.WAITING, waiting, {}),
            (engines.KV_CACHE, cache, {}),
            (engines.TOKENS, output, {"gen_ai__token__type": "output"}),
            (engines.FINISHED, ended, {"gen_ai__response__finish_reason": "stop"}),
        )
        for metric, value, labels in told:
            if value is not None:
                watch.say(own, metric, value, **labels)
        if steps is not None:
            key: SeriesKey = (engines.INTER_TOKEN_LATENCY, tuple(own.items()))
            watch._points[key] = HistogramValue(BOUNDS, (steps, 0.0), 0.0)

    def lose(self):
        gone, self.watch._shown = tuple(self.watch._shown), set()
        gone = tuple(key for key in gone if key[0] is not engines.ENGINE_UP)
        self.watch._hand_over(gone)

    def run(self, ticks, **page):
        for _ in range(ticks):
            self.page(**page)
            self.watch.tick(10)


@pytest.fixture
def machines(host):
    return lambda **settings: Engines(host, **settings)


def test_an_engine_with_requests_and_no_token_for_a_minute_is_stuck_from_its_last_token_on(machines):
    them = machines()
    them.run(30, output=100, ended=0)
    last = them.watch.at
    them.run(6, output=0, ended=0, waiting=4)

    [finding] = them.watch.raised
    assert finding.severity is Severity.CRITICAL
    assert finding.since == last
    assert finding.at == last + 60
    assert finding.summary == (
        "engine 10.0.0.a:8000 (qwen) has 1 requests running and 4 requests waiting and has shown no work for 60 s"
    )
    assert finding.labels == (
        ("service.name", "vllm"),
        ("gen_ai.request.model", "qwen"),
        ("server.address", "10.0.0.a"),
        ("server.port", "8000"),
    )

    them.run(1, output=5, ended=0)
    assert them.watch.findings[-1].resolved


@pytest.mark.parametrize(
    "page",
    [
        {"output": 1, "ended": 0},
        {"output": 0, "ended": 1},
        {"output": 0, "ended": 0, "running": 0.0},
        {"output": 0, "ended": 0, "up": 0.0},
    ],
    ids=["tokens", "endings", "no requests", "down"],
)
def test_an_engine_that_shows_work_or_has_none_or_is_down_is_not_stuck(machines, page):
    them = machines()
    them.run(30, output=100, ended=0)
    them.run(30, **page)

    assert them.watch.findings == []


def test_use_of_the_cache_that_moves_is_work(machines):
    them = machines()
    them.run(30, output=100, ended=0)
    for number in range(30):  # a long prompt is being read
        them.run(1, output=0, ended=0, cache=0.1 + 0.001 * number)
    assert them.watch.findings == []

    them.run(7, output=0, ended=0, cache=0.5)
    assert them.watch.raised


def test_requests_that_wait_while_none_runs_and_nothing_moves_are_stuck(machines):
    them = machines()
    them.run(30, output=100, ended=0)
    them.run(8, output=0, ended=0, running=0.0, waiting=3.0)

    assert "has 3 requests waiting" in them.watch.raised[0].summary


@pytest.mark.parametrize("ended", [None, 1], ids=["tells no endings", "counts as they end"])
def test_an_engine_that_counts_tokens_when_a_request_ends_has_ten_minutes(machines, ended):
    them = machines()
    for _ in range(5):
        them.run(30, output=0, ended=None if ended is None else 0)
        them.run(1, output=900, ended=ended)
    assert them.watch.findings == []

    them.run(61, output=0, ended=None if ended is None else 0)

    assert [finding.at - finding.since for finding in them.watch.raised] == [600]


def test_an_engine_that_tells_the_time_between_tokens_has_a_minute_however_busy_it_is(machines):
    them = machines()
    for number in range(30):
        them.run(1, output=100, ended=1, steps=100 * number)
    them.run(7, output=0, ended=0, steps=2900)

    assert them.watch.raised


def test_silence_counts_from_when_it_came_back_or_was_given_requests(machines):
    them = machines()
    them.run(30, output=100, ended=0)
    them.run(60, output=0, ended=0, running=0.0)
    them.run(6, output=0, ended=0)
    them.page(up=0.0, running=None, waiting=None)
    them.watch.tick(10)
    them.lose()
    them.run(60, running=None, waiting=None, up=0.0)
    them.run(5, output=0, ended=0)
    assert them.watch.findings == []

    them.run(2, output=0, ended=0)
    assert them.watch.raised[0].since == them.watch.at - 60


def test_a_stuck_engine_that_goes_down_is_no_longer_called_stuck(machines):
    them = machines()
    them.run(30, output=100, ended=0)
    them.run(8, output=0, ended=0)
    assert them.watch.raised
    them.page(up=0.0, running=None, waiting=None)
    them.watch.tick(10)

    assert them.watch.findings[-1].resolved


def test_fewer_than_three_silent_readings_say_nothing(machines):
    them = machines()
    them.run(30, output=100, ended=0)
    for _ in range(2):
        them.page(output=0, ended=0)
        them.watch.tick(100)
    assert them.watch.findings == []

    them.page(output=0, ended=0)
    them.watch.tick(100)
    assert them.watch.raised


def test_an_engine_whose_tokens_stand_still_while_its_peers_move_is_behind(machines):
    them = machines()
    for number in range(60):
        for name in "abc":
            still = name == "b" and number >= 20
            them.page(name, output=0 if still else 100, running=None, waiting=None)
        them.watch.tick(10)

    [finding] = them.watch.raised
    assert finding.severity is Severity.WARNING
    assert ("server.address", "10.0.0.b") in finding.labels
    assert finding.at - finding.since == pytest.approx(300, abs=10)
    assert "while its 2 peers go on" in finding.summary


@pytest.mark.parametrize(
    ("peers", "page"),
    [
        ("ac", {"running": 0.0, "waiting": 0.0}),
        ("a", {"running": None, "waiting": None}),
        ("acX", {"running": None, "waiting": None}),
    ],
    ids=["says it has no requests", "one peer", "a peer stands still too"],
)
def test_an_engine_without_requests_or_with_peers_that_do_not_all_move_is_not_behind(machines, peers, page):
    them = machines()
    for _ in range(60):
        for name in peers:
            them.page(name, output=0 if name == "X" else 100, running=None, waiting=None)
        them.page("b", output=0, **page)
        them.watch.tick(10)

    assert them.watch.findings == []


def test_where_no_peer_moves_none_is_behind(machines):
    them = machines()
    for number in range(90):
        for name in "abc":
            them.page(name, output=100 if number < 20 else 0, running=None, waiting=None)
        them.watch.tick(10)

    assert them.watch.findings == []


def test_what_callers_and_taps_count_makes_no_engine(machines):
    watch = machines().watch
    own = {"service.name": "chat", "server.address": "10.0.0.1", requests.VANTAGE: "client"}
    key = (
        requests.SERVER_DURATION,
        tuple((name, own[name]) for name in requests.SERVER_DURATION.labels if name in own),
    )
    watch._points[key] = HistogramValue(BOUNDS, (1.0, 0.0), 0.0)
    watch.tick(10)

    assert watch.samples == {}


def test_steps_that_a_tap_saw_do_not_make_an_engine_one_that_counts_as_it_goes(machines):
    them = machines()
    for number in range(70):
        own = {"service.name": "vllm", "server.address": "10.0.0.a", "server.port": "8000"}
        key = (engines.INTER_TOKEN_LATENCY, (*own.items(), (requests.VANTAGE, "tap")))
        if number < 30:
            them.watch._points[key] = HistogramValue(BOUNDS, (float(number), 0.0), 0.0)
        them.run(1, output=100 if number < 30 else 0)

    assert them.watch.findings == []


def test_engines_not_seen_for_five_minutes_are_forgotten(machines):
    them = machines()
    them.run(5, output=100)
    assert len(them.watch.watched._signal._engines) == 1
    them.watch.tick(400)

    assert them.watch.watched._signal._engines == {}
