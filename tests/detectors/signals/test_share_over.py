import math
import random
from bisect import bisect_left

import msgspec
import pytest

from detectors.signals.share_over import PLUGIN, Objective, ShareOverConfig, problems
from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.pipeline import Pipeline
from watchkeeper.agent.signals import Watched
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Completion, HistogramValue, Outcome, Point, Reading, Severity
from watchkeeper.core.vocabulary import health, requests, signals

FIRST_TOKEN = {"metric": "time_to_first_token", "bound_seconds": 2.5}


class Service:
    """Calls as the series of one service tell them; `tick` is ten seconds."""

    def __init__(self, **settings):
        self.config = msgspec.convert(settings, ShareOverConfig)
        self.ledger = Ledger()
        self.signal = PLUGIN.build(self.config, self.ledger)
        self.watched = Watched(PLUGIN.name, self.signal, PLUGIN.reads, self.config.interval_seconds, self.ledger)
        self.at = self.began = 1_700_000_000.0
        self.findings = []
        self.samples = {}
        self.totals = {}
        self.dirty = set()

    def took(self, seconds, calls=1, metric=requests.SERVER_FIRST_TOKEN, bounds=None, **labels):
        bounds = bounds or metric.buckets
        own = {requests.VANTAGE: "page", "service.name": "chat", "gen_ai.request.model": "qwen"} | {
            name.replace("__", "."): value for name, value in labels.items()
        }
        key = (metric, tuple((name, own[name]) for name in metric.labels if own.get(name)))
        counts = self.totals.setdefault(key, (bounds, [0.0] * (len(bounds) + 1)))[1]
        counts[bisect_left(bounds, seconds)] += calls
        self.dirty.add(key)

    def ended(self, outcome, calls=1, service="chat", model="qwen"):
        key = (requests.REQUESTS, (("service.name", service), ("gen_ai.request.model", model), ("outcome", outcome)))
        self.totals[key] = self.totals.get(key, 0.0) + calls
        self.dirty.add(key)

    def tick(self, seconds=10.0, gone=()):
        self.at += seconds
        points = []
        for metric, labels in self.dirty:
            held = self.totals[metric, labels]
            value = held if isinstance(held, float | int) else HistogramValue(held[0], tuple(held[1]), 0.0)
            points.append(Point(metric, labels, value))
        self.dirty.clear()
        judged = self.watched.update(Batch(self.at, tuple(points), tuple(gone)))
        self.findings += judged.findings
        self.samples.update({(one.metric, one.labels): one.value for one in judged.samples})
        return judged

    @property
    def raised(self):
        return [finding for finding in self.findings if not finding.resolved]


@pytest.fixture(autouse=True)
def _no_fault(monkeypatch):
    """No signal may fail by a fault of its own."""
    made = []
    build = Service.__init__

    def keep(self, **settings):
        build(self, **settings)
        made.append(self)

    monkeypatch.setattr(Service, "__init__", keep)
    yield
    drained = [sample for one in made for sample in one.ledger.drain(0.0)]
    assert not [sample for sample in drained if sample.metric is health.SIGNAL_FAILURES and sample.value]


def test_what_is_within_the_objective_raises_nothing_and_what_is_not_is_an_alarm_with_its_numbers():
    service = Service(objectives=[FIRST_TOKEN])
    chance = random.Random(1)
    for _ in range(360):
        service.took(0.3, 50)
        service.took(4.0, sum(chance.random() < 0.008 for _ in range(50)))
        service.tick()
    assert service.findings == []
    began = service.at
    for _ in range(30):
        bad = sum(chance.random() < 0.05 for _ in range(50))
        service.took(0.3, 50 - bad)
        service.took(4.0, bad)
        service.tick()

    finding = service.raised[-1]
    assert finding.severity is Severity.CRITICAL
    assert finding.at - began <= 200
    assert abs(finding.since - began) <= 60
    share = float(finding.summary.partition("%")[0])
    assert 3 < share < 8
    assert "of the calls of chat to qwen waited longer than 2.5 s for the first token since" in finding.summary
    assert finding.summary.endswith("objective at most 1%")
    assert finding.labels == (
        ("service.name", "chat"), ("gen_ai.request.model", "qwen"), ("objective", "time_to_first_token")
    )  # fmt: skip
    assert finding.action


def test_a_service_of_which_every_call_fails_is_found_by_default_with_the_tenth():
    service = Service()
    for _ in range(100):
        service.ended("ok", 1)
        service.tick()
    calls = 0
    while not service.raised:
        service.ended("error")
        service.tick()
        calls += 1
        assert calls <= 14
    assert calls >= 10
    assert "failed since" in service.raised[0].summary


def test_calls_that_the_caller_gave_up_or_asked_wrongly_are_no_failures():
    service = Service()
    for _ in range(100):
        service.ended("cancelled", 5)
        service.ended("client_error", 5)
        service.tick()

    assert service.findings == []
    assert service.samples == {}


def test_refused_and_timed_out_calls_are_failures():
    service = Service()
    for _ in range(30):
        service.ended("rejected", 3)
        service.ended("timeout", 3)
        service.ended("ok", 10)
        service.tick()

    assert service.raised[-1].severity is Severity.CRITICAL


def test_a_burst_that_is_over_within_a_minute_stays_a_warning_and_is_resolved():
    service = Service()
    for _ in range(60):
        service.ended("ok", 50)
        service.tick()
    for _ in range(2):
        service.ended("error", 50)
        service.tick()
    for _ in range(300):
        service.ended("ok", 50)
        service.tick()

    assert [(finding.severity, finding.resolved) for finding in service.findings] == [
        (Severity.WARNING, False),
        (Severity.WARNING, True),
    ]
    assert 1800 <= service.findings[1].at - service.findings[0].at <= 1900


def test_what_goes_on_turns_from_warning_to_alarm_after_alarm_seconds():
    service = Service(alarm_seconds=120)
    for _ in range(60):
        service.ended("error", 20)
        service.tick()

    assert [finding.severity for finding in service.raised] == [Severity.WARNING, Severity.CRITICAL]
    assert service.raised[1].at - service.raised[0].since == pytest.approx(120, abs=10)
    assert all(finding.since == service.raised[0].since for finding in service.raised)


def test_an_alarm_lasts_while_the_share_is_over_however_seldom_evidence_crosses():
    service = Service()
    for _ in range(20):
        service.ended("error", 20)
        service.tick()
    for _ in range(36 * 3):  # 1.5 %, which takes hours to cross
        service.ended("error", 2)
        service.ended("ok", 128)
        service.tick(100)
    assert not any(finding.resolved for finding in service.findings)

    for _ in range(36):
        service.ended("ok", 130)
        service.tick(100)
    assert service.findings[-1].resolved


def test_retries_of_one_call_are_too_few_to_raise_anything():
    service = Service()
    for _ in range(50):
        service.ended("ok", 1)
        service.tick()
    for _ in range(6):
        service.ended("error")
        service.tick()
    for _ in range(50):
        service.ended("ok", 1)
        service.tick()

    assert service.findings == []


def test_a_call_that_two_observers_tell_of_counts_once_as_the_nearest_to_the_user_saw_it():
    service = Service(objectives=[FIRST_TOKEN])
    for _ in range(60):
        service.took(9.0, 20)  # the engine's page
        service.took(0.3, 20, watchkeeper__vantage="client")
        service.tick()

    assert service.findings == []

    for _ in range(60 + 6):  # the callers fall silent, and ten minutes later the page is what there is
        service.took(9.0, 20)
        service.tick()
    assert service.raised


@pytest.mark.parametrize(
    "labels",
    [
        {"watchkeeper__vantage": "totals"},
        {"watchkeeper__engine__role": "decode"},
        {"gen_ai__request__stream": "false"},
    ],
    ids=str,
)
def test_what_is_not_the_callers_wait_for_the_first_token_is_not_taken_for_it(labels):
    service = Service(objectives=[FIRST_TOKEN])
    for _ in range(30):
        service.took(9.0, 20, **labels)
        service.tick()

    assert service.samples == {}


def test_the_first_line_of_a_name_that_fits_a_service_holds():
    lenient = {**FIRST_TOKEN, "bound_seconds": 10.0, "service": "batch-*"}
    service = Service(objectives=[lenient, FIRST_TOKEN, {**FIRST_TOKEN, "bound_seconds": 0.25, "name": "quick"}])
    for _ in range(30):
        service.took(4.0, 20, service__name="batch-1")
        service.took(4.0, 20)
        service.tick()

    found = {(dict(finding.labels)["service.name"], dict(finding.labels)["objective"]) for finding in service.raised}
    assert found == {("chat", "time_to_first_token"), ("chat", "quick"), ("batch-1", "quick")}


def test_an_engine_whose_buckets_lack_the_bound_is_judged_by_the_next_edge_which_the_finding_names():
    service = Service(objectives=[FIRST_TOKEN])
    for _ in range(30):
        service.took(2.9, 20, bounds=(1.0, 3.0, 9.0))
        service.tick()
    assert service.findings == []
    for _ in range(30):
        service.took(5.0, 20, bounds=(1.0, 3.0, 9.0))
        service.tick()

    assert "longer than 3 s" in service.raised[0].summary


def test_an_engine_whose_buckets_end_below_the_bound_is_not_judged():
    service = Service(objectives=[FIRST_TOKEN])
    for _ in range(30):
        service.took(50.0, 20, bounds=(0.5, 1.0))
        service.tick()

    assert service.samples == {}


def test_totals_that_begin_anew_count_from_there():
    service = Service(objectives=[FIRST_TOKEN, {"metric": "availability"}])
    service.ended("ok", 1_000_000)
    service.ended("error", 1_000)
    service.took(0.3, 1_000_000)
    service.took(9.0, 1_000)
    service.tick()
    service.totals.clear()
    for _ in range(10):
        service.ended("error")
        service.took(9.0)
        service.tick()

    assert {dict(finding.labels)["objective"] for finding in service.raised} == {"time_to_first_token", "availability"}


def test_series_that_go_take_their_judges_and_places_with_them():
    service = Service()
    for number in range(50):
        service.ended("error", service=f"job-{number}")
    service.tick()
    service.tick(gone=tuple(service.totals))

    assert service.signal._judges == service.signal._feeds == service.signal._places == {}


def test_more_objectives_of_services_than_are_kept_are_left_out_and_counted():
    service = Service()
    for number in range(510):
        service.ended("error", service=f"job-{number}")
    service.tick()

    assert len(service.signal._judges) == 500
    drained = {sample.metric: sample.value for sample in service.ledger.drain(0.0)}
    assert drained[signals.UNWATCHED] == 10


def test_a_clock_that_is_set_back_does_not_hold_an_alarm_forever():
    service = Service()
    for _ in range(20):
        service.ended("error", 20)
        service.tick()
    service.at -= 86_400
    for _ in range(400):
        service.ended("ok", 20)
        service.tick()

    assert service.findings[-1].resolved


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            {"metric": "time_to_first_token", "bound_seconds": 2.0},
            "signals.share_over.objectives[0].bound_seconds: 2 is no bucket edge of time_to_first_token, so it cannot "
            "be counted; take 1 or 2.5",
        ),
        (
            {"metric": "duration", "bound_seconds": 300},
            "signals.share_over.objectives[0].bound_seconds: 300 is no bucket edge of duration, so it cannot be "
            "counted; take 81.92",
        ),
        (
            {"metric": "time_per_output_token"},
            "signals.share_over.objectives[0].bound_seconds: missing; give the seconds that time_per_output_token may "
            "take, one of 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5",
        ),
        (
            {"metric": "availability", "bound_seconds": 1.0},
            "signals.share_over.objectives[0].bound_seconds: availability has no bound; leave it out",
        ),
    ],
    ids=lambda value: value.get("metric") if isinstance(value, dict) else "",
)
def test_a_bound_that_cannot_be_counted_is_told_with_the_edges_beside_it(line, said):
    config = msgspec.convert({"objectives": [line]}, ShareOverConfig)

    assert problems(config) == (said,)
    with pytest.raises(ConfigError, match="bound_seconds"):
        PLUGIN.build(config, Ledger())


def test_one_name_for_two_metrics_is_a_mistake():
    lines = (Objective("availability", name="slo"), Objective("duration", bound_seconds=5.12, name="slo"))

    assert problems(ShareOverConfig(objectives=lines)) == (
        "signals.share_over.objectives[1].name: slo names availability already; take another",
    )


def test_calls_as_the_pipeline_counts_them_are_found_late_by_the_one_and_failed_by_the_other():
    ledger = Ledger()
    config = ShareOverConfig(
        objectives=(Objective("availability"), Objective("time_to_first_token", bound_seconds=2.5))
    )
    watched = Watched(PLUGIN.name, PLUGIN.build(config, ledger), PLUGIN.reads, 10.0, ledger)
    batches = []
    aggregate = Aggregate(ledger, max_series=1000, max_values_per_label=100)
    pipeline = Pipeline(aggregate, ledger, [batches.append], signals=[watched])
    for number in range(60):
        at = 1_700_000_000.0 + 10 * number
        fails = number >= 30
        call = Completion(
            at=at,
            service="chat",
            request_model="qwen",
            duration_seconds=9.0,
            time_to_first_token_seconds=5.0 if number < 30 else 0.2,
            outcome=Outcome.ERROR if fails else Outcome.OK,
            error_type="500" if fails else "",
        )
        pipeline.accept("otlp", Reading(completions=(call, call)), at)
        pipeline.tick(at)

    raised = [
        (dict(finding.labels)["objective"], finding.at >= 1_700_000_300.0)
        for batch in batches
        for finding in batch.findings
        if not finding.resolved and finding.severity is Severity.CRITICAL
    ]
    assert raised == [("time_to_first_token", False), ("availability", True)]


def poisson_limit(mean):
    """99.9 % quantile (normal, with the correction for skewness)."""
    return math.ceil(mean + 3.09 * math.sqrt(mean) + (3.09**2 - 1) / 6)


def crossings(services, ticks, share, calls, horizon, seed):
    """How often judges of so many services, at exactly the share that is allowed, say that it is passed."""
    chance = random.Random(seed)
    signal = PLUGIN.build(ShareOverConfig(false_alarm_days=horizon * 10 / 86_400), Ledger())
    names = [f"service-{number}" for number in range(services)]
    totals = dict.fromkeys(((name, outcome) for name in names for outcome in ("ok", "error")), 0)
    count = 0
    held = {}
    for number in range(ticks):
        for name in names:
            for _ in range(calls):
                totals[name, "error" if chance.random() < share else "ok"] += 1
        points = [
            Point(requests.REQUESTS, (("service.name", name), ("outcome", outcome)), float(total))
            for (name, outcome), total in totals.items()
        ]
        signal.update(Batch(number * 10.0, tuple(points)))
        signal.assess(number * 10.0)
        for key, judge in signal._judges.items():
            onset = judge._onset
            crossed = onset.crossed_at if onset else None
            count += crossed is not None and crossed == number * 10.0 and held.get(key) != crossed
            held[key] = crossed
    return count


@pytest.mark.parametrize(
    ("services", "ticks", "calls"), [(1, 12_000, 5), (12, 1_500, 5)], ids=["one service", "twelve services"]
)
def test_at_the_edge_of_the_objective_crossings_stay_under_the_bound_of_all_objectives_together(services, ticks, calls):
    horizon = 100

    count = crossings(services, ticks, 0.01, calls, horizon, seed=services)

    assert count <= poisson_limit(ticks / horizon)


def test_state_is_absent_without_calls_and_the_score_is_evidence_over_its_threshold():
    service = Service()
    service.ended("ok", 0)
    service.tick()
    assert service.samples == {}
    service.ended("ok", 5)
    service.ended("error", 5)
    service.tick()

    state, score = (
        next(value for (metric, _), value in service.samples.items() if metric is wanted)
        for wanted in (signals.STATE, signals.SCORE)
    )
    assert state in (0.0, 1.0)
    assert score > 0.5
