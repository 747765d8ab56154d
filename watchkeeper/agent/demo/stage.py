"""The demo's engine and watchkeeper, started and addressed; and what a client is told of them."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Final

import msgspec

from watchkeeper.agent.demo import engine
from watchkeeper.agent.demo.children import Child, fetch, port_near

OTLP_GRPC_PORT: Final = 4317
OTLP_HTTP_PORT: Final = 4318
ENGINE_PORT: Final = 8080
START_SECONDS: Final = 60.0
END_SECONDS: Final = 30.0
MAX_THREADS: Final = 8


class Ports(msgspec.Struct, frozen=True):
    web: int
    otlp_http: int
    otlp_grpc: int
    engine: int


class Stage(msgspec.Struct, frozen=True):
    """What runs: `page` is watchkeeper's address, `folder` holds everything that is written."""

    engine: Child
    agent: Child
    page: str
    config: Path
    folder: Path
    ports: Ports


def find_ports(web_port: int) -> Ports:
    """The usual ones where they are free; says which are not."""
    taken: set[int] = set()
    wanted = (("page", web_port), ("OTLP/HTTP", OTLP_HTTP_PORT), ("OTLP/gRPC", OTLP_GRPC_PORT), ("engine", ENGINE_PORT))
    found = []
    for what, port in wanted:
        found.append(port_near(port, taken))
        if found[-1] != port:
            print(f"Port {port} is taken; {what} goes to {found[-1]}.", flush=True)
    return Ports(*found)


@contextlib.contextmanager
def staged(ports: Ports, folder: Path, stop: Event, more_config: Sequence[str] = ()) -> Iterator[Stage]:
    """
    Engine and watchkeeper, ready unless `stop` is set meanwhile; ended at the end.

    :param more_config: lines of watchkeeper's configuration
    :raises DemoFailed: one of them does not get ready
    """
    print(f"[1/3] engine: llama.cpp with {engine.MODEL} ...", flush=True)
    with contextlib.ExitStack() as running:
        server = Child("engine", _engine_command(ports), folder, {**os.environ, "OMP_WAIT_POLICY": "passive"})
        running.callback(server.end, END_SECONDS)
        server.wait_for(lambda: fetch(f"http://127.0.0.1:{ports.engine}/health") is not None, START_SECONDS, stop)

        config = folder / "watchkeeper.yaml"
        lines = (*_config(ports, folder), *more_config)
        config.write_text("\n".join((*lines, "")), encoding="utf-8")
        print("[2/3] watchkeeper run, with this configuration:", flush=True)
        print("".join(f"        {line}\n" for line in lines), end="", flush=True)
        agent = Child("watchkeeper", ["watchkeeper", "run", "--config", str(config)], folder, os.environ)
        running.callback(agent.end, END_SECONDS)
        page = f"http://127.0.0.1:{ports.web}"
        agent.wait_for(lambda: fetch(f"{page}/readyz") is not None, START_SECONDS, stop)
        yield Stage(server, agent, page, config, folder, ports)


def start_traffic(stage: Stage, arguments: Sequence[str] = (), more: Mapping[str, str] | None = None) -> Child:
    """A client of the engine that reports to watchkeeper. `more`: of its environment."""
    url = f"http://127.0.0.1:{stage.ports.engine}/v1"
    command = ["watchkeeper.agent.demo.traffic", "--url", url, "--model", engine.MODEL, *arguments]
    environment = {**_traffic_environment(stage.ports, os.environ), **(more or {})}
    return Child("traffic", command, stage.folder, environment)


def _config(ports: Ports, folder: Path) -> tuple[str, ...]:
    return (
        f"otlp: {{http_port: {ports.otlp_http}, grpc_port: {ports.otlp_grpc}}}",
        f'engines: [{{url: "http://127.0.0.1:{ports.engine}", interval_seconds: 1}}]',
        f"web: {{port: {ports.web}}}",
        f"state_folder: {json.dumps(str(folder / 'state'))}",  # a JSON string is YAML whatever is in it
    )


def _engine_command(ports: Ports) -> list[str]:
    threads = min(os.cpu_count() or 1, MAX_THREADS)
    return ["watchkeeper.agent.demo.engine", "--port", str(ports.engine), "--threads", str(threads)]


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
