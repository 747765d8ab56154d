"""How requests meet engines: Little's law by replica, a queue where there are too many, and what devices do then."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from dashboards.estate.conditions import REPLICAS, Conditions, replica_of
from dashboards.estate.series import Clock, Numbers

REQUESTS_A_SECOND: Final = 15.0
INPUT_TOKENS: Final = 700.0
OUTPUT_TOKENS: Final = 260.0
SLOTS: Final = 64.0
"""requests that an engine works on at once"""
CACHE_TOKENS: Final = 52_000.0
QUEUE: Final = 400.0
"""requests that may wait; more are rejected"""
SECONDS_PER_TOKEN: Final = 0.024
PREFILL_SECONDS: Final = 0.18
CLIENT_SECONDS: Final = 60.0
"""after which clients give up"""


@dataclass(frozen=True, slots=True)
class Replica:
    """Rates a second, lengths in tokens, times in seconds."""

    arriving: Numbers
    answered: Numbers
    failed: Numbers
    timed_out: Numbers
    rejected: Numbers
    running: Numbers
    waiting: Numbers
    queue_time: Numbers
    first_token: Numbers
    per_token: Numbers
    cache: Numbers
    preempted: Numbers
    input_length: Numbers
    output_length: Numbers
    present: Numbers
    """0 while the engine is gone"""

    @property
    def duration(self) -> Numbers:
        return self.first_token + self.output_length * self.per_token

    @property
    def busy(self) -> Numbers:
        return self.running / SLOTS


def wander(clock: Clock, random: np.random.Generator, size: float, seconds: float = 900.0) -> Numbers:
    """Around 1, by about `size`, over some `seconds`."""
    width = max(3, int(seconds / clock.step))
    noise = np.convolve(random.normal(size=clock.count + width), np.hanning(width), mode="valid")[: clock.count]
    made: Numbers = 1.0 + size * noise / np.sqrt(np.sum(np.hanning(width) ** 2))
    return made


def traffic(conditions: Conditions, random: np.random.Generator) -> Numbers:
    """Requests a second to the service: waves of three hours, and noise."""
    clock = conditions.clock
    wave = 1 + 0.12 * np.sin(2 * np.pi * (clock.times - clock.start) / 10_800)
    return (
        REQUESTS_A_SECOND * wave * wander(clock, random, 0.05) * wander(clock, random, 0.04, 120) * conditions.traffic
    )


def replicas(conditions: Conditions, random: np.random.Generator) -> list[Replica]:
    arriving = traffic(conditions, random)
    there = [1 - gone for gone in conditions.gone]
    alive = np.maximum(sum(there), 1e-9)
    return [_replica(conditions, random, index, arriving * there[index] / alive) for index in range(REPLICAS)]


def _replica(conditions: Conditions, random: np.random.Generator, index: int, arriving: Numbers) -> Replica:
    clock = conditions.clock
    present, hung = 1 - conditions.gone[index], conditions.hung[index]
    arriving = arriving * wander(clock, random, 0.03, 300)
    input_length = INPUT_TOKENS * conditions.input_length * wander(clock, random, 0.05, 600)
    output_length = OUTPUT_TOKENS * conditions.output_length * wander(clock, random, 0.04, 600)
    slots = np.minimum(SLOTS, CACHE_TOKENS / (input_length + output_length / 2))
    slow = conditions.slow[index] * wander(clock, random, 0.02, 240)
    running, waiting, served = (np.zeros(clock.count) for _ in range(3))
    queued = 0.0
    for at in range(clock.count):
        token = SECONDS_PER_TOKEN * slow[at] * (1 + 0.6 * (running[at - 1] if at else 20.0) / SLOTS)
        seconds = PREFILL_SECONDS * input_length[at] / INPUT_TOKENS + output_length[at] * token
        able = 0.0 if hung[at] else slots[at] / seconds * present[at]
        wanted = arriving[at] + queued / clock.step
        served[at] = min(able, wanted)
        queued = min(QUEUE, max(0.0, queued + (arriving[at] - served[at]) * clock.step)) * present[at]
        waiting[at] = queued
        running[at] = slots[at] * 0.9 if hung[at] else min(slots[at], served[at] * seconds)
    return _outcome(conditions, index, arriving, served, running, waiting, input_length, output_length, slots, slow)


def _outcome(
    conditions: Conditions, index: int, arriving: Numbers, served: Numbers, running: Numbers, waiting: Numbers,
    input_length: Numbers, output_length: Numbers, slots: Numbers, slow: Numbers,
) -> Replica:  # fmt: skip
    clock, hung = conditions.clock, conditions.hung[index]
    queue_time = np.where(served > 0, waiting / np.maximum(served, 0.01), CLIENT_SECONDS * (waiting > 0))
    queue_time = np.minimum(queue_time, CLIENT_SECONDS) + 0.004
    given_up = np.clip((queue_time - CLIENT_SECONDS / 2) / CLIENT_SECONDS, 0, 1) * served
    timed_out = np.where(hung > 0, np.roll(arriving, int(CLIENT_SECONDS / clock.step)), given_up)
    rejected = np.where(waiting >= QUEUE - 1, np.maximum(arriving - served, 0), 0.0) * (hung == 0)
    failed = served * np.clip(0.0008 + conditions.failing[index], 0, 1)
    per_token = SECONDS_PER_TOKEN * slow * (1 + 0.6 * running / SLOTS)
    return Replica(
        arriving=arriving,
        answered=np.maximum(served - failed - given_up, 0),
        failed=failed,
        timed_out=timed_out,
        rejected=rejected,
        running=running,
        waiting=waiting,
        queue_time=queue_time,
        first_token=PREFILL_SECONDS * input_length / INPUT_TOKENS * (1 + 0.5 * running / SLOTS) + queue_time,
        per_token=per_token,
        cache=np.minimum(running * (input_length + output_length / 2) / CACHE_TOKENS, 0.998),
        preempted=np.where(running >= slots - 0.01, 0.02 + 0.15 * np.minimum(waiting / QUEUE, 1), 0.0) * (hung == 0),
        input_length=input_length,
        output_length=output_length,
        present=1 - conditions.gone[index],
    )


@dataclass(frozen=True, slots=True)
class Device:
    """Shares, watts, degrees and hertz of one card."""

    utilization: Numbers
    matrix: Numbers
    bandwidth: Numbers
    memory_used: Numbers
    power: Numbers
    temperature: Numbers
    clock: Numbers


MEMORY_BYTES: Final = 85_899_345_920.0
POWER_LIMIT_WATTS: Final = 700.0
SLOWDOWN_CELSIUS: Final = 87.0
CLOCK_HERTZ: Final = 1.98e9


def device(conditions: Conditions, random: np.random.Generator, index: int, engine: Replica) -> Device:
    clock = conditions.clock
    busy = np.clip(engine.busy * wander(clock, random, 0.03, 180), 0, 1) * engine.present
    busy = np.where(conditions.hung[replica_of(index)] > 0, 0.0, busy)
    held = sum(conditions.held[index].values(), clock.level(0.0))
    speed = 1 - 0.45 * np.clip(held, 0, 1)
    power = np.minimum((95 + 640 * busy) * speed * wander(clock, random, 0.02, 120), POWER_LIMIT_WATTS)
    return Device(
        utilization=np.clip(0.55 + 0.5 * busy, 0, 1) * (busy > 0.01),
        matrix=(0.12 + 0.5 * busy) * (busy > 0.01),
        bandwidth=(0.2 + 0.65 * busy) * (busy > 0.01),
        memory_used=MEMORY_BYTES * 0.91 + conditions.leaked[index],
        power=power,
        temperature=34 + power * 0.048 + conditions.heat[index] + (index % 4) * 1.5,
        clock=CLOCK_HERTZ * speed * (1 - 0.02 * busy),
    )
