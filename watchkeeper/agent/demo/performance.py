"""The demo from the first process to the closing table."""

import contextlib
import ctypes
import math
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Event
from typing import Final

import msgspec

from watchkeeper.agent.demo import engine, summary
from watchkeeper.agent.demo.children import Child, DemoFailed, fetch, port_near
from watchkeeper.agent.demo.promised import Page, missing
from watchkeeper.agent.demo.traffic import Made, last_words
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.vocabulary import health

OTLP_GRPC_PORT: Final = 4317
OTLP_HTTP_PORT: Final = 4318
ENGINE_PORT: Final = 8080
START_SECONDS: Final = 60.0
END_SECONDS: Final = 30.0
SETTLE_SECONDS: Final = 10.0
MAX_THREADS: Final = 8
STOPPED_EARLY: Final = 130
"""exit code of what Ctrl-C ended before there was anything to sum up"""
ENGINE_LIBRARY: Final = "libgomp.so.1"
_PACKAGES: Final = ("xllamacpp", "openai", "opentelemetry-instrumentation-genai-openai")


class Ports(msgspec.Struct, frozen=True):
    web: int
    otlp_http: int
    otlp_grpc: int
    engine: int


def perform(seconds: float | None, web_port: int) -> int:
    """See `run_demo`."""
    wanted = _seconds(seconds, os.environ)
    _check_packages()
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    ports = _ports(web_port)
    folder = Path(tempfile.mkdtemp(prefix="watchkeeper-demo-"))
    kept = False
    try:
        return _perform(wanted, ports, folder, stop)
    except DemoFailed as failure:
        print(f"demo: {failure}", flush=True)
        kept = True  # the message names a log in it
        return 1
    finally:
        if not kept:
            shutil.rmtree(folder)


def _perform(seconds: float | None, ports: Ports, folder: Path, stop: Event) -> int:
    print(f"[1/3] engine: llama.cpp with {engine.MODEL} ...", flush=True)
    with contextlib.ExitStack() as running:
        server = Child("engine", _engine_command(ports), folder, {**os.environ, "OMP_WAIT_POLICY": "passive"})
        running.callback(server.end, END_SECONDS)
        server.wait_for(lambda: fetch(f"http://127.0.0.1:{ports.engine}/health") is not None, START_SECONDS, stop)
        if stop.is_set():
            return STOPPED_EARLY

        config = folder / "watchkeeper.yaml"
        config.write_text(_config(ports), encoding="utf-8")
        print("[2/3] watchkeeper run, with this configuration:", flush=True)
        print("".join(f"        {line}\n" for line in _config(ports).splitlines()), end="", flush=True)
        agent = Child("watchkeeper", ["watchkeeper", "run", "--config", str(config)], folder, os.environ)
        running.callback(agent.end, END_SECONDS)
        page = f"http://127.0.0.1:{ports.web}"
        agent.wait_for(lambda: fetch(f"{page}/readyz") is not None, START_SECONDS, stop)
        if stop.is_set():
            return STOPPED_EARLY

        print("[3/3] traffic: the openai client, streamed and not, in bursts, some calls wrong", flush=True)
        traffic = Child("traffic", _traffic_command(ports), folder, _traffic_environment(ports, os.environ))
        running.callback(traffic.end, END_SECONDS)
        print(f"\nPage:    {page}/\nMetrics: {page}/metrics", flush=True)
        print(f"{_how_long(seconds)}\n", flush=True)
        started = time.monotonic()
        _watch(page, (server, agent, traffic), seconds, stop)

        print("\nStopping: letting the last calls finish ...", flush=True)
        made = last_words(traffic.end(END_SECONDS))
        elapsed = made.seconds if made else time.monotonic() - started
        last = _settled(page, agent)
    return _close(last, elapsed, made)


def _watch(page: str, children: tuple[Child, ...], seconds: float | None, stop: Event) -> None:
    """A line after every pause, until the time is over or `stop` is set."""
    print(summary.PROGRESS_HEAD, flush=True)
    started = time.monotonic()
    elapsed = 0.0
    while seconds is None or elapsed < seconds:
        if stop.wait(pause_seconds(elapsed, seconds)):
            return
        elapsed = time.monotonic() - started
        for child in children:
            child.check()
        text = fetch(f"{page}/metrics")
        if text is not None:
            print(summary.progress(Page(text), elapsed), flush=True)


def pause_seconds(elapsed: float, seconds: float | None) -> float:
    """To the next line: 5 s, after the first minute 15 s, and never past the end."""
    pause = 5.0 if elapsed < 59 else 15.0
    return pause if seconds is None else min(pause, seconds - elapsed)


def _settled(page: str, agent: Child) -> Page:
    """The page once nothing is held any longer: all that was acknowledged is measured."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        time.sleep(1.5)  # two ticks and a scrape of the engine
        text = fetch(f"{page}/metrics")
        if text is None:
            agent.check()
            raise agent.failure("does not answer on /metrics")
        last = Page(text)
        if not last.total(health.QUEUE_LENGTH) or time.monotonic() > deadline:
            return last


def _close(page: Page, elapsed_seconds: float, made: Made | None) -> int:
    print(f"\nFrom watchkeeper's own /metrics after {elapsed_seconds:.0f} s, the last calls included:\n")
    print(summary.table(page, elapsed_seconds))
    counted = summary.calls(page)
    if made is not None:
        print(f"\nThe client made {made.calls} calls; watchkeeper counted {counted}.")
    print(summary.promise(page), flush=True)
    return 1 if missing(page) or (made and made.calls != counted) else 0


def _seconds(given: float | None, environment: Mapping[str, str]) -> float | None:
    """None: until Ctrl-C."""
    text = environment.get("DEMO_SECONDS", "")
    if given is None and not text:
        return None
    name, text = ("DEMO_SECONDS", text) if given is None else ("--seconds", f"{given:g}")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ConfigError(f"{name}: expected a number of seconds above 0, got '{text}'; without it, Ctrl-C stops")
    return seconds


def _check_packages() -> None:
    try:
        for name in _PACKAGES:
            version(name)
    except PackageNotFoundError as error:
        raise ConfigError(f"demo: {error.name} is not installed; run `make demo`, which installs it") from error
    engine.weights()
    if sys.platform == "linux":
        try:
            ctypes.CDLL(ENGINE_LIBRARY)
        except OSError as error:
            raise ConfigError(f"demo: the engine needs {ENGINE_LIBRARY}; run: apt-get install libgomp1") from error


def _ports(web_port: int) -> Ports:
    taken: set[int] = set()
    wanted = (("page", web_port), ("OTLP/HTTP", OTLP_HTTP_PORT), ("OTLP/gRPC", OTLP_GRPC_PORT), ("engine", ENGINE_PORT))
    found = []
    for what, port in wanted:
        found.append(port_near(port, taken))
        if found[-1] != port:
            print(f"Port {port} is taken; {what} goes to {found[-1]}.", flush=True)
    return Ports(*found)


def _config(ports: Ports) -> str:
    return (
        f"otlp: {{http_port: {ports.otlp_http}, grpc_port: {ports.otlp_grpc}}}\n"
        f'engines: [{{url: "http://127.0.0.1:{ports.engine}", interval_seconds: 1}}]\n'
        f"web: {{port: {ports.web}}}\n"
    )


def _engine_command(ports: Ports) -> list[str]:
    threads = min(os.cpu_count() or 1, MAX_THREADS)
    return ["watchkeeper.agent.demo.engine", "--port", str(ports.engine), "--threads", str(threads)]


def _traffic_command(ports: Ports) -> list[str]:
    url = f"http://127.0.0.1:{ports.engine}/v1"
    return ["watchkeeper.agent.demo.traffic", "--url", url, "--model", engine.MODEL]


def _traffic_environment(ports: Ports, environment: Mapping[str, str]) -> dict[str, str]:
    """What an application is given to report to watchkeeper, and no OpenTelemetry setting of the person's own."""
    kept = {name: value for name, value in environment.items() if not name.startswith("OTEL_")}
    return {
        **kept,
        "NO_PROXY": "127.0.0.1",
        "OTEL_SERVICE_NAME": "demo-chat",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{ports.otlp_http}",
        "OTEL_BSP_SCHEDULE_DELAY": "1000",
        "OTEL_METRIC_EXPORT_INTERVAL": "5000",
    }


def _how_long(seconds: float | None) -> str:
    return "Ctrl-C stops and sums up." if seconds is None else f"Stops and sums up after {seconds:.0f} s, or on Ctrl-C."
