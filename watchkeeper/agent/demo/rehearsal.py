"""
A fault on purpose: a warm-up that is called normal, the fault, and the wait until watchkeeper tells of it by itself.

Nothing here judges: references are made by `watchkeeper reference`, and what was found is read from the findings that
watchkeeper writes and shows.
"""

import contextlib
import html
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Final

import msgspec

from watchkeeper.agent.demo import summary
from watchkeeper.agent.demo.alerting import Teller, alerting
from watchkeeper.agent.demo.children import Child, DemoFailed, fetch
from watchkeeper.agent.demo.faults import Scenario
from watchkeeper.agent.demo.promised import Page
from watchkeeper.agent.demo.stage import END_SECONDS, Ports, Stage, staged, start_traffic
from watchkeeper.agent.demo.watching import watch
from watchkeeper.core.records import Cause
from watchkeeper.core.vocabulary import drift

STOPPED_EARLY: Final = 130
"""exit code of what Ctrl-C ended before there was anything to sum up"""
_COMMAND_SECONDS: Final = 60.0
_IN_FORCE_SECONDS: Final = 60.0
_ENGINE_PERIOD_SECONDS: Final = 0.2
_WIDTH: Final = 80


class WarmUp(msgspec.Struct, frozen=True):
    """
    How long traffic is normal, and how long the finding may take. Causes need three minutes before an onset; without
    `wants_causes` a finding alone is enough.
    """

    seconds: float = 200.0
    calls: int = 110
    most_seconds: float = 600.0
    find_seconds: float = 240.0
    tick_seconds: float = 10.0
    wants_causes: bool = True

    def is_over(self, page: Page, elapsed: float) -> bool:
        return elapsed >= self.seconds and summary.calls(page) >= self.calls


USUAL: Final = WarmUp()


class Found(msgspec.Struct, frozen=True):
    """What a line of the findings' file says; see docs/findings.md."""

    name: str
    subject: str
    summary: str
    at: float
    since: float
    resolved: bool
    severity: str
    evidence: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()


def rehearse(
    scenario: Scenario, seconds: float | None, ports: Ports, folder: Path, stop: Event, warm_up: WarmUp = USUAL
) -> int:
    """
    Exit code: 0 once the finding is on the page with its cause, 1 when it does not come in time.

    :param seconds: that the page stays afterwards; None: until Ctrl-C
    :raises DemoFailed: a process of the demo fails, or no reference can be made
    """
    findings = folder / "findings.jsonl"
    with contextlib.ExitStack() as running:
        stage = running.enter_context(staged(ports, folder, stop, tuple(_more_config(scenario, findings, warm_up))))
        if stop.is_set():
            return STOPPED_EARLY
        habits = folder / "scenario.json"
        habits.write_bytes(msgspec.json.encode(scenario))
        traffic = start_traffic(
            stage,
            ("--scenario", str(habits)),
            {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "span_only"},  # checks read what is said
        )
        running.callback(traffic.end, END_SECONDS)
        children = (stage.engine, stage.agent, traffic)
        print(f"[3/3] traffic as it should be, {warm_up.seconds:.0f} s and {warm_up.calls} calls at least")
        alerts = running.enter_context(alerting(stage, stop))
        print("\n".join((f"\nPage:    {stage.page}/", f"Metrics: {stage.page}/metrics", *alerts.said, "")), flush=True)
        watch(stage.page, children, warm_up.most_seconds, stop, warm_up.is_over)
        if stop.is_set():
            return STOPPED_EARLY
        _refer(stage, scenario, stop)

        began_at = time.time()
        for early in read(findings, 0.0):
            print(f"Found before the fault: {early.subject}: {early.summary}", flush=True)
        print(f"\n{_clock(began_at)}  The fault begins: {scenario.told}.", flush=True)
        traffic.begin()
        running.enter_context(slowed(stage.engine, scenario.engine_share))
        found = _wait(scenario, findings, began_at, warm_up, children, stop)
        if found is None and stop.is_set():
            return STOPPED_EARLY
        if found is None:
            print(f"\nNot found within {warm_up.find_seconds:.0f} s: {', '.join(scenario.signals)}.", flush=True)
            return 1
        if found.subject not in html.unescape(fetch(f"{stage.page}/") or ""):
            print(f"\nThe page does not show it: {found.subject}.", flush=True)
            return 1
        _print(found, began_at)
        print(f"\nIt stands on the page: {stage.page}/")
        until = "Ctrl-C stops." if seconds is None else f"Stops after {seconds:.0f} s, or on Ctrl-C."
        print(until, flush=True)
        _stay(children, seconds, stop, Teller(alerts))
    return 0


def answers(scenario: Scenario, found: Found, wants_causes: bool) -> bool:
    """Whether this finding is the one that the fault should lead to."""
    if found.resolved or found.name not in scenario.signals:
        return False
    return not wants_causes or any(cause.summary in scenario.causes for cause in found.causes)


def read(findings: Path, since: float) -> list[Found]:
    """Those that were told from then on, but for the news that a reference changed. :param since: unix seconds"""
    if not findings.is_file():
        return []
    lines = findings.read_bytes().splitlines(keepends=True)
    every = (msgspec.json.decode(line, type=Found) for line in lines if line.endswith(b"\n"))
    return [one for one in every if one.at >= since and one.name != "reference"]


def _more_config(scenario: Scenario, findings: Path, warm_up: WarmUp) -> Iterator[str]:
    yield f"exporters: {{findings_log: {{path: {msgspec.json.encode(str(findings)).decode()}}}}}"
    yield from scenario.config
    if warm_up.tick_seconds != USUAL.tick_seconds:
        yield f"drift: {{tick_seconds: {warm_up.tick_seconds:g}}}"


def _refer(stage: Stage, scenario: Scenario, stop: Event) -> None:
    """What was seen is called normal, by the commands that an operator would use."""
    print("\nThis was normal. It becomes the reference by two commands:\n")
    where = ["--config", str(stage.config), "--by", "demo"]
    said = _command(["reference", "propose", *where])
    lines = [line for line in said.splitlines() if line and not line.startswith("watchkeeper:")]
    print("\n".join(f"  {line}" for line in (*lines[:1], *lines[-1:])))
    said = _command(["reference", "approve", "--all", *where, "--why", "warm-up of the demo"])
    approved = [line.split()[3] for line in said.splitlines() if line.startswith("in force:")]
    print(f"  {len(approved)} in force", flush=True)
    if not set(approved) & set(scenario.signals):
        raise DemoFailed(f"none of {', '.join(scenario.signals)} was observed often enough to have a reference")
    stage.agent.wait_for(lambda: _judged(stage.page) >= len(approved), _IN_FORCE_SECONDS, stop)


def _judged(page: str) -> float:
    text = fetch(f"{page}/metrics")
    if text is None:
        return 0.0
    states = Page(text).by("state", drift.STREAMS)
    return sum(count for state, count in states.items() if state != "warming")


def _command(arguments: Sequence[str]) -> str:
    """What it prints. :raises DemoFailed: it says no"""
    shown = " ".join(f'"{word}"' if " " in word else word for word in arguments)
    print(f"  $ watchkeeper {shown}", flush=True)
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "watchkeeper", *arguments],
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
        check=False,
    )
    if done.returncode:
        raise DemoFailed(f"watchkeeper {' '.join(arguments[:2])} said:\n{done.stdout}{done.stderr}")
    return done.stdout


def _wait(
    scenario: Scenario, findings: Path, began_at: float, warm_up: WarmUp, children: Sequence[Child], stop: Event
) -> Found | None:
    """The finding that was to come, None when it does not. Tells of every other on the way."""
    told: set[str] = set()
    while time.time() - began_at < warm_up.find_seconds and not stop.wait(0.5):
        for child in children:
            child.check()
        for found in read(findings, began_at):
            if found.subject not in told:
                told.add(found.subject)
                print(f"  +{found.at - began_at:3.0f} s  {found.summary}", flush=True)
            if answers(scenario, found, warm_up.wants_causes):
                return found
    return None


def _stay(children: Sequence[Child], seconds: float | None, stop: Event, teller: Teller) -> None:
    """Without a word but of alerts, so that the finding stays in sight."""
    until = time.monotonic() + (float("inf") if seconds is None else seconds)
    while True:
        for line in teller.news():
            print(line, flush=True)
        left = until - time.monotonic()
        if left <= 0 or stop.wait(min(1.0, left)):
            return
        for child in children:
            child.check()


def _print(found: Found, began_at: float) -> None:
    print(f"\nFound {found.at - began_at:.0f} s after the fault began, dated to {_clock(found.since)}:\n")
    for line in (found.subject, found.summary, *found.evidence):
        print(f"  {line}")
    if found.causes:
        print("  probable causes:")
    for place, cause in enumerate(found.causes, 1):
        print(f"  {place}. {cause.summary} ({cause.score:.2f})")
        for line in cause.moved:
            print(f"       {line}")


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(at)) + " UTC"


@contextlib.contextmanager
def slowed(engine: Child, share: float) -> Iterator[None]:
    """The engine runs this share of its time until the end."""
    if share >= 1:
        yield
        return
    over = Event()

    def work() -> None:
        while not over.is_set():
            engine.hold()
            over.wait(_ENGINE_PERIOD_SECONDS * (1 - share))
            engine.go_on()
            over.wait(_ENGINE_PERIOD_SECONDS * share)

    thread = Thread(target=work, name="slowed engine")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
