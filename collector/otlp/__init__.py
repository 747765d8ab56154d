"""Source `otlp`: takes in traces, metrics and logs over OTLP/gRPC and OTLP/HTTP."""

import time
from typing import Final

from collector.otlp import ksana_table
from collector.otlp.config import OtlpConfig
from watchkeeper.core import tls, tokens
from watchkeeper.core.interfaces import Plugin, Source
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import health
from watchkeeper.core.vocabulary.operations import METRICS as OPERATIONS
from watchkeeper.core.vocabulary.outputs import JUDGED
from watchkeeper.core.vocabulary.requests import METRICS as REQUESTS

READ_INTERVAL_SECONDS: Final = 0.2
_OWN_HEALTH: Final = (
    health.RECEIVED, health.ACCEPTED, health.REJECTED, health.REFUSED_REQUESTS, health.IGNORED, health.INVALID_VALUES,
    health.CALLS_FORGOTTEN, health.QUEUE_LENGTH, health.QUEUE_SIZE, health.QUEUE_CAPACITY,
)  # fmt: skip


def build(config: OtlpConfig, ledger: Ledger) -> Source:
    """:raises ConfigError: a port cannot be taken, or a TLS file is no good"""
    from collector.otlp.source import OtlpSource

    return OtlpSource(config, ledger, started_at=time.time())


def probe(config: OtlpConfig) -> tuple[str, ...]:
    """Whether the ports can be taken and the TLS files read."""
    from collector.otlp import source

    return source.probe(config)


def problems(config: OtlpConfig) -> tuple[str, ...]:
    """Files of TLS and tokens that cannot be used."""
    return (*tls.problems(config.tls, "otlp.tls"), *tokens.problems(config.token_file, "otlp.token_file"))


PLUGIN: Final = Plugin(
    name="otlp",
    summary="Traces, metrics and logs over OTLP: gRPC and HTTP, protobuf and JSON.",
    config=OtlpConfig,
    build=build,
    metrics=tuple(dict.fromkeys((*REQUESTS, *OPERATIONS, *ksana_table.METRICS, *JUDGED, *_OWN_HEALTH))),
    roles=("run", "sidecar", "gateway"),
    interval_seconds=lambda _config: READ_INTERVAL_SECONDS,
    problems=problems,
    probe=probe,
)
