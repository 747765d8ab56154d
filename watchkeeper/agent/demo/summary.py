"""The closing table, made from watchkeeper's own /metrics and nothing else. At most 80 columns."""

from collections.abc import Iterator
from typing import Final

from watchkeeper.agent.demo.promised import PROMISED, Page, missing
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Outcome
from watchkeeper.core.vocabulary import engines, health, requests

_MODEL: Final = "gen_ai_request_model"
_LATENCIES: Final = (
    ("first token", requests.SERVER_FIRST_TOKEN),
    ("per output token", requests.SERVER_PER_TOKEN),
    ("whole call", requests.SERVER_DURATION),
)


PROGRESS_HEAD: Final = "    time   calls  first token p50   out/s  waiting  not ok"


def progress(page: Page, elapsed_seconds: float) -> str:
    """One line while it runs."""
    outcomes = page.by("outcome", requests.REQUESTS)
    failed = ", ".join(f"{count:.0f} {name}" for name, count in outcomes.items() if count and name != Outcome.OK)
    tokens = page.total(requests.TOKENS, gen_ai_token_type="output")  # noqa: S106 - a label
    pace = tokens / elapsed_seconds if elapsed_seconds else 0.0
    minutes, seconds = divmod(int(elapsed_seconds), 60)
    first = _quantile(page, 0.5, requests.SERVER_FIRST_TOKEN)
    waiting = page.total(engines.WAITING)
    left = f"  {minutes:3d}:{seconds:02d}  {calls(page):6d}  {first:>15}  {pace:6.1f}  {waiting:7.0f}"
    return f"{left}  {failed}".rstrip()


def table(page: Page, elapsed_seconds: float) -> str:
    """What was measured, model by model, then the engine, then watchkeeper itself."""
    return "\n".join((*_models(page, elapsed_seconds), "", *_engines(page), "", *_itself(page)))


def calls(page: Page) -> int:
    """Calls counted, each once."""
    return round(page.total(requests.REQUESTS))


def promise(page: Page) -> str:
    """Whether every promised metric was there."""
    gone = missing(page)
    if not gone:
        return f"All {len(PROMISED)} promised metrics are there."
    return "\n".join((f"Missing {len(gone)} of {len(PROMISED)} promised metrics:", *(f"  {name}" for name in gone)))


def _models(page: Page, elapsed_seconds: float) -> Iterator[str]:
    for model, count in page.by(_MODEL, requests.REQUESTS).items():
        here = {_MODEL: model}
        outcomes = page.by("outcome", requests.REQUESTS, **here)
        tokens = page.by("gen_ai_token_type", requests.TOKENS, **here)
        pace = tokens.get("output", 0.0) / elapsed_seconds if elapsed_seconds else 0.0
        yield f"model {model[:70]}"
        yield f"  calls              {count:.0f}: " + ", ".join(f"{n:.0f} {name}" for name, n in outcomes.items() if n)
        yield (
            f"  tokens             {tokens.get('input', 0):,.0f} in, {tokens.get('output', 0):,.0f} out"
            f" ({pace:.1f} out a second)"
        )
        yield f"  {'':16}  {'p50':>8}  {'p95':>8}  {'calls':>6}"
        for title, metric in _LATENCIES:
            seen = {**here, "watchkeeper_vantage": "client"}
            middle, high = (_quantile(page, share, metric, **seen) for share in (0.5, 0.95))
            seen_calls = page.observations(metric, **seen)
            yield f"  {title:16}  {middle:>8}  {high:>8}  {seen_calls:6.0f}"


def _engines(page: Page) -> Iterator[str]:
    for port in page.by("server_port", engines.ENGINE_UP):
        here = {"server_port": port}
        up = "up" if page.total(engines.ENGINE_UP, **here) else "down"
        tokens = page.by("gen_ai_token_type", engines.TOKENS, **here)
        yield (
            f"engine on port {port}: {up}, {page.total(engines.RUNNING, **here):.0f} running,"
            f" {page.total(engines.WAITING, **here):.0f} waiting"
        )
        cached = page.total(engines.CACHED_TOKENS, **here)
        read, written = tokens.get("input", 0.0) + cached, tokens.get("output", 0.0)
        yield f"  tokens worked      {read:,.0f} in ({cached:,.0f} of them from its cache), {written:,.0f} out"
        if read > page.total(requests.TOKENS, gen_ai_token_type="input"):  # noqa: S106 - a label
            yield f"  {'':17}  more than the calls had: also for callers that hang up"


def _itself(page: Page) -> Iterator[str]:
    sources = page.by("source", health.SOURCE_UP)
    states = ", ".join(f"{name} {'up' if value else 'down'}" for name, value in sorted(sources.items()))
    memory = page.total(health.MEMORY) / 1e6
    yield f"watchkeeper itself: {memory:.0f} MB, {page.total(health.CPU_TIME):.1f} s of processor"
    yield f"  sources: {states}"
    received, accepted, rejected = (page.total(m) for m in (health.RECEIVED, health.ACCEPTED, health.REJECTED))
    exported, ignored, dropped = (page.total(m) for m in (health.EXPORTED, health.IGNORED, health.DROPPED))
    held = page.total(health.QUEUE_LENGTH)
    yield f"  {received:,.0f} items received = {accepted:,.0f} accepted + {rejected:,.0f} rejected"
    yield (
        f"  {accepted:,.0f} accepted = {exported:,.0f} exported + {ignored:,.0f} ignored"
        f" + {dropped:,.0f} dropped + {held:,.0f} held"
    )


def _quantile(page: Page, share: float, metric: Metric, **labels: str) -> str:
    """Above the highest bound only that is known."""
    value = page.quantile(share, metric, **labels)
    if value is None:
        return "-"
    return f"≥ {_seconds(value)}" if value >= metric.buckets[-1] else _seconds(value)


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.{0 if value >= 0.1 else 1}f} ms"
