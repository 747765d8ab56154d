"""What an inference engine says of itself, in one vocabulary over all engines."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.vocabulary import buckets, requests

ENGINE: Final = (
    "k8s.namespace.name",
    "k8s.pod.name",
    "service.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "server.address",
    "server.port",
    requests.ROLE,
)

INTER_TOKEN_LATENCY: Final = Metric(
    "watchkeeper.engine.inter_token_latency", Kind.HISTOGRAM, "s",
    "Time between two tokens of a stream as the engine counts it, or between two chunks with content at the tap.",
    (*ENGINE, "watchkeeper.vantage"), buckets.PER_TOKEN,
)  # fmt: skip
QUEUE_TIME: Final = Metric(
    "watchkeeper.engine.request.queue_time", Kind.HISTOGRAM, "s",
    "Time a request waited before it was first scheduled.", ENGINE, buckets.DURATION,
)  # fmt: skip
PREFILL_TIME: Final = Metric(
    "watchkeeper.engine.request.prefill_time", Kind.HISTOGRAM, "s",
    "Time from first scheduling to the first token.", ENGINE, buckets.DURATION,
)  # fmt: skip
DECODE_TIME: Final = Metric(
    "watchkeeper.engine.request.decode_time", Kind.HISTOGRAM, "s",
    "Time from the first token to the last.", ENGINE, buckets.DURATION,
)  # fmt: skip
INFERENCE_TIME: Final = Metric(
    "watchkeeper.engine.request.inference_time", Kind.HISTOGRAM, "s",
    "Prefill and decode together.", ENGINE, buckets.DURATION,
)  # fmt: skip
TOKENS: Final = Metric(
    "watchkeeper.engine.tokens", Kind.COUNTER, "{token}",
    "Tokens as the engine worked them, aborted work included.", (*ENGINE, "gen_ai.token.type"),
)  # fmt: skip
CACHED_TOKENS: Final = Metric(
    "watchkeeper.engine.tokens.cached", Kind.COUNTER, "{token}",
    "Input tokens taken from a cache: device, host, disk, remote, unknown.", (*ENGINE, "cache.source"),
)  # fmt: skip
WORK_TIME: Final = Metric(
    "watchkeeper.engine.work_time", Kind.COUNTER, "s",
    "Seconds spent, where an engine gives only totals: prefill, decode; queue, request (with the queue in it).",
    (*ENGINE, "phase"),
)  # fmt: skip
RUNNING: Final = Metric(
    "watchkeeper.engine.requests.running", Kind.GAUGE, "{request}",
    "Requests in flight: being worked on now.", ENGINE,
)  # fmt: skip
WAITING: Final = Metric(
    "watchkeeper.engine.requests.waiting", Kind.GAUGE, "{request}", "Requests in the engine's queue.", ENGINE,
)  # fmt: skip
RECEIVED: Final = Metric(
    "watchkeeper.engine.requests.received", Kind.COUNTER, "{request}", "Requests that reached the engine.", ENGINE,
)  # fmt: skip
SWAPPED: Final = Metric(
    "watchkeeper.engine.requests.swapped", Kind.GAUGE, "{request}",
    "Requests whose KV cache was moved to the host's memory.", ENGINE,
)  # fmt: skip
FINISHED: Final = Metric(
    "watchkeeper.engine.requests.finished", Kind.COUNTER, "{request}",
    "Requests the engine ended, by reason.", (*ENGINE, "gen_ai.response.finish_reason"),
)  # fmt: skip
FAILED: Final = Metric(
    "watchkeeper.engine.requests.failed", Kind.COUNTER, "{request}",
    "Requests that failed at the engine.", (*ENGINE, "error.type"),
)  # fmt: skip
REJECTED: Final = Metric(
    "watchkeeper.engine.requests.rejected", Kind.COUNTER, "{request}",
    "Requests the engine refused to admit.", (*ENGINE, "reason"),
)  # fmt: skip
KV_CACHE: Final = Metric(
    "watchkeeper.engine.kv_cache.utilization", Kind.GAUGE, "1",
    "Share of the KV cache in use: mean over ranks.", ENGINE,
)  # fmt: skip
KV_CACHE_MAX: Final = Metric(
    "watchkeeper.engine.kv_cache.utilization.max", Kind.GAUGE, "1",
    "Share of the KV cache in use at the fullest rank.", ENGINE,
)  # fmt: skip
KV_CACHE_CAPACITY: Final = Metric(
    "watchkeeper.engine.kv_cache.capacity", Kind.GAUGE, "{token}", "Tokens that fit into the KV cache.", ENGINE,
)  # fmt: skip
PREFIX_QUERIES: Final = Metric(
    "watchkeeper.engine.prefix_cache.queries", Kind.COUNTER, "1",
    "Tokens or blocks (cache.unit) looked up in the prefix cache.", (*ENGINE, "cache.unit", "cache.location"),
)  # fmt: skip
PREFIX_HITS: Final = Metric(
    "watchkeeper.engine.prefix_cache.hits", Kind.COUNTER, "1",
    "Tokens, blocks or requests (cache.unit) found in the prefix cache.", (*ENGINE, "cache.unit", "cache.location"),
)  # fmt: skip
PREFIX_HIT_RATIO: Final = Metric(
    "watchkeeper.engine.prefix_cache.hit_ratio", Kind.GAUGE, "1",
    "Share found in the prefix cache, where an engine gives only the ratio.", ENGINE,
)  # fmt: skip
PREEMPTIONS: Final = Metric(
    "watchkeeper.engine.preemptions", Kind.COUNTER, "{preemption}",
    "Requests pushed out of the running batch.", ENGINE,
)  # fmt: skip
DRAFTS: Final = Metric(
    "watchkeeper.engine.spec_decode.drafts", Kind.COUNTER, "{draft}", "Speculative drafts.", ENGINE,
)  # fmt: skip
DRAFT_TOKENS: Final = Metric(
    "watchkeeper.engine.spec_decode.draft_tokens", Kind.COUNTER, "{token}", "Tokens drafted.", ENGINE,
)  # fmt: skip
ACCEPTED_TOKENS: Final = Metric(
    "watchkeeper.engine.spec_decode.accepted_tokens", Kind.COUNTER, "{token}", "Drafted tokens accepted.", ENGINE,
)  # fmt: skip
ACCEPT_LENGTH: Final = Metric(
    "watchkeeper.engine.spec_decode.accept_length", Kind.GAUGE, "{token}",
    "Tokens a speculative step brings, its own included: mean over the engine's last steps.", ENGINE,
)  # fmt: skip
ACCEPT_RATIO: Final = Metric(
    "watchkeeper.engine.spec_decode.accept_ratio", Kind.GAUGE, "1",
    "Share of drafted tokens accepted: mean over the engine's last steps.", ENGINE,
)  # fmt: skip
ENGINE_UP: Final = Metric(
    "watchkeeper.engine.up", Kind.GAUGE, "",
    "1 when the engine's page was read and understood at the last try, or while its pushes come, else 0.", ENGINE,
)  # fmt: skip
ENGINE_FAULT: Final = Metric(
    "watchkeeper.engine.fault", Kind.GAUGE, "",
    "1 while the engine's page cannot be used for this reason, 0 when that is over.", (*ENGINE, "reason"),
)  # fmt: skip
SCRAPE_DURATION: Final = Metric(
    "watchkeeper.engine.scrape.duration", Kind.GAUGE, "s",
    "How long the last read of the engine's page took.", ENGINE,
)  # fmt: skip
SCRAPE_CPU: Final = Metric(
    "watchkeeper.engine.scrape.cpu_time", Kind.COUNTER, "s",
    "Processor time spent on parsing and mapping the engine's page.", ENGINE,
)  # fmt: skip
UNMAPPED: Final = Metric(
    "watchkeeper.engine.series.unmapped", Kind.GAUGE, "{series}",
    "Series of the engine's page that no table row maps.", ENGINE,
)  # fmt: skip
RESETS: Final = Metric(
    "watchkeeper.engine.resets", Kind.COUNTER, "{reset}", "Restarts of the engine seen in its counters.", ENGINE,
)  # fmt: skip

METRICS: Final = (
    INTER_TOKEN_LATENCY, QUEUE_TIME, PREFILL_TIME, DECODE_TIME, INFERENCE_TIME, TOKENS, CACHED_TOKENS, WORK_TIME,
    RUNNING, WAITING, SWAPPED, RECEIVED, FINISHED, FAILED, REJECTED, KV_CACHE, KV_CACHE_MAX, KV_CACHE_CAPACITY,
    PREFIX_QUERIES, PREFIX_HITS, PREFIX_HIT_RATIO, PREEMPTIONS, DRAFTS, DRAFT_TOKENS, ACCEPTED_TOKENS, ACCEPT_LENGTH,
    ACCEPT_RATIO, ENGINE_UP, ENGINE_FAULT, SCRAPE_DURATION, SCRAPE_CPU, UNMAPPED, RESETS,
)  # fmt: skip
