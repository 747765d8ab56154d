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
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Event
from typing import Final

from watchkeeper.agent.demo import engine, summary
from watchkeeper.agent.demo.alerting import alerting, summed_up
from watchkeeper.agent.demo.children import Child, DemoFailed, fetch
from watchkeeper.agent.demo.faults import named
from watchkeeper.agent.demo.promised import Page, missing
from watchkeeper.agent.demo.rehearsal import STOPPED_EARLY, USUAL, WarmUp, rehearse
from watchkeeper.agent.demo.stage import END_SECONDS, Ports, find_ports, staged, start_traffic
from watchkeeper.agent.demo.traffic import Made, last_words
from watchkeeper.agent.demo.watching import watch
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.vocabulary import health

SETTLE_SECONDS: Final = 20.0
MORE_SECONDS: Final = 180.0
"""that a demo may go on past its time on a machine too slow to show all that is promised"""
ENGINE_LIBRARY: Final = "libgomp.so.1"
_PACKAGES: Final = ("xllamacpp", "openai", "opentelemetry-instrumentation-genai-openai")


def perform(seconds: float | None, web_port: int, fault: str, pace: WarmUp = USUAL) -> int:
    """See `run_demo`."""
    wanted = _seconds(seconds, os.environ)
    scenario = named(fault) if fault else None
    _check_packages()
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    ports = find_ports(web_port)
    folder = Path(tempfile.mkdtemp(prefix="watchkeeper-demo-"))
    kept = False
    try:
        if scenario is not None:
            return rehearse(scenario, wanted, ports, folder, stop, pace)
        return _perform(wanted, ports, folder, stop)
    except DemoFailed as failure:
        print(f"demo: {failure}", flush=True)
        kept = True  # the message names a log in it
        return 1
    finally:
        if not kept:
            shutil.rmtree(folder)


def _perform(seconds: float | None, ports: Ports, folder: Path, stop: Event) -> int:
    with staged(ports, folder, stop) as stage:
        if stop.is_set():
            return STOPPED_EARLY
        print("[3/3] traffic: the openai client, streamed and not, in bursts, some calls wrong", flush=True)
        with contextlib.ExitStack() as running:
            traffic = start_traffic(stage)
            running.callback(traffic.end, END_SECONDS)
            alerts = running.enter_context(alerting(stage, stop))
            print("\n".join((f"\nPage:    {stage.page}/", f"Metrics: {stage.page}/metrics", *alerts.said)))
            print(f"{_how_long(seconds)}\n", flush=True)
            started = time.monotonic()
            children = (stage.engine, stage.agent, traffic)
            watch(
                stage.page, children, seconds, stop, more_seconds=MORE_SECONDS, is_shown=lambda page: not missing(page)
            )

            print("\nStopping: letting the last calls finish ...", flush=True)
            made = last_words(traffic.end(END_SECONDS))
            elapsed = made.seconds if made else time.monotonic() - started
            last = _settled(stage.page, stage.agent, made.calls if made else 0)
            watched = tuple(summed_up(alerts))
    return _close(last, elapsed, made, watched)


def _settled(page: str, agent: Child, made: int) -> Page:
    """
    The page once all that was acknowledged is measured: nothing is held any longer, and so many calls were `made`. A
    watchkeeper that stands still for a moment shows an older one.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        time.sleep(1.5)  # two ticks and a scrape of the engine
        text = fetch(f"{page}/metrics")
        if text is None:
            agent.check()
            raise agent.failure("does not answer on /metrics")
        last = Page(text)
        is_whole = not last.total(health.QUEUE_LENGTH) and summary.calls(last) >= made
        if is_whole or time.monotonic() > deadline:
            return last


def _close(page: Page, elapsed_seconds: float, made: Made | None, watched: Sequence[str]) -> int:
    print(f"\nFrom watchkeeper's own /metrics after {elapsed_seconds:.0f} s, the last calls included:\n")
    print(summary.table(page, elapsed_seconds))
    if watched:
        print("\n".join(("", *watched)))
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


def _how_long(seconds: float | None) -> str:
    return "Ctrl-C stops and sums up." if seconds is None else f"Stops and sums up after {seconds:.0f} s, or on Ctrl-C."
