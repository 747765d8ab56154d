"""Against a real HTTP server on a free port."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from detectors.checks.classifier import PLUGIN, Classifier, ClassifierConfig, MalformedError, request_body, verdict
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Completion, Flag, Text
from watchkeeper.core.vocabulary import outputs

CALL = Completion(at=5.0, service="shop", text=Text("How do I?", "Like this."))
FLAGGED = {"results": [{"flagged": True, "categories": {"violence": True, "hate": False, "unheard/of": True}}]}


class Guard:
    """Answers as told, and keeps what it was sent. `gate` holds its answers back."""

    def __init__(self) -> None:
        self.status = 200
        self.answer: Any = FLAGGED
        self.gate = threading.Event()
        self.gate.set()
        self.saw: list[tuple[str, str, Any]] = []
        guard = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                guard.saw.append((self.path, self.headers.get("Authorization", ""), json.loads(body)))
                guard.gate.wait(20)
                raw = guard.answer if isinstance(guard.answer, bytes) else json.dumps(guard.answer).encode()
                self.send_response(guard.status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1/judge?a=b"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def guard() -> Iterator[Guard]:
    guard = Guard()
    yield guard
    guard.gate.set()
    guard.server.shutdown()
    guard.server.server_close()


def start(url: str, **settings: Any) -> tuple[Classifier, Ledger]:
    ledger = Ledger()
    config = ClassifierConfig(enabled=True, url=url, share=1.0, **settings)
    classifier = PLUGIN.build(config, ledger)
    assert isinstance(classifier, Classifier)
    return classifier, ledger


def until(condition: Any) -> Any:
    end = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)
    return found


def dropped(ledger: Ledger) -> dict[str, float]:
    found: dict[str, float] = {}
    for sample in ledger.drain(0.0):
        if sample.metric == outputs.DROPPED and isinstance(sample.value, float) and sample.value:
            found[dict(sample.labels)["reason"]] = sample.value
    return found


def test_a_verdict_comes_later_with_its_call_and_without_its_text(guard: Guard) -> None:
    classifier, _ = start(guard.url, key="k", model="m")

    assert classifier.score(Prepared(CALL)) == ()
    ((completion, scores),) = until(classifier.due)
    classifier.close()

    assert (completion.service, completion.at, completion.text) == ("shop", 5.0, None)
    assert scores == (Flag("classifier", (("violence", 1), ("other", 1))),)
    assert guard.saw == [("/v1/judge?a=b", "Bearer k", {"model": "m", "input": "Like this."})]


def test_a_key_in_a_file_is_read_for_each_question(guard: Guard, tmp_path: Path) -> None:
    file = tmp_path / "key"
    for key in ("first", "second"):
        file.write_text(f"{key}\n")
        classifier, _ = start(guard.url, key="k", key_file=str(file))
        classifier.score(Prepared(CALL))
        until(classifier.due)
        classifier.close()

    assert [authorization for _, authorization, _ in guard.saw] == ["Bearer first", "Bearer second"]


def test_a_key_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    config = ClassifierConfig(enabled=True, url="http://guard/v1", key_file=str(tmp_path / "key"))

    assert PLUGIN.problems(config) == (
        f"checks.classifier.key_file: '{tmp_path / 'key'}' cannot be read; give a file with the token",
    )


def test_what_does_not_fit_into_the_queue_is_dropped_and_counted(guard: Guard) -> None:
    guard.gate.clear()
    classifier, ledger = start(guard.url, max_queue=2)
    classifier.score(Prepared(CALL))
    until(lambda: guard.saw)

    for _ in range(5):
        classifier.score(Prepared(CALL))

    assert dropped(ledger) == {"full": 3}
    guard.gate.set()
    classifier.close()


def test_one_that_is_too_slow_is_given_up_and_the_next_is_asked(guard: Guard) -> None:
    guard.gate.clear()
    classifier, ledger = start(guard.url, timeout_seconds=0.2)

    classifier.score(Prepared(CALL))

    assert until(lambda: dropped(ledger)) == {"timed_out": 1}
    guard.gate.set()

    def asked_once_more() -> Any:
        classifier.score(Prepared(CALL))
        return classifier.due()

    assert until(asked_once_more)  # one of them: 0.2 s may be too short again
    classifier.close()


@pytest.mark.parametrize(
    ("status", "answer", "reason"),
    [(500, {}, "refused"), (200, b"not json", "malformed"), (200, {"results": []}, "malformed"), (302, {}, "refused")],
)
def test_an_answer_that_is_no_verdict_is_counted_by_reason(
    guard: Guard, status: int, answer: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    guard.status, guard.answer = status, answer
    classifier, ledger = start(guard.url)

    classifier.score(Prepared(CALL))

    assert until(lambda: dropped(ledger)) == {reason: 1}
    until(lambda: caplog.records)
    classifier.close()
    assert "checks.classifier.url" in caplog.text
    assert "Like this" not in caplog.text


def test_nobody_there_is_counted() -> None:
    classifier, ledger = start("http://127.0.0.1:9/v1/moderations")

    classifier.score(Prepared(CALL))

    assert until(lambda: dropped(ledger)) == {"failed": 1}
    classifier.close()


def test_a_dialogue_is_sent_to_a_model_that_reads_dialogues() -> None:
    config = ClassifierConfig(dialect="chat", model="guard", max_characters=100)

    body = json.loads(request_body(config, "x" * 200, "y" * 200))

    assert body["messages"] == [{"role": "user", "content": "x" * 100}, {"role": "assistant", "content": "y" * 100}]


@pytest.mark.parametrize(
    ("said", "hits"),
    [("safe", ()), ("\n\nsafe", ()), ("unsafe\nS1,S10", (("S1", 1), ("S10", 1))), ("unsafe", (("other", 1),)),
     ("unsafe\nS99", (("other", 1),))],
)  # fmt: skip
def test_what_a_guard_model_says(said: str, hits: tuple[tuple[str, int], ...]) -> None:
    answer = json.dumps({"choices": [{"message": {"content": said}}]}).encode()

    assert verdict("chat", answer) == hits


@pytest.mark.parametrize("answer", [b"", b"[]", b"3", b'{"choices":[{"message":{"content":"I cannot say"}}]}', b"\xff"])
def test_what_is_no_verdict_is_malformed(answer: bytes) -> None:
    with pytest.raises(MalformedError):
        verdict("chat", answer)


@pytest.mark.parametrize("url", ["", "guard:8000", "ftp://guard/x", "http://", "http://guard:0/x", "http://guard:x/"])
def test_an_address_that_is_none_is_said_before_anything_starts(url: str) -> None:
    (problem,) = PLUGIN.problems(ClassifierConfig(enabled=True, url=url))

    assert problem.startswith("checks.classifier.url: ")
