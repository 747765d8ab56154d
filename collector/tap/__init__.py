"""Source `tap`: a pass-through in front of an engine or provider that measures the model calls in it."""

from typing import Final

from collector.tap.config import TapTarget
from watchkeeper.core.interfaces import Plugin, Source
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import engines, health, requests
from watchkeeper.core.vocabulary import tap as vocabulary

READ_INTERVAL_SECONDS: Final = 0.5
_METRICS: Final = (
    requests.CLIENT_TOKEN_USAGE, requests.SERVER_DURATION, requests.SERVER_FIRST_TOKEN, requests.SERVER_PER_TOKEN,
    requests.REQUESTS, requests.TOKENS, requests.TOKENS_ESTIMATED, requests.FINISH_REASONS, requests.IN_FLIGHT,
    engines.INTER_TOKEN_LATENCY, engines.PREFILL_TIME, engines.DECODE_TIME, *vocabulary.METRICS, health.RECEIVED,
    health.ACCEPTED, health.REJECTED, health.QUEUE_LENGTH, health.QUEUE_SIZE, health.QUEUE_CAPACITY,
)  # fmt: skip


def build(config: tuple[TapTarget, ...], ledger: Ledger) -> Source:
    """:raises ConfigError: a port cannot be taken, or a TLS file is no good"""
    from collector.tap.source import TapSource

    return TapSource(config, ledger)


def problems(config: tuple[TapTarget, ...]) -> tuple[str, ...]:
    """Ports given twice, a tap in front of itself, TLS files that cannot be used."""
    from collector.tap import listening

    return tuple(listening.problems(config))


def probe(config: tuple[TapTarget, ...]) -> tuple[str, ...]:
    """Whether the ports can be taken and the upstreams answer."""
    from collector.tap.doctor import examine

    return examine(config)


PLUGIN: Final = Plugin(
    name="tap",
    summary="A pass-through in front of an engine or provider, for those that tell nothing themselves.",
    config=tuple[TapTarget, ...],
    build=build,
    metrics=_METRICS,
    roles=("run", "sidecar", "gateway"),
    interval_seconds=lambda _config: READ_INTERVAL_SECONDS,
    problems=problems,
    probe=probe,
)
