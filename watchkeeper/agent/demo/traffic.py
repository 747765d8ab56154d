"""
A real client: the official `openai` package under OpenTelemetry's instrumentation for it, calling a real engine.

Runs as its own process. Everything about telemetry comes from the environment (OTEL_EXPORTER_OTLP_ENDPOINT, ...), as
in any application. SIGTERM stops new calls, gives those under way 20 s, and prints a `Made`.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from watchkeeper.agent.demo.faults import Habit, Scenario

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CALLS_A_SECOND: Final = 0.5
BURSTS_A_SECOND: Final = 0.06
BURST_CALLS: Final = (4, 8)
FAULT_SHARE: Final = 0.08
CALLS_UNDER_WAY: Final = 16
"""at most; arrivals past it are left out, so that a slow machine is not buried"""
PATIENCE_SECONDS: Final = 60.0
IMPATIENCE_SECONDS: Final = 0.02
FINISH_SECONDS: Final = 20.0
STEADY_TRIALS: Final = (4, 3)
"""callers at once, and rounds, from which is taken what the engine can do"""

QUESTIONS: Final = (
    "Why is the sky blue?",
    "Name three uses of a paper clip.",
    "Explain to a child what a computer does.",
    "What should I check before a long walk in the mountains?",
    "Write two sentences about the sea at night.",
    "How do bees find flowers?",
    "Give me a short recipe for a tomato soup.",
    "What is the difference between weather and climate?",
    "Suggest a name for a small grey cat and say why.",
    "How does a lighthouse help a ship?",
    "List five words that rhyme with light.",
    "What does an officer of the watch do?",
)
BACKGROUND: Final = (
    "A harbour keeps a log of every ship that comes in: its name, its flag, its cargo, the hour, the state of the sea. "
)


class Fault(StrEnum):
    """What goes wrong on purpose, so that errors show."""

    TOO_LONG = "too_long"
    """a prompt past the model's context: the engine answers 400"""
    IMPATIENT = "impatient"
    """a caller that hangs up after 20 ms"""


class Call(msgspec.Struct, frozen=True):
    """One call to make, `at_seconds` after the start. `background_sentences` lengthen the prompt."""

    at_seconds: float
    question: str
    background_sentences: int
    max_tokens: int
    streamed: bool
    fault: Fault | None = None
    system: str = ""
    temperature: float | None = None
    """None: the engine's default"""
    repeat_penalty: float = 1.0
    stop: tuple[str, ...] = ()


class Made(msgspec.Struct, frozen=True):
    """What a client did: `seconds` from before its first call until its last one had ended."""

    calls: int
    seconds: float


def last_words(output: str) -> Made | None:
    """What a client wrote at its end, None when it was cut off before."""
    for line in reversed(output.splitlines()):
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(line, type=Made)
    return None


def plan(chance: random.Random) -> Iterator[Call]:
    """
    Endless calls, in order of time. First one of each kind, so that a short demo shows them all; then single calls at
    random moments (Poisson) with bursts in between that fill the engine's queue.
    """
    for fault, streamed in ((None, True), (None, False), (Fault.TOO_LONG, False), (Fault.IMPATIENT, False)):
        yield _call(chance, 0.0, streamed, fault)
    now = 0.0
    while True:
        now += chance.expovariate(CALLS_A_SECOND + BURSTS_A_SECOND)
        burst = chance.random() < BURSTS_A_SECOND / (CALLS_A_SECOND + BURSTS_A_SECOND)
        for _ in range(chance.randint(*BURST_CALLS) if burst else 1):
            fault = chance.choice(tuple(Fault)) if chance.random() < FAULT_SHARE else None
            yield _call(chance, now, chance.random() < 0.6, fault)


def steady(chance: random.Random, habit: Callable[[], Habit], calls_a_second: float) -> Iterator[Call]:
    """Endless calls at nearly even intervals, each as the habit of that moment has it."""
    now = 0.0
    while True:
        yield one_of(chance, habit(), now)
        now += chance.uniform(0.5, 1.5) / calls_a_second


def one_of(chance: random.Random, habit: Habit, at_seconds: float) -> Call:
    return Call(
        at_seconds,
        chance.choice(habit.questions),
        chance.choice(habit.background_sentences),
        habit.max_tokens,
        streamed=True,
        system=habit.system,
        temperature=habit.temperature,
        repeat_penalty=habit.repeat_penalty,
        stop=habit.stop,
    )


def _call(chance: random.Random, at_seconds: float, streamed: bool, fault: Fault | None) -> Call:
    sentences = 80 if fault is Fault.TOO_LONG else chance.choice((0, 0, 1, 3, 8))
    return Call(at_seconds, chance.choice(QUESTIONS), sentences, chance.choice((16, 32, 48, 96)), streamed, fault)


async def drive(client: "AsyncOpenAI", model: str, calls: Iterator[Call], stop: asyncio.Event) -> Made:
    """Make the calls at their time until `stop`; then wait a little for those under way."""
    clock = asyncio.get_running_loop().time
    start = clock()
    made = 0
    under_way: set[asyncio.Task[None]] = set()
    for call in calls:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(start + call.at_seconds - clock(), 0.001))
        if stop.is_set():
            break
        if len(under_way) < CALLS_UNDER_WAY:
            made += 1
            task = asyncio.create_task(_make(client, model, call))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
    if under_way:
        _, late = await asyncio.wait(under_way, timeout=FINISH_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    return Made(made, clock() - start)


async def _make(client: "AsyncOpenAI", model: str, call: Call) -> None:
    from openai import OpenAIError

    patient = client.with_options(
        timeout=IMPATIENCE_SECONDS if call.fault is Fault.IMPATIENT else PATIENCE_SECONDS, max_retries=0
    )
    arguments = arguments_of(model, call)
    with contextlib.suppress(OpenAIError):  # what failed is watchkeeper's to tell
        if call.streamed:
            async for _ in await patient.chat.completions.create(**arguments):
                pass
        else:
            await patient.chat.completions.create(**arguments)


def arguments_of(model: str, call: Call) -> dict[str, Any]:
    """What the client's `create` is given."""
    question = {"role": "user", "content": BACKGROUND * call.background_sentences + call.question}
    arguments: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "system", "content": call.system}, question] if call.system else [question],
        "max_tokens": call.max_tokens,
    }
    if call.streamed:
        arguments |= {"stream": True, "stream_options": {"include_usage": True}}
    if call.temperature is not None:
        arguments["temperature"] = call.temperature
    if call.stop:
        arguments["stop"] = list(call.stop)
    if call.repeat_penalty != 1:
        arguments["extra_body"] = {"repeat_penalty": call.repeat_penalty}
    return arguments


async def measured(client: "AsyncOpenAI", model: str, habit: Habit, chance: random.Random) -> float:
    """Calls a second that the engine can do of this kind."""
    callers, rounds = STEADY_TRIALS
    started = time.monotonic()

    async def calls() -> None:
        for _ in range(rounds):
            await _make(client, model, one_of(chance, habit, 0.0))

    await asyncio.gather(*(calls() for _ in range(callers)))
    return callers * rounds / (time.monotonic() - started)


async def _run(url: str, model: str, seed: int, scenario: Scenario | None, report: Callable[[], None]) -> Made:
    """:param report: called once, before the first call that is to be reported"""
    from openai import AsyncOpenAI

    loop, stop, begun = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, begun.set)
    chance = random.Random(seed)  # noqa: S311 - not a secret
    calls = plan(chance)
    if scenario is not None:
        usual, wrong = scenario.usual, scenario.wrong
        async with AsyncOpenAI(base_url=url, api_key="none needed", max_retries=0) as client:
            pace = min(scenario.most_calls_a_second, scenario.load * await measured(client, model, usual, chance))
        print(f"{pace:.2f} calls a second", flush=True)
        calls = steady(chance, lambda: wrong if begun.is_set() else usual, pace)
    report()
    async with AsyncOpenAI(base_url=url, api_key="none needed", max_retries=0) as client:
        return await drive(client, model, calls, stop)


def main() -> None:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    parser = argparse.ArgumentParser(description="calls an OpenAI endpoint at uneven intervals")
    parser.add_argument("--url", required=True, help="base URL, ends in /v1")
    parser.add_argument("--model", required=True)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--scenario", type=Path, help="file with a scenario in JSON; begins at SIGUSR1")
    arguments = parser.parse_args()

    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    meters = MeterProvider(metric_readers=[PeriodicExportingMetricReader(OTLPMetricExporter())])
    scenario = arguments.scenario and msgspec.json.decode(arguments.scenario.read_bytes(), type=Scenario)

    def report() -> None:
        OpenAIInstrumentor().instrument(tracer_provider=tracers, meter_provider=meters)

    made = asyncio.run(_run(arguments.url, arguments.model, arguments.seed, scenario, report))
    tracers.shutdown()
    meters.shutdown()
    print(msgspec.json.encode(made).decode(), flush=True)


if __name__ == "__main__":
    main()
