"""
An estate that is made up: a service on four engines and eight cards, a second one of a hosted model, for hours, healthy
and busy, and then one fault. Its series carry the names that watchkeeper emits, so that rules and dashboards can be
tried on hours of it within seconds. Same arguments, same numbers.
"""

from typing import Final

import numpy as np

from dashboards.estate import accelerators, judged, own, services
from dashboards.estate.conditions import DEVICES, NODES, REPLICAS, Conditions, healthy, node_of, replica_of
from dashboards.estate.faults import FAULTS, Fault
from dashboards.estate.load import Replica, device, replicas
from dashboards.estate.series import Book, Clock, Numbers, Observer, openmetrics
from watchkeeper.core.vocabulary import signals

__all__ = ["FAULTS", "Book", "Clock", "Fault", "openmetrics", "simulate", "until"]

JOB: Final = "watchkeeper"


def until(end: float, hours: float = 6.0, step: float = 60.0, trouble_hours: float = 1.0) -> Clock:
    """
    The clock of an estate that ends at `end` (unix seconds), with trouble in its last hours.

    :raises ValueError: a time that is no time
    """
    if not (0 < trouble_hours < hours and 1 <= step <= 300):
        raise ValueError("hours must be longer than the hours of trouble, and a step 1 to 300 seconds")
    last = end - end % step
    count = int(hours * 3600 / step) + 1
    return Clock(last - (count - 1) * step, step, count, last - trouble_hours * 3600)


def simulate(clock: Clock, fault: str | Fault = "", seed: int = 7) -> Book:
    """
    All series of the estate.

    :param fault: one, or the name of one in FAULTS; empty: none
    :raises ValueError: there is no such fault
    """
    conditions = healthy(clock)
    if fault:
        (fault if isinstance(fault, Fault) else _named(fault)).begin(conditions)
    random = np.random.default_rng(seed)
    book = Book(clock)
    engines = replicas(conditions, random)
    nodes = [_node_agent(book, index, conditions) for index in range(NODES)]
    watts = [clock.level(0.0) for _ in range(REPLICAS)]
    for index in range(DEVICES):
        it = device(conditions, random, index, engines[replica_of(index)])
        accelerators.card(nodes[node_of(index)], index, it, conditions)
        accelerators.judged(nodes[node_of(index)], index, it, conditions)
        watts[replica_of(index)] = watts[replica_of(index)] + it.power * (conditions.lost[index] == 0)
    for index, engine in enumerate(engines):
        _sidecar(book, index, engine, watts[index], conditions, random)
    _gateway(book, conditions, random)
    return book


def _named(name: str) -> Fault:
    for fault in FAULTS:
        if fault.name == name:
            return fault
    raise ValueError(f"there is no fault {name}; there are {', '.join(fault.name for fault in FAULTS)}")


def _node_name(index: int) -> str:
    return f"gpu-node-{index + 1}"


def _node_agent(book: Book, index: int, conditions: Conditions) -> Observer:
    target = {"job": JOB, "instance": f"10.0.0.{index + 1}:9464", "node": _node_name(index)}
    observer = Observer(book, target, conditions.agent_away[index])
    accelerators.node(observer, index, conditions)
    own.process(observer, "node", 640, 0.004, 46)
    own.source(observer, "accelerators", "device", book.clock.level(4.0), 0.006)
    own.exporters(observer, "prometheus", "findings_log")
    if index == 0:
        _findings(observer, conditions)
    return observer


def _sidecar(
    book: Book, index: int, engine: Replica, watts: Numbers, conditions: Conditions, random: np.random.Generator
) -> None:
    pod = f"chat-{index}"
    node = _node_name(node_of(index * DEVICES // REPLICAS))
    observer = Observer(book, {"job": JOB, "instance": f"10.0.1.{index + 10}:9464", "node": node})
    services.engine(observer, pod, engine, conditions)
    services.calls(observer, pod, engine, conditions)
    services.spent(observer, pod, engine, watts, DEVICES // REPLICAS)
    judged.answers(observer, services.CHAT, engine, conditions)
    judged.streams(observer, services.CHAT, engine.answered, conditions, random)
    rate = engine.arriving * (1 - conditions.link_silent)
    own.process(observer, "sidecar", 1150, 0.011 + 0.0004 * index, 88 + index)
    own.source(observer, "otlp", "traces", rate, 0.004)
    own.source(observer, "engines", "pages", book.clock.level(1 / 5), 0.011)
    own.queue(observer, rate)
    own.exporters(observer, "prometheus")
    _judged_service(observer, pod, engine, conditions)


def _judged_service(observer: Observer, pod: str, engine: Replica, conditions: Conditions) -> None:
    """What the signals of services and of their data links say."""
    step = conditions.clock.step
    hung = conditions.hung[int(pod.rpartition("-")[2])]
    labels = {**services.CHAT, "k8s_pod_name": pod}
    accelerators.signal(observer, "stuck", accelerators.lagged(hung, step, 60) * 2, **labels)
    bad = (engine.failed + engine.timed_out + engine.rejected) / np.maximum(engine.arriving, 0.01)
    over = accelerators.lagged(np.clip(bad / 0.05, 0, 4), step, 240)
    accelerators.signal(observer, "share_over", over, objective="availability", **services.CHAT)
    queued = accelerators.lagged(np.clip(engine.waiting / 60, 0.1, 3), step, 900)
    accelerators.signal(observer, "tail", queued, series="requests waiting", **labels)
    silent = accelerators.lagged(conditions.link_silent, step, 240) * 2
    accelerators.signal(observer, "arrival", 0.05 + silent, link="otlp", **services.CHAT)
    for name in ("completeness", "lateness", "duplicates"):
        accelerators.signal(observer, name, conditions.clock.level(0.15), link="otlp", **services.CHAT)


def _gateway(book: Book, conditions: Conditions, random: np.random.Generator) -> None:
    observer = Observer(book, {"job": JOB, "instance": "10.0.2.7:9464", "node": _node_name(0)})
    services.hosted(observer, conditions, random)
    rate = book.clock.level(2.5) * (1 - conditions.link_silent)
    own.process(observer, "gateway", 420, 0.006, 74)
    own.source(observer, "otlp", "traces", rate, 0.002)
    own.queue(observer, rate)
    own.exporters(observer, "prometheus", "store")
    own.kept(observer, conditions)


def _findings(observer: Observer, conditions: Conditions) -> None:
    """One finding, some minutes after trouble began; whose it is the fault's series say."""
    clock = conditions.clock
    before = (clock.times >= clock.start + 0.35 * (clock.onset - clock.start)) + 0.0
    observer.level(signals.FINDINGS, before, signal="throttling", severity="warning")
    happened = any(np.any(one) for one in conditions.lost) or bool(conditions.reported)
    observer.level(signals.FINDINGS, clock.since(30.0) * happened, signal="fault", severity="critical")
    raised = sum((np.abs(moved) for moved in conditions.drift.values()), clock.level(0.0))
    counted = np.maximum.accumulate((raised > 1) + 0.0)
    observer.level(signals.FINDINGS, counted, signal="drift", severity="warning")
