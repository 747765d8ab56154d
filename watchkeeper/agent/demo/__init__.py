"""`watchkeeper demo`: a real model on a real engine under real traffic, watched."""

import os

DEFAULT_PORT = 9464


def run_demo(seconds: float | None = None, port: int = DEFAULT_PORT, fault: str | None = None) -> int:
    """
    Run until `seconds` are over (without it, the environment's DEMO_SECONDS; without that, until Ctrl-C), then print
    what was measured. Exit code: 0, or 1 when a part failed or a promised metric is missing.

    With a fault (without it, the environment's DEMO_FAULT) that fault comes after a warm-up; `seconds` count from when
    it was found, and the exit code is 1 when it was not.

    :param port: of the page and /metrics; another one where it is taken
    :raises ConfigError: DEMO_SECONDS is not a number, there is no such fault, or the demo's packages are not installed
    """
    from watchkeeper.agent.demo.performance import perform

    return perform(seconds, port, os.environ.get("DEMO_FAULT", "") if fault is None else fault)
