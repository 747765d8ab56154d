"""Series of the services: what sidecars and a gateway tell of requests, engines and money."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from dashboards.estate.conditions import Conditions
from dashboards.estate.load import Replica, wander
from dashboards.estate.series import Numbers, Observer
from watchkeeper.core.metric import Metric
from watchkeeper.core.vocabulary import cost, efficiency, engines, links, requests

NAMESPACE: Final = "ml"
CHAT: Final = {"k8s_namespace_name": NAMESPACE, "service_name": "chat", "gen_ai_request_model": "qwen3-32b"}
HOSTED: Final = {"k8s_namespace_name": "apps", "service_name": "summary", "gen_ai_request_model": "gpt-5-mini"}
VERSIONS: Final = ("qwen3-32b-0612", "qwen3-32b-1120")
TENANTS: Final = (("web", 0.6), ("mobile", 0.3), ("batch", 0.1))
CURRENCY: Final = "USD"
PRICES: Final = {"input": 0.4e-6, "output": 1.6e-6}
DEVICE_PRICE_AN_HOUR: Final = 2.8
OPERATION: Final = {"gen_ai_operation_name": "chat"}
FINISHED: Final = (("stop", 0.955), ("length", 0.02), ("tool_call", 0.025))


def engine(observer: Observer, pod: str, it: Replica, conditions: Conditions) -> None:
    """What a sidecar reads on its engine's page."""
    random = np.random.default_rng(int(pod.rpartition("-")[2]))
    labels = {**CHAT, "k8s_pod_name": pod, "gen_ai_provider_name": "vllm", "server_address": "127.0.0.1",
              "server_port": "8000"}  # fmt: skip
    there = np.where(it.present > 0, 1.0, np.nan)
    observer.gauge(engines.ENGINE_UP, it.present, **labels)
    for metric, values in (
        (engines.RUNNING, it.running), (engines.WAITING, it.waiting), (engines.KV_CACHE, it.cache),
        (engines.KV_CACHE_MAX, it.cache),
    ):  # fmt: skip
        observer.gauge(metric, values * there, **labels)
    observer.gauge(engines.SCRAPE_DURATION, it.present * 0.012, **labels)
    observer.counter(engines.RESETS, 0.0, **labels)
    hung = conditions.hung[int(pod.rpartition("-")[2])]
    work = it.answered * (hung == 0)
    observer.counter(engines.TOKENS, work * it.input_length, gen_ai_token_type="input", **labels)
    observer.counter(engines.TOKENS, work * it.output_length, gen_ai_token_type="output", **labels)
    observer.counter(engines.PREEMPTIONS, it.preempted, **labels)
    blocks = it.input_length / 16
    cache = {"cache_unit": "block", "cache_location": "device"}
    observer.counter(engines.PREFIX_QUERIES, work * blocks, **labels, **cache)
    observer.counter(
        engines.PREFIX_HITS, work * blocks * 0.42 * wander(conditions.clock, random, 0.06), **labels, **cache
    )
    cut = conditions.flagged.get("truncation", conditions.clock.level(0.02))
    for reason, share in FINISHED:
        part = cut if reason == "length" else share * (1 - cut) / 0.98
        observer.counter(engines.FINISHED, work * part, gen_ai_response_finish_reason=reason, **labels)
    observer.histogram(engines.QUEUE_TIME, work, it.queue_time, 0.8, **labels)
    seen = {**labels, **OPERATION, "watchkeeper_vantage": "page"}
    observer.histogram(requests.SERVER_FIRST_TOKEN, work, it.first_token, 0.45, **seen)
    observer.histogram(requests.SERVER_PER_TOKEN, work, it.per_token, 0.3, **seen)
    observer.histogram(requests.SERVER_DURATION, work, it.duration, 0.7, **seen)
    for kind, length, spread in (("input", it.input_length, 1.1), ("output", it.output_length, 0.9)):
        observer.histogram(requests.CLIENT_TOKEN_USAGE, work, length, spread, gen_ai_token_type=kind, **seen)


def calls(observer: Observer, pod: str, it: Replica, conditions: Conditions) -> None:
    """What a sidecar counts of the calls that the application tells it of."""
    told = 1 - conditions.link_silent
    outcomes = {
        "ok": it.answered, "error": it.failed, "timeout": it.timed_out, "rejected": it.rejected,
        "cancelled": it.answered * 0.012, "client_error": it.answered * 0.004,
    }  # fmt: skip
    for tenant, share in TENANTS:
        for index, version in enumerate(VERSIONS):
            part = conditions.new_version if index else 1 - conditions.new_version
            seen = np.where((np.cumsum(part) > 0) if index else True, 1.0, np.nan)
            labels = {**_call(CHAT, "vllm", version), "k8s_pod_name": pod, "tenant": tenant}
            for outcome, rate in outcomes.items():
                _counted(observer, requests.REQUESTS, rate * share * part * told, seen, outcome=outcome, **labels)
            for kind, length in (("input", it.input_length), ("output", it.output_length)):
                rate = it.answered * length * share * part * told
                _counted(observer, requests.TOKENS, rate, seen, gen_ai_token_type=kind, **labels)
                _counted(observer, cost.COST, rate * PRICES[kind], seen, gen_ai_token_type=kind, currency=CURRENCY,
                         **labels)  # fmt: skip
    for reason, share in FINISHED:
        labels = {**_call(CHAT, "vllm", VERSIONS[0]), "k8s_pod_name": pod, "tenant": "web"}
        rate = it.answered * told * share
        observer.counter(requests.FINISH_REASONS, rate, gen_ai_response_finish_reason=reason, **labels)
    _link(observer, CHAT, it.answered * told)


def hosted(observer: Observer, conditions: Conditions, random: np.random.Generator) -> None:
    """A second service, of a provider's model: seen from its callers alone."""
    told = 1 - conditions.link_silent
    rate = 2.5 * wander(conditions.clock, random, 0.1)
    labels = {**_call(HOSTED, "openai", "gpt-5-mini-2026-08-07"), "server_address": "api.openai.com",
              "server_port": "443", "tenant": "web"}  # fmt: skip
    for outcome, share in (("ok", 0.995), ("error", 0.001), ("rejected", 0.0005), ("cancelled", 0.0035)):
        observer.counter(requests.REQUESTS, rate * share * told, outcome=outcome, **labels)
    for kind, length in (("input", 1800.0), ("output", 180.0)):
        observer.counter(requests.TOKENS, rate * length * told, gen_ai_token_type=kind, **labels)
        observer.counter(cost.COST, rate * length * told * PRICES[kind], gen_ai_token_type=kind, currency=CURRENCY,
                         **labels)  # fmt: skip
        observer.counter(cost.UNPRICED, 0.0, gen_ai_token_type=kind, **labels)
        observer.histogram(requests.CLIENT_TOKEN_USAGE, rate * told, length, 0.8, gen_ai_token_type=kind,
                           watchkeeper_vantage="client", **labels)  # fmt: skip
    seen = {**labels, "watchkeeper_vantage": "client"}
    observer.histogram(requests.SERVER_FIRST_TOKEN, rate * told, 0.55 * wander(conditions.clock, random, 0.05), 0.4,
                       **seen)  # fmt: skip
    observer.histogram(requests.SERVER_PER_TOKEN, rate * told, 0.012, 0.4, **seen)
    observer.histogram(requests.SERVER_DURATION, rate * told, 2.9, 0.5, **seen)
    _link(observer, HOSTED, rate * told)


def spent(observer: Observer, pod: str, it: Replica, watts: Numbers, devices: int) -> None:
    """What the devices of a pod take for its tokens."""
    place = {"k8s_namespace_name": NAMESPACE, "k8s_pod_name": pod}
    tokens = it.answered * it.output_length
    observer.gauge(efficiency.ENERGY_PER_TOKEN, np.where(tokens > 1, watts / np.maximum(tokens, 1), np.nan), **place)
    observer.gauge(efficiency.DEVICE_TIME_PER_TOKEN, np.where(tokens > 1, devices / np.maximum(tokens, 1), np.nan),
                   **place)  # fmt: skip
    rate = DEVICE_PRICE_AN_HOUR * devices / 3600
    observer.counter(efficiency.DEVICE_COST, rate, hw_vendor="nvidia", hw_model="NVIDIA H100 80GB HBM3",
                     currency=CURRENCY, **place)  # fmt: skip
    observer.gauge(efficiency.DEVICE_COST_PER_TOKEN, np.where(tokens > 1, rate / np.maximum(tokens, 1), np.nan),
                   currency=CURRENCY, **place)  # fmt: skip


def _call(service: Mapping[str, str], provider: str, version: str) -> dict[str, str]:
    return {**service, **OPERATION, "gen_ai_provider_name": provider, "gen_ai_response_model": version}


def _counted(observer: Observer, metric: Metric, rate: Numbers, seen: Numbers, /, **labels: str) -> None:
    """A counter that does not exist before the first of its kind."""
    if np.isfinite(seen).any():
        observer.counted_while(metric, rate, seen, **labels)


def _link(observer: Observer, service: Mapping[str, str], rate: Numbers) -> None:
    place = {key: value for key, value in service.items() if key != "gen_ai_request_model"}
    observer.histogram(links.DELAY, rate, 1.4, 0.6, source="otlp", **place)
    observer.counter(links.CALLS, rate, source="otlp", **service)
    for part, share in (("input_tokens", 1.0), ("output_tokens", 0.998), ("finish_reason", 0.997), ("text", 0.99)):
        observer.counter(links.HAVING, rate * share, source="otlp", part=part, **service)
    observer.counter(links.REPEATED, rate * 0.001, source="otlp", **place)
    observer.counter(links.AHEAD, 0.0, source="otlp", **place)
    observer.gauge(links.SCHEMA, 1.0, source="otlp", scope_name="opentelemetry.instrumentation.genai",
                   scope_version="1.3b0", **place)  # fmt: skip
