"""
`watchkeeper run | check-config | config-schema | metrics | doctor | health | ping | engines | devices | rules |
dashboards | simulate | demo | reference | replay | findings | audit | report | evidence | version`.

Only this exits the process.
"""

import argparse
import errno
import gc
import json
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
from watchkeeper.agent import registry
from watchkeeper.agent.boards import arguments as boards
from watchkeeper.agent.references import arguments as references
from watchkeeper.agent.replay import arguments as replay
from watchkeeper.agent.report import arguments as report
from watchkeeper.agent.simulate import arguments as simulate
from watchkeeper.agent.stored import arguments as stored
from watchkeeper.core.aiohttp_by_parts import take_aiohttp_by_parts
from watchkeeper.core.errors import ConfigError

EXIT_CONFIG = 2
_UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 well, 1 something was found wanting, 2 the operator must change something first."""
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
    parser = argparse.ArgumentParser(
        prog="watchkeeper",
        description="Observability for language models in production.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=24),
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="watch, until SIGTERM")
    run.add_argument("--config", type=Path, help="YAML file; without it, defaults and the environment")
    run.add_argument("--role", choices=get_args(configuration.Role), help="overrides the file's role")
    run.add_argument(
        "--retry-seconds",
        type=float,
        metavar="N",
        help="what hinders the start is said, and tried again after so long, instead of ending; for sidecars",
    )
    run.set_defaults(command=_run)

    check = commands.add_parser("check-config", help="report every mistake in a configuration file")
    check.add_argument("file", type=Path)
    check.set_defaults(command=_check_config)

    schema = commands.add_parser("config-schema", help="print the configuration's JSON Schema")
    schema.add_argument("--format", choices=("json", "markdown"), default="json")
    schema.set_defaults(command=_config_schema)

    metrics = commands.add_parser("metrics", help="print every metric that watchkeeper emits")
    metrics.add_argument("--format", choices=("text", "json", "markdown"), default="text")
    metrics.set_defaults(command=_metrics)

    doctor = commands.add_parser("doctor", help="say what is found here and what to do")
    doctor.add_argument("--config", type=Path)
    doctor.add_argument("--engine", metavar="URL", help="look at this engine alone; needs no configuration file")
    doctor.set_defaults(command=_doctor)

    health = commands.add_parser("health", help="ask the one that runs here whether it is well; for probes")
    health.add_argument("--config", type=Path, help="the file it runs with; without it, defaults and the environment")
    health.add_argument("--ready", action="store_true", help="ask whether it is ready rather than alive")
    health.set_defaults(command=_health)

    about = "send one made-up call over OTLP/HTTP, and look for it in the metrics"
    ping = commands.add_parser("ping", help=about, description=about)
    ping.add_argument("--otlp", metavar="URL", default="http://127.0.0.1:4318", help="default: %(default)s")
    ping.add_argument("--metrics", metavar="URL", default="http://127.0.0.1:9464", help="default: %(default)s")
    ping.add_argument("--seconds", type=float, default=30.0, help="how long to try; default: %(default)g")
    for option, metavar, what in (
        ("ca-file", "FILE", "who signed their certificates; default: the system's"),
        ("certificate-file", "FILE", "our own certificate, where one is asked for"),
        ("key-file", "FILE", "its private key"),
        ("server-name", "NAME", "that their certificates are for, where it is not the address"),
        ("otlp-token-file", "FILE", "one token, or lines `name: token`, of which the first"),
        ("metrics-token-file", "FILE", "likewise, for metrics"),
    ):
        ping.add_argument(f"--{option}", metavar=metavar, default="", help=what)
    ping.set_defaults(command=_ping)

    engines = commands.add_parser("engines", help="print what is read from each engine, and how to switch it on")
    engines.add_argument("--format", choices=("text", "markdown"), default="text")
    engines.set_defaults(command=_engines)

    devices = commands.add_parser("devices", help="print what is read from each vendor's accelerators")
    devices.add_argument("--format", choices=("text", "markdown"), default="text")
    devices.set_defaults(command=_devices)

    rules = commands.add_parser("rules", help="make alert rules, their tests, runbooks and routing, and check them")
    rules.add_argument("action", choices=("build", "check", "list"))
    rules.add_argument("--values", type=Path, metavar="FILE", help="YAML: objectives, thresholds, selectors")
    rules.add_argument("--out", type=Path, metavar="DIR", help="default: the folder dashboards/ of this installation")
    rules.add_argument("--format", choices=("text", "markdown"), default="text", help="of list")
    rules.set_defaults(command=_rules)

    demo = commands.add_parser("demo", help="watch a real model on a real engine under real traffic")
    demo.add_argument("--seconds", type=float, default=None, help="stop by itself; default: until Ctrl-C")
    demo.add_argument(
        "--fault", default=None, metavar="NAME", help="something goes wrong, and is found: loop, slow, ..."
    )
    demo.set_defaults(command=_demo)

    boards.add_parser(commands)
    simulate.add_parser(commands)
    references.add_parser(commands)
    replay.add_parser(commands)
    stored.add_parser(commands)
    report.add_parsers(commands)

    version = commands.add_parser("version", help="print the version")
    version.set_defaults(command=_version)
    return parser


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
    _load(options.file, os.environ)
    print(f"{options.file}: ok")
    return 0


def _config_schema(options: argparse.Namespace) -> int:
    if options.format == "markdown":
        from watchkeeper.agent.documentation import config_page

        parts = registry.sources(), registry.exporters(), registry.signals(), registry.checks()
        print(config_page(_root(), *parts), end="")
    else:
        print(json.dumps(configuration.schema(_root()), indent=2))
    return 0


def _metrics(options: argparse.Namespace) -> int:
    from watchkeeper.core.vocabulary import METRICS

    if options.format == "markdown":
        from watchkeeper.agent.documentation import metrics_page

        parts = (*registry.sources(), *registry.checks(), *registry.signals(), *registry.exporters())
        print(metrics_page(METRICS, parts), end="")
    elif options.format == "json":
        fields = ("name", "kind", "unit", "help", "labels", "buckets", "prometheus_name", "prometheus_labels")
        print(json.dumps([{field: getattr(metric, field) for field in fields} for metric in METRICS], indent=2))
    else:
        for metric in METRICS:
            _print_item(f"{metric.prometheus_name} ({metric.kind})", metric.help, ", ".join(metric.prometheus_labels))
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
    from watchkeeper.agent.ping import Ping, ping

    wanted = Ping(**{name: getattr(options, name) for name in Ping.__struct_fields__})
    is_found, text = ping(wanted, time.monotonic, time.sleep)
    print(text)
    return 0 if is_found else 1


def _engines(options: argparse.Namespace) -> int:
    from collector.engines import TABLES

    if options.format == "markdown":
        from watchkeeper.agent.engines_page import engines_page

        print(engines_page(TABLES), end="")
    else:
        for table in TABLES:
            state = "on by default" if table.on_by_default else "off by default"
            where = ", ".join(f"port {table.port}, {path}" for path in table.paths)
            _print_item(f"{table.title}: {where}, {state}", table.switch_on)
    return 0


def _devices(options: argparse.Namespace) -> int:
    from collector.accelerators import VENDORS

    if options.format == "markdown":
        from watchkeeper.agent.devices_page import devices_page
        from watchkeeper.core.vocabulary.devices import METRICS

        print(devices_page(VENDORS, METRICS), end="")
    else:
        for vendor in VENDORS:
            _print_item(f"{vendor.title}: {vendor.library}, {len(vendor.obtained)} metrics", f"needs {vendor.needs}")
    return 0


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


def _print_item(title: str, *below: str) -> None:
    """A title, and under it what is said of it, folded to the terminal."""
    from watchkeeper.agent.doctor import terminal_width, wrap

    print(title)
    for text in filter(None, below):
        print("\n".join(f"    {line}" for line in wrap(text, terminal_width() - 4)))


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
