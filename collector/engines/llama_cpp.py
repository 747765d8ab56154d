"""
llama.cpp's llama-server.

Its header Process-Start-Time-Unix holds microseconds of the machine's uptime, not unix seconds: it tells a restart,
not the time of it. https://github.com/ggml-org/llama.cpp/tree/master/tools/server
"""

from pathlib import PurePath
from typing import Final

from collector._pages.labels import Fold
from collector.engines.table import From, Question, Row, Table, at, starts_with
from watchkeeper.core.records import Labels
from watchkeeper.core.vocabulary import engines, requests

_INPUT: Final[Labels] = ((requests.TOKEN_TYPE, "input"),)
_OUTPUT: Final[Labels] = ((requests.TOKEN_TYPE, "output"),)
_KV_CACHE: Final = (From("llamacpp:kv_cache_usage_ratio"),)
_KV_HINT: Final = "only in builds before mid 2025"
_SPECULATIVE: Final = "only in builds of 2026 and newer"

ROWS: Final = (
    Row(engines.TOKENS, (From("llamacpp:prompt_tokens_total"),), _INPUT),  # evaluated ones; cached ones are apart
    Row(engines.TOKENS, (From("llamacpp:tokens_predicted_total"),), _OUTPUT),
    Row(
        engines.CACHED_TOKENS,
        (From("llamacpp:prompt_tokens_cached_total", constants=(("cache.source", "unknown"),)),),
        hint="only in builds of late 2026 and newer",
    ),
    Row(engines.WORK_TIME, (From("llamacpp:prompt_seconds_total"),), (("phase", "prefill"),)),
    Row(engines.WORK_TIME, (From("llamacpp:tokens_predicted_seconds_total"),), (("phase", "decode"),)),
    Row(engines.RUNNING, (From("llamacpp:requests_processing"),)),
    Row(engines.WAITING, (From("llamacpp:requests_deferred"),)),
    Row(engines.KV_CACHE, _KV_CACHE, fold=Fold.MEAN, hint=_KV_HINT),
    Row(engines.KV_CACHE_MAX, _KV_CACHE, fold=Fold.MAX, hint=_KV_HINT),
    Row(engines.DRAFTS, (From("llamacpp:spec_decode_num_drafts_total"),), hint=_SPECULATIVE),
    Row(engines.DRAFT_TOKENS, (From("llamacpp:spec_decode_num_draft_tokens_total"),), hint=_SPECULATIVE),
    Row(engines.ACCEPTED_TOKENS, (From("llamacpp:spec_decode_num_accepted_tokens_total"),), hint=_SPECULATIVE),
)


def _from_props(answer: object) -> str:
    """The alias where one is set, else the file's name: an unset alias repeats the whole path."""
    if not isinstance(answer, dict):
        return ""
    path, alias = str(answer.get("model_path", "")), str(answer.get("model_alias", ""))
    return alias if alias and alias != path else PurePath(path).name


def _from_models(answer: object) -> str:
    if not isinstance(answer, dict):
        return ""
    name = str(answer["data"][0]["id"])
    return PurePath(name).name if name.endswith(".gguf") else name


TABLE: Final = Table(
    name="llama_cpp",
    title="llama.cpp",
    matches=starts_with("llamacpp_"),
    rows=ROWS,
    switch_on="start llama-server with --metrics",
    off_mark=b"--metrics",
    model=(Question("/props", _from_props), Question("/v1/models", _from_models)),
    version=(Question("/props", at("build_info")),),
    lacks=(
        "time to first token, request duration and errors: put the tap in front of it, or send watchkeeper the "
        "application's OpenTelemetry",
        "queue time and finish reasons",
    ),
    port=8080,
    on_by_default=False,
)
