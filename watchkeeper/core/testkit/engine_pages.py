"""Answers of a fake engine, and how to read what a source made of them."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Reading

Respond = Callable[[BaseHTTPRequestHandler], None]


def vllm_page(tokens: float = 10, running: float = 2, created: float | None = None) -> str:
    start = "" if created is None else f'vllm:prompt_tokens_created{{model_name="m"}} {created}\n'
    return (
        "# TYPE vllm:prompt_tokens_total counter\n"
        f'vllm:prompt_tokens_total{{model_name="m"}} {tokens}\n{start}'
        "# TYPE vllm:num_requests_running gauge\n"
        f'vllm:num_requests_running{{model_name="m"}} {running}\n'
    )


def llama_page(tokens: float = 10) -> str:
    return f"# TYPE llamacpp:prompt_tokens_total counter\nllamacpp:prompt_tokens_total {tokens}\n"


def status(code: int, body: str = "", **headers: str) -> Respond:
    """An answer to every path. Header names have `_` for `-`."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        data = body.encode()
        handler.send_response(code)
        for name, text in headers.items():
            handler.send_header(name.replace("_", "-"), text)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return respond


def by_path(known: dict[str, Respond]) -> Respond:
    """An answer for each path, 404 for any other."""
    return lambda handler: known.get(handler.path, status(404))(handler)


def value(reading: Reading, metric: Metric, **labels: str) -> float | None:
    """Sum over the samples of `metric` with these labels (`_` for `.`); None when there is none."""
    found = [
        sample.value
        for sample in reading.samples
        if sample.metric == metric
        and labels.items() <= {name.replace(".", "_"): text for name, text in sample.labels}.items()
    ]
    return sum(number for number in found if isinstance(number, float | int)) if found else None


def pages(ledger: Ledger, now: float) -> dict[str, float]:
    """Pages received and accepted, and rejected by reason."""
    counts: dict[str, float] = {}
    for sample in ledger.drain(now):
        labels = dict(sample.labels)
        if labels.get("signal") == "pages" and isinstance(sample.value, float):
            counts[labels.get("reason", sample.metric.name.rpartition(".")[2])] = sample.value
    return counts
