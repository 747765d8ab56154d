"""A small estate, told second by second: a service, the engine behind it in a pod, the pod's two devices."""

import random

import pytest

from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.explain import Explainer
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Batch, Completion, Distribution, Finding, Sample, Severity
from watchkeeper.core.vocabulary import devices, engines, outputs, requests, signals

START = 1_700_000_000.0
SERVICE = {"k8s.namespace.name": "shop", "service.name": "chat", "gen_ai.request.model": "qwen"}
ENGINE = {
    "k8s.namespace.name": "ml", "k8s.pod.name": "llama-0", "service.name": "vllm", "gen_ai.request.model": "qwen",
    "server.address": "llama-0",
}  # fmt: skip
USUAL = {
    "throttle": 0.0, "clock": 1980e6, "celsius": 62.0, "watts": 600.0, "busy": 0.9, "kv": 0.4, "preempted": 0,
    "waiting": 1.0, "hit": 0.6, "first": 0.4, "pace": 0.02, "rate": 4.0, "prompt": 310.0, "output": 200.0,
    "prefill": 0.3, "reasoning": 0.2, "slow": 0.2, "ecc": 0, "link": 0, "refusal": 0.02, "truncation": 0.01,
    "surprise": 0.5, "english": 0.9, "acme": 0.5,
}  # fmt: skip
"""what a tick tells when all is well, per device, engine or request"""


class Estate:
    """`tick` tells ten seconds; `leave_out` names quantities that nobody tells."""

    def __init__(self, seed: int = 1, leave_out: tuple[str, ...] = ()) -> None:
        self.at = START
        self.rng = random.Random(seed)
        self.leave_out = leave_out
        self.ledger = Ledger()
        self.aggregate = Aggregate(self.ledger, max_series=10_000, max_values_per_label=1_000)
        self.explainer = Explainer(self.ledger)

    def say(self, metric: Metric, value: float | Distribution, own: dict[str, str], **extra: str) -> None:
        every = own | {name.replace("__", "."): text for name, text in extra.items()}
        labels = tuple((name, every[name]) for name in metric.labels if name in every)
        self.aggregate.apply(Sample(metric, value, self.at, labels))

    def run(self, minutes: float, **changed: float) -> None:
        for _ in range(round(minutes * 6)):
            self.tick(**changed)

    def tick(self, **changed: float) -> None:
        self.at += 10.0
        told = {name: changed.get(name, usual) for name, usual in USUAL.items()}
        self._devices(told)
        self._engine(told)
        self._service(told)
        self.hand_over()

    def hand_over(self) -> None:
        points, gone = self.aggregate.changed()
        self.explainer.update(Batch(self.at, points, gone))

    def explain(self, since: float, labels: dict[str, str] = SERVICE, **more: object) -> Finding:
        finding = Finding(
            at=self.at, since=since, severity=Severity.WARNING, subject="s", summary="w", name="first_token",
            labels=tuple(labels.items()), **more,
        )  # fmt: skip
        return self.explainer.explain(finding)

    def _has(self, name: str) -> bool:
        return name not in self.leave_out

    def _about(self, value: float, share: float = 0.05) -> float:
        return value * self.rng.gauss(1.0, share)

    def _devices(self, told: dict[str, float]) -> None:
        for index in range(2):
            own = {"hw.id": f"GPU-{index}", "k8s.namespace.name": "ml", "k8s.pod.name": "llama-0"}
            if self._has("throttle"):
                self.say(devices.THROTTLE_TIME, 10 * told["throttle"], own, reason="hw_thermal_slowdown")
                self.say(devices.THROTTLE_TIME, 10.0, own, reason="gpu_idle")
            self.say(devices.CLOCK, self._about(told["clock"], 0.005), own, clock="core")
            self.say(devices.CLOCK, 2600e6, own, clock="memory")
            self.say(devices.TEMPERATURE, self._about(told["celsius"], 0.01), own, hw__sensor_location="chip")
            self.say(devices.POWER, self._about(told["watts"]), own)
            self.say(devices.UTILIZATION, min(1.0, self._about(told["busy"])), own, hw__gpu__task="general")
            if self._has("errors"):
                self.say(devices.ERRORS, told["ecc"], own, hw__type="memory", error__type="corrected")
                self.say(devices.LINK_ERRORS, told["link"], own, link="nvlink", error__type="crc")
            if self._has("straggler"):
                score = self._about(told["slow"] if index else 0.2)
                self.say(signals.SCORE, score, {"hw.id": own["hw.id"]}, signal="straggler")

    def _engine(self, told: dict[str, float]) -> None:
        count = self._count(told["rate"])
        if self._has("kv"):
            self.say(engines.KV_CACHE_MAX, min(1.0, self._about(told["kv"])), ENGINE)
        self.say(engines.PREEMPTIONS, told["preempted"], ENGINE)
        self.say(engines.WAITING, round(self._about(told["waiting"], 0.3)), ENGINE)
        tokens = count * told["prompt"]
        if self._has("hit"):
            self.say(engines.PREFIX_QUERIES, tokens, ENGINE, cache__unit="token")
            self.say(engines.PREFIX_HITS, tokens * min(1.0, self._about(told["hit"])), ENGINE, cache__unit="token")
        self.say(engines.TOKENS, count * self._about(told["output"]), ENGINE, gen_ai__token__type="output")
        self._observe(engines.PREFILL_TIME, told["prefill"], count, ENGINE)
        self._observe(requests.SERVER_FIRST_TOKEN, told["first"] * 0.9, count, ENGINE, watchkeeper__vantage="page")

    def _service(self, told: dict[str, float]) -> None:
        count, client = self._count(told["rate"]), {"watchkeeper__vantage": "client"}
        acme = round(count * min(1.0, self._about(told["acme"])))
        for tenant, some in (("acme", acme), ("zoo", count - acme)):
            self.say(requests.REQUESTS, some, SERVICE, tenant=tenant, outcome="ok", gen_ai__response__model="qwen-1")
        self._observe(requests.SERVER_FIRST_TOKEN, told["first"], count, SERVICE, **client)
        self._observe(requests.SERVER_PER_TOKEN, told["pace"], count, SERVICE, **client)
        seconds = told["first"] + told["output"] * told["pace"]
        self._observe(requests.SERVER_DURATION, seconds, count, SERVICE, **client)
        for kind in ("prompt", "output"):
            token_type = "input" if kind == "prompt" else "output"
            self._observe(
                requests.CLIENT_TOKEN_USAGE, told[kind], count, SERVICE, **client, gen_ai__token__type=token_type
            )
        if self._has("checks"):
            self._observe(outputs.REASONING_SHARE, told["reasoning"], count, SERVICE)
            self._observe(outputs.SURPRISE, told["surprise"], count, SERVICE)
            for check in ("refusal", "truncation"):
                self.say(outputs.CHECKED, count, SERVICE, check=check)
                flagged = sum(self.rng.random() < told[check] for _ in range(count))
                if flagged:
                    self.say(outputs.FLAGGED, flagged, SERVICE, check=check)
            english = sum(self.rng.random() < told["english"] for _ in range(count))
            self.say(outputs.LANGUAGE, english, SERVICE, language="en")
            self.say(outputs.LANGUAGE, count - english, SERVICE, language="zh")

    def _count(self, rate: float) -> int:
        return max(1, round(self._about(10 * rate, 0.15)))

    def _observe(self, metric: Metric, mean: float, count: int, own: dict[str, str], **extra: str) -> None:
        """So many observations whose spread is a third of their mean."""
        total = count * mean * self.rng.gauss(1.0, 0.3 / count**0.5)
        counts = (float(count), *[0.0] * len(metric.buckets))
        self.say(metric, Distribution(metric.buckets, counts, total), own, **extra)

    def serve(self, version: str) -> None:
        call = Completion(
            at=self.at, namespace="shop", service="chat", request_model="qwen", service_version=version
        )  # fmt: skip
        self.explainer.see_all([call], self.at)


@pytest.fixture(scope="session")
def estate() -> type[Estate]:
    return Estate
