from typing import Any

import pytest

from exporters.page.history import MARKS, STEP_SECONDS, WINDOW_STEPS, History, gauge_sum
from exporters.page.tally import MAX_GROUPS, Loss, Missed, Origin
from exporters.page.totals import Estimate
from exporters.page.view import view_of
from watchkeeper.core.labels import OTHER
from watchkeeper.core.records import Batch, HistogramValue, Point
from watchkeeper.core.vocabulary import engines, health, requests


def test_a_steady_rate_is_read_as_itself(traffic: Any) -> None:
    history = History()
    for _ in range(240):
        traffic.call()
        history.add(traffic.batch())

    view = view_of(history.seen(), traffic.at)

    assert view.request_rate == pytest.approx(2.0, rel=0.1)
    assert view.output_rate == pytest.approx(100.0, rel=0.1)
    assert view.marks[-1].request_rate == pytest.approx(2.0, rel=0.1)


def frontend(traffic: Any, model: str) -> None:
    """What a frontend says of requests for this model."""
    named = {
        "gen_ai.provider.name": "dynamo", "gen_ai.request.model": model, "server.address": "10.0.0.9",
        requests.ROLE: "frontend",
    }  # fmt: skip
    traffic.set(engines.RUNNING, named, 7.0)
    traffic.add(engines.TOKENS, {**named, "gen_ai.token.type": "output"}, 500)


@pytest.mark.parametrize(("model", "tokens", "running"), [("qwen3", 500.0, 7.0), ("another", 1000.0, 14.0)])
def test_a_frontend_adds_nothing_to_what_the_engines_behind_it_tell(
    model: str, tokens: float, running: float, traffic: Any
) -> None:
    history = History()
    traffic.engine()
    frontend(traffic, model)
    history.add(traffic.batch())

    step = history.seen().steps[-1]
    assert step.total.worked == {"output": tokens}
    assert sum(tally.worked["output"] for tally in step.models.values()) == tokens
    assert step.engines["10.0.0.9"].worked == {"output": 500.0}
    assert gauge_sum(history.seen().points, engines.RUNNING) == running


def test_a_frontend_whose_engines_are_not_watched_is_counted(traffic: Any) -> None:
    history = History()
    frontend(traffic, "qwen3")
    history.add(traffic.batch())

    assert history.seen().steps[-1].total.worked == {"output": 500.0}
    assert gauge_sum(history.seen().points, engines.RUNNING) == 7.0


def test_the_first_call_after_the_start_is_no_burst(traffic: Any) -> None:
    history = History()
    traffic.call()
    history.add(traffic.batch())

    assert view_of(history.seen(), traffic.at).request_rate == pytest.approx(1 / STEP_SECONDS)


def test_a_reset_counts_what_came_after_it(traffic: Any) -> None:
    history = History()
    key = (requests.REQUESTS, (("outcome", "ok"),))
    for at, total in ((0.0, 0.0), (5.0, 100.0), (10.0, 130.0), (15.0, 20.0), (20.0, 20.0)):
        history.add(Batch(at, points=(Point(*key, total),)))

    assert sum(step.total.calls for step in history.seen().steps) == 150


def test_growth_within_the_running_step_is_seen_at_once(traffic: Any) -> None:
    history = History()
    for _ in range(3):
        traffic.call()
        history.add(traffic.batch(seconds=0.1))

    assert history.seen().steps[-1].total.calls == 3


def test_nothing_known_is_none_and_known_silence_is_zero(traffic: Any) -> None:
    history = History()
    history.add(traffic.batch())
    empty = view_of(history.seen(), traffic.at)
    traffic.call()
    history.add(traffic.batch())
    for _ in range(30):
        history.add(traffic.batch(seconds=STEP_SECONDS))
    silent = view_of(history.seen(), traffic.at)

    assert (empty.request_rate, empty.error_share, empty.output_rate, empty.running) == (None, None, None, None)
    assert (empty.first_token, empty.per_token) == (None, None)
    assert (silent.request_rate, silent.output_rate) == (0.0, 0.0)
    assert (silent.error_share, silent.first_token) == (None, None)


def test_the_live_numbers_are_the_newest_point_of_their_charts(traffic: Any) -> None:
    history = History()
    for number in range(30):
        for _ in range(number):
            traffic.call(outcome=("ok", "error")[number % 2], first_token=0.1 * number)
            traffic.engine()
        history.add(traffic.batch(seconds=3))
    view = view_of(history.seen(), traffic.at)
    newest = view.marks[-1]

    assert newest.index == view.last_index
    assert (newest.request_rate, newest.error_share, newest.output_rate, newest.input_rate) == (
        view.request_rate, view.error_share, view.output_rate, view.input_rate,
    )  # fmt: skip
    assert newest.first_token[view.charted_first_token] == (view.first_token.p50, view.first_token.p95)
    assert (newest.running, newest.waiting) == (view.running, view.waiting)
    assert view.request_rate > max(mark.request_rate or 0.0 for mark in view.marks[:-1])


def test_history_is_bounded(traffic: Any) -> None:
    history = History()
    for _ in range(MARKS + 100):
        traffic.call()
        history.add(traffic.batch(seconds=STEP_SECONDS))

    seen = history.seen()

    assert len(seen.marks) == MARKS
    assert len(seen.steps) == WINDOW_STEPS


def test_a_step_tells_a_bounded_number_of_models_apart_and_loses_no_call(traffic: Any) -> None:
    history = History()
    for number in range(MAX_GROUPS + 50):
        traffic.call(gen_ai__request__model=f"m{number}")
    history.add(traffic.batch())

    [step] = history.seen().steps
    view = view_of(history.seen(), traffic.at)

    assert len(step.models) == MAX_GROUPS + 1
    assert step.models[OTHER].calls == 50
    assert sum(tally.calls for tally in step.models.values()) == MAX_GROUPS + 50
    assert {group.request_rate for group in view.models if group.name not in step.models} == {None}


def test_a_pause_of_the_pipeline_is_a_gap_not_a_zero(traffic: Any) -> None:
    history = History()
    for _ in range(4):
        traffic.call()
        history.add(traffic.batch(seconds=STEP_SECONDS))
    history.add(traffic.batch(seconds=10 * STEP_SECONDS))

    indices = [mark.index for mark in history.seen().marks]

    assert indices == list(range(indices[0], indices[0] + 4))


def test_a_clock_set_back_begins_anew(traffic: Any) -> None:
    history = History()
    for _ in range(20):
        traffic.call()
        history.add(traffic.batch(seconds=STEP_SECONDS))
    traffic.call()
    history.add(traffic.batch(seconds=-3600))

    seen = history.seen()

    assert (seen.marks, len(seen.steps), seen.at) == ((), 1, traffic.at)
    assert seen.steps[0].total.calls == 1


def test_what_is_gone_is_forgotten(traffic: Any) -> None:
    history = History()
    traffic.engine()
    history.add(traffic.batch())
    traffic.forget(engines.RUNNING, {**_engine_labels(), "gen_ai.request.model": "qwen3"})
    history.add(traffic.batch())

    assert view_of(history.seen(), traffic.at).running is None


def test_first_token_is_taken_from_the_most_trusted_place(traffic: Any) -> None:
    for vantages, expected in (
        (("client", "page", "engine"), Origin.ENGINE),
        (("client", "page", "tap"), Origin.TAP),
        (("client", "page"), Origin.PAGE),
        (("client",), Origin.CLIENT),
    ):
        history = History()
        fresh = type(traffic)()
        for vantage in vantages:
            fresh.call(vantage=vantage)
        history.add(fresh.batch())
        latency = view_of(history.seen(), fresh.at).first_token

        assert latency is not None
        assert latency.origin is expected


def test_a_histogram_without_buckets_moves_no_quantile(traffic: Any) -> None:
    history = History()
    for _ in range(20):
        traffic.call(first_token=0.3)
    without = Point(requests.SERVER_FIRST_TOKEN, (("watchkeeper.vantage", "engine"),), HistogramValue((), (1e6,), 1e7))
    history.add(Batch(traffic.at, points=(*traffic.batch().points, without)))

    latency = view_of(history.seen(), traffic.at).first_token
    assert (latency.p50, latency.p95) == (Estimate(0.375), Estimate(0.4875))


def test_a_first_token_that_the_engine_saw_late_moves_no_quantile(traffic: Any) -> None:
    history = History()
    for streamed, seconds in (("true", 0.3), ("false", 9.0)):
        labels = {"watchkeeper.vantage": "page", "gen_ai.request.stream": streamed}
        for _ in range(20):
            traffic.observe(requests.SERVER_FIRST_TOKEN, labels, seconds)
    history.add(traffic.batch())

    assert view_of(history.seen(), traffic.at).first_token.p95 == Estimate(0.4875)


def test_the_gaps_that_the_tap_saw_are_not_mixed_with_its_pace(traffic: Any) -> None:
    history = History()
    labels = {"watchkeeper.vantage": "tap"}
    traffic.observe(requests.SERVER_PER_TOKEN, labels, 0.02)
    for _ in range(20):
        traffic.observe(engines.INTER_TOKEN_LATENCY, labels, 2.0)
    history.add(traffic.batch())

    latency = view_of(history.seen(), traffic.at).per_token
    assert latency.origin is Origin.TAP
    assert latency.p95.value < 0.1


def test_where_only_chunks_were_timed_they_are_shown(traffic: Any) -> None:
    history = History()
    traffic.observe(requests.CLIENT_FIRST_CHUNK, {"gen_ai.request.model": "m"}, 0.3)
    history.add(traffic.batch())

    assert view_of(history.seen(), traffic.at).first_token.origin is Origin.CHUNK


def test_without_reported_calls_the_engines_own_counts_are_shown(traffic: Any) -> None:
    history = History()
    for _ in range(120):
        traffic.engine()
        traffic.add(engines.FINISHED, {**_engine_labels(), "gen_ai.request.model": "qwen3"}, 2)
        history.add(traffic.batch())

    view = view_of(history.seen(), traffic.at)
    [model] = view.models

    assert not view.calls_counted
    assert view.request_rate == pytest.approx(4.0, rel=0.1)
    assert view.output_rate == pytest.approx(1000.0, rel=0.1)
    assert (model.name, model.request_rate) == ("qwen3", pytest.approx(4.0, rel=0.1))


def test_a_scraped_model_beside_a_called_one_does_not_read_zero(traffic: Any) -> None:
    history = History()
    traffic.call()
    traffic.engine(model="scraped")
    history.add(traffic.batch())

    rates = {group.name: group.request_rate for group in view_of(history.seen(), traffic.at).models}

    assert rates["scraped"] is None
    assert rates["qwen3"] > 0


def test_an_engine_that_is_down_shows_no_old_numbers(traffic: Any) -> None:
    history = History()
    traffic.engine()
    history.add(traffic.batch())
    traffic.engine(up=False, fault="unreachable")
    history.add(traffic.batch())

    [engine] = view_of(history.seen(), traffic.at).engines

    assert (engine.up, engine.reason) == (False, "unreachable")
    assert (engine.running, engine.waiting, engine.kv_cache, engine.output_rate) == (None, None, None, None)


def test_errors_are_what_the_service_is_to_blame_for(traffic: Any) -> None:
    history = History()
    for outcome in ("ok", "ok", "ok", "error", "timeout", "rejected", "cancelled", "client_error"):
        traffic.call(outcome=outcome)
    history.add(traffic.batch())

    assert view_of(history.seen(), traffic.at).error_share == pytest.approx(3 / 8)


def test_pages_of_engines_that_are_down_are_failed_reads_and_no_refused_items(traffic: Any) -> None:
    history = History()
    traffic.add(health.REJECTED, {"source": "engines", "signal": "pages", "reason": "unreachable"}, 40)
    traffic.add(health.REJECTED, {"source": "otlp", "signal": "traces", "reason": "full"}, 2)
    history.add(traffic.batch())

    view = view_of(history.seen(), traffic.at)
    engines, otlp = view.sources

    assert view.losses == {Loss(Missed.ITEMS, "otlp", "full"): 2}
    assert (engines.name, engines.failures_by, engines.rejected_by) == ("engines", {"unreachable": 40}, {})
    assert (otlp.name, otlp.failures_by, otlp.rejected_by) == ("otlp", {}, {"full": 2})


def _engine_labels() -> dict[str, str]:
    return {"gen_ai.provider.name": "vllm", "server.address": "10.0.0.1", "server.port": "8000"}
