"""
`watchkeeper run | check-config | config-schema | metrics | doctor | health | ping | engines | devices | rules |
dashboards | simulate | demo | reference | replay | findings | audit | report | evidence | version`.

Only this exits the process.
"""

import argparse
import errno
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

from watchkeeper import __version__
from watchkeeper.agent import config as configuration
from watchkeeper.agent import listings, registry
from watchkeeper.agent.boards import arguments as boards
from watchkeeper.agent.parser import Parser, above_zero, add_command, zero_or_more
from watchkeeper.agent.references import arguments as references
from watchkeeper.agent.replay import arguments as replay
from watchkeeper.agent.report import arguments as report
from watchkeeper.agent.simulate import arguments as simulate
from watchkeeper.agent.stored import arguments as stored
from watchkeeper.core.aiohttp_by_parts import take_aiohttp_by_parts
from watchkeeper.core.errors import ConfigError

EXIT_CONFIG = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT
_UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 well, 1 something was found wanting, 2 the operator must change something first, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options)
        print(end="", flush=True)  # here, where it can still be said that it was not written
    except ConfigError as error:
        _tell(error)
        return EXIT_CONFIG
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("watchkeeper", *registry.PACKAGES):
            raise
        print(
            f"watchkeeper: the Python package `{error.name}` is not installed here: this environment is older than this"
            " watchkeeper; run pip install again, or in a checkout make demo",
            file=sys.stderr,
        )
        return EXIT_CONFIG
    except KeyboardInterrupt:  # at a terminal, by who knows why
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno not in _UNWRITTEN:
            raise
        print(
            f"watchkeeper: the output cannot be written: {error.strerror}; make room or send it elsewhere",
            file=sys.stderr,
        )
        _drop_output()
        return 1
    return code


def _tell(error: ConfigError) -> None:
    for problem in error.problems:
        print(f"watchkeeper: {problem}", file=sys.stderr)


def _drop_output() -> None:
    """What is still buffered would be written, and fail, once more at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="watchkeeper",
        description="Observability for language models in production.",
        formatter_class=lambda prog: _ListOfCommands(prog, max_help_position=19),
    )
    parser.add_argument("--version", action="version", version=__version__, help="print the version")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = add_command(commands, "run", "watch, until SIGTERM")
    _add_config(run)
    run.add_argument("--role", choices=get_args(configuration.Role), help="overrides the file's role")
    run.add_argument(
        "--retry-seconds",
        type=above_zero,
        metavar="N",
        help="what hinders the start is said, and tried again after so long, instead of ending; for sidecars",
    )
    run.set_defaults(command=_run)

    check = add_command(commands, "check-config", "report every mistake in a configuration file")
    check.add_argument(
        "file", type=Path, metavar="FILE", help="YAML; environment variables override it as they do for run"
    )
    check.set_defaults(command=_check_config)

    doctor = add_command(commands, "doctor", "say what is found here and what to do")
    _add_config(doctor)
    doctor.add_argument("--engine", metavar="URL", help="look at this engine alone; needs no configuration file")
    doctor.set_defaults(command=_doctor)

    health = add_command(commands, "health", "ask the one that runs here whether it is well; for probes")
    _add_config(health, "the file it runs with")
    health.add_argument("--ready", action="store_true", help="ask whether it is ready rather than alive")
    health.set_defaults(command=_health)

    ping = add_command(commands, "ping", "send one made-up call over OTLP/HTTP, and look for it in the metrics")
    _add_config(ping, "the file that it runs with, which says where it is")
    ping.add_argument("--otlp", metavar="URL", default="", help="default: as configured, else http://127.0.0.1:4318")
    ping.add_argument("--metrics", metavar="URL", default="", help="default: as configured, else http://127.0.0.1:9464")
    ping.add_argument(
        "--seconds", type=zero_or_more, metavar="N", default=30.0, help="how long to try; default: %(default)g"
    )
    for option, metavar, what in (
        ("ca-file", "FILE", "who signed their certificates; default: as configured, else the system's"),
        ("certificate-file", "FILE", "our own certificate, where one is asked for"),
        ("key-file", "FILE", "its private key"),
        ("server-name", "NAME", "that their certificates are for, where it is not the address"),
        ("otlp-token-file", "FILE", "one token, or lines `name: token`, of which the first; default: as configured"),
        ("metrics-token-file", "FILE", "likewise, for metrics"),
    ):
        ping.add_argument(f"--{option}", metavar=metavar, default="", help=what)
    ping.set_defaults(command=_ping)

    listings.add_parsers(commands)

    rules = add_command(commands, "rules", "make alert rules, their tests, runbooks and routing, and check them")
    rules.add_argument("action", choices=("build", "check", "list"), help="what to do with them")
    rules.add_argument("--values", type=Path, metavar="FILE", help="YAML: objectives, thresholds, selectors")
    rules.add_argument("--out", type=Path, metavar="DIR", help="default: the folder dashboards/ of this installation")
    rules.add_argument("--format", choices=("text", "markdown"), default="text", help="of list; default: text")
    rules.set_defaults(command=_rules)

    demo = add_command(commands, "demo", "watch a real model on a real engine under real traffic")
    demo.add_argument("--seconds", type=float, metavar="N", help="stop by itself; default: until Ctrl-C")
    demo.add_argument("--fault", metavar="NAME", help="something goes wrong, and is found: loop, slow, ...")
    demo.set_defaults(command=_demo)

    boards.add_parser(commands)
    simulate.add_parser(commands)
    references.add_parser(commands)
    replay.add_parser(commands)
    stored.add_parser(commands)
    report.add_parsers(commands)

    version = add_command(commands, "version", "print the version")
    version.set_defaults(command=_version)
    return parser


class _ListOfCommands(argparse.HelpFormatter):
    """Argparse 3.11 measures commands without their indent, and folds the longest ones."""

    def __init__(self, prog: str, max_help_position: int) -> None:
        super().__init__(prog, max_help_position=max_help_position)
        self._action_max_length = max_help_position


def _add_config(parser: argparse.ArgumentParser, what: str = "YAML file") -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"{what}; without it, defaults and the environment")


def _root() -> Any:
    return configuration.root_type(registry.sources(), registry.exporters(), registry.signals(), registry.checks())


def _load(path: Path | None, environment: Mapping[str, str]) -> Any:
    """:raises ConfigError: all that can be known to be wrong before anything is opened"""
    settings = configuration.load(path, environment, _root())
    problems = configuration.mistakes(
        settings, registry.sources(), registry.exporters(), registry.signals(), registry.checks()
    )
    if problems:
        raise ConfigError(*problems)
    return settings


def _run(options: argparse.Namespace) -> int:
    if options.retry_seconds is None:
        return _watch(options)
    # From the first moment: a pod that ends meanwhile must not wait for this process to be killed.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        return _watch(options)
    except ConfigError as error:
        _tell(error)
    print(f"watchkeeper: not started; tried again in {options.retry_seconds:g} s", file=sys.stderr, flush=True)
    if signal.sigtimedwait(_STOP_SIGNALS, options.retry_seconds) is not None:
        return EXIT_CONFIG
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    # A new program in the same process: no socket or thread of the half-built one is left, and to the kubelet the
    # container never ended.
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves


def _watch(options: argparse.Namespace) -> int:
    environment = dict(os.environ)
    if options.role:
        environment[f"{configuration.ENVIRONMENT_PREFIX}ROLE"] = options.role
    settings = _load(options.config, environment)
    _start_logging(settings.log_level)

    # Blocked in every thread and waited for: a handler that runs just before the main thread sleeps would be lost.
    # Before anything is imported: libraries start threads then, and a signal takes any thread that does not block it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # products of 64 x 20 gain nothing from more

    take_aiohttp_by_parts()
    from watchkeeper.agent.agent import Agent
    from watchkeeper.agent.process import share_one_heap
    from watchkeeper.agent.supervisor import log_thread_end

    threading.excepthook = log_thread_end

    if settings.role == "node":
        share_one_heap()

    agent = Agent(settings, registry.sources(), registry.exporters(), registry.signals(), registry.checks())
    agent.start()
    log = logging.getLogger("watchkeeper")
    log.info("watchkeeper %s, role %s: page and metrics at %s", __version__, settings.role, agent.url)
    gc.collect()
    gc.freeze()  # what start-up made lives as long as the process; do not walk it again and again
    gc.set_threshold(50_000, 20, 100)  # records are acyclic and many: the default walks them for a tenth of the time
    signal.sigwait(_STOP_SIGNALS)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)  # a second one ends the drain at once
    log.info("stopping: draining what was acknowledged")
    stopped = agent.stop()
    log.info("stopped")
    code = 0 if stopped.whole else 1
    if stopped.late:
        _leave(code)
    return code


def _leave(code: int) -> NoReturn:
    """At once: the interpreter would end a thread that is still at it inside of a library, which aborts the process."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _check_config(options: argparse.Namespace) -> int:
    from watchkeeper.agent.cautions import cautions

    for caution in cautions(_load(options.file, os.environ), registry.exporters()):
        print(f"watchkeeper: note: {caution.subject}: {caution.text}", file=sys.stderr)
    print(f"{options.file}: ok")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from watchkeeper.agent.doctor import examine, show, verdict

    settings = configuration.load(options.config, os.environ, _root())
    if options.engine is not None:
        from watchkeeper.agent.engine_report import examine_engine

        text, recognised = examine_engine(options.engine, settings.engines)
        print(text)
        return 0 if recognised else 1
    remarks = list(examine(settings, registry.sources(), registry.exporters()))
    print(f"{show(remarks)}\n\n{verdict(remarks)}")
    return 1 if any(remark.mark == "bad" for remark in remarks) else 0


def _health(options: argparse.Namespace) -> int:
    from watchkeeper.agent.health import ask

    found = ask(options.config, os.environ, "/readyz" if options.ready else "/healthz")
    print(found.text)
    return 0 if found.is_well else 1


def _ping(options: argparse.Namespace) -> int:
    from watchkeeper.agent.ping import Ping, located, ping

    given = {name: value for name in Ping.__struct_fields__ if (value := getattr(options, name, None)) is not None}
    is_found, text = ping(located(Ping(**given), options.config, os.environ), time.monotonic, time.sleep)
    print(text)
    return 0 if is_found else 1


def _rules(options: argparse.Namespace) -> int:
    from watchkeeper.agent import rules

    values = rules.load(options.values)
    folder = options.out or rules.HERE
    if options.action == "build":
        print(rules.write(values, folder))
        return 0
    if options.action == "list":
        print(rules.listing(values, markdown=options.format == "markdown"), end="")
        return 0
    is_well = True
    for well, line in rules.verify(values, folder, _doing):
        _doing("")
        print(line, flush=True)
        is_well &= well
    return 0 if is_well else 1


def _doing(what: str) -> None:
    """On a terminal, in one line that the next one overwrites. :param what: empty: nothing any more"""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{what + ' ...' if what else ''}", end="", file=sys.stderr, flush=True)


def _demo(options: argparse.Namespace) -> int:
    from watchkeeper.agent.demo import run_demo

    return run_demo(options.seconds, fault=options.fault)


def _version(_: argparse.Namespace) -> int:
    print(__version__)
    return 0


def _start_logging(level: str) -> None:
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )


if __name__ == "__main__":
    sys.exit(main())
