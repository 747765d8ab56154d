"""`watchkeeper metrics | config-schema | engines | devices`: what there is, for people, programs and docs/."""

import argparse
import json
from typing import Any

from watchkeeper.agent import config as configuration
from watchkeeper.agent import registry
from watchkeeper.agent.parser import add_command


def add_parsers(commands: Any) -> None:
    schema = add_command(commands, "config-schema", "print the configuration's JSON Schema")
    schema.add_argument("--format", choices=("json", "markdown"), default="json", help="markdown: docs/config.md")
    schema.set_defaults(command=_config_schema)

    metrics = add_command(commands, "metrics", "print every metric that watchkeeper emits")
    _add_format(metrics, "text", "json", "markdown", page="metrics.md")
    metrics.set_defaults(command=_metrics)

    engines = add_command(commands, "engines", "print what is read from each engine, and how to switch it on")
    _add_format(engines, "text", "markdown", page="engines.md")
    engines.set_defaults(command=_engines)

    devices = add_command(commands, "devices", "print what is read from each vendor's accelerators")
    _add_format(devices, "text", "markdown", page="devices.md")
    devices.set_defaults(command=_devices)


def _add_format(parser: argparse.ArgumentParser, *formats: str, page: str) -> None:
    parser.add_argument("--format", choices=formats, default="text", help=f"default: text; markdown: docs/{page}")


def _config_schema(options: argparse.Namespace) -> int:
    parts = registry.sources(), registry.exporters(), registry.signals(), registry.checks()
    root = configuration.root_type(*parts)
    if options.format == "markdown":
        from watchkeeper.agent.documentation import config_page

        print(config_page(root, *parts), end="")
    else:
        print(json.dumps(configuration.schema(root), indent=2))
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


def _print_item(title: str, *below: str) -> None:
    """A title, and under it what is said of it, folded to the terminal."""
    from watchkeeper.agent.doctor import terminal_width, wrap

    print(title)
    for text in filter(None, below):
        print("\n".join(f"    {line}" for line in wrap(text, terminal_width() - 4)))
