"""
Hugging Face's Text Generation Inference, 2 and 3.

Its series have no labels for the model. What it could only be asked for as an estimate is left out: see `lacks`.
https://huggingface.co/docs/text-generation-inference/reference/metrics
"""

from typing import Final

from collector._pages.labels import Label, words
from collector.engines.table import From, Question, Row, Table, at, starts_with, sum_of
from watchkeeper.core.records import Labels, Vantage
from watchkeeper.core.vocabulary import engines, requests

_PAGE: Final[Labels] = ((requests.VANTAGE, Vantage.PAGE.value),)
_INPUT: Final[Labels] = ((requests.TOKEN_TYPE, "input"),)
_OUTPUT: Final[Labels] = ((requests.TOKEN_TYPE, "output"),)
_ERRORS: Final = {
    word: word for word in ("overloaded", "validation", "generation", "incomplete", "dropped", "template")
}
_BACKEND: Final = "not with TGI's TensorRT-LLM and llama.cpp backends"
_SUM: Final = "sum of the histogram"

ROWS: Final = (
    Row(requests.SERVER_DURATION, (From("tgi_request_duration"),), _PAGE),  # successes only
    Row(engines.QUEUE_TIME, (From("tgi_request_queue_duration"),)),
    Row(engines.INFERENCE_TIME, (From("tgi_request_inference_duration"),)),
    Row(engines.TOKENS, (From("tgi_request_input_length", value=sum_of, note=_SUM),), _INPUT),
    Row(engines.TOKENS, (From("tgi_request_generated_tokens", value=sum_of, note=_SUM),), _OUTPUT),
    Row(requests.CLIENT_TOKEN_USAGE, (From("tgi_request_input_length"),), (*_PAGE, *_INPUT)),
    Row(requests.CLIENT_TOKEN_USAGE, (From("tgi_request_generated_tokens"),), (*_PAGE, *_OUTPUT)),
    Row(engines.RUNNING, (From("tgi_batch_current_size"),), hint=_BACKEND),
    Row(engines.WAITING, (From("tgi_queue_size"),), hint=_BACKEND),
    Row(engines.ACCEPTED_TOKENS, (From("tgi_request_skipped_tokens", value=sum_of, note="sum of the summary"),)),
    Row(engines.RECEIVED, (From("tgi_request_count"),)),
    Row(
        engines.FINISHED,
        (From("tgi_request_success"),),
        (("gen_ai.response.finish_reason", "unknown"),),
    ),
    Row(
        engines.FAILED,
        (From("tgi_request_failure", (Label("err", "error.type", words(_ERRORS, "_OTHER")),)),),
        hint="once a request has failed",
    ),
)


TABLE: Final = Table(
    name="tgi",
    title="TGI",
    matches=starts_with("tgi_"),
    rows=ROWS,
    switch_on="it is on by default, on the port of the API",
    model=(Question("/info", at("model_id")),),
    version=(Question("/info", at("version")),),
    lacks=(
        "time to first token, inter-token latency and time per output token: its times are of whole batches, or have "
        "the prefill in them; send watchkeeper the application's OpenTelemetry, which has them",
        "the KV cache's use: only the tokens it reserves for the running batch",
        "finish reasons: they are in its answers alone",
    ),
    port=3000,
)
