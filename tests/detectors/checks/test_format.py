import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

SCHEMA = '{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}'


@pytest.mark.parametrize(
    ("answer", "schema", "hits"),
    [
        ('{"a": 1}', "{}", {}),
        ('{"a": 1}', SCHEMA, {}),
        ('{"b": 1}', SCHEMA, {"schema": 1}),
        ("Here: {}", "{}", {"not_json": 1}),
        ('{"a": 1', SCHEMA, {"not_json": 1}),
        ('```json\n{"a": 1}\n```', SCHEMA, {"fenced": 1}),
        ('```json\n{"a": "x"}\n```', SCHEMA, {"fenced": 1, "schema": 1}),
        ('{"a": 1}', '{"type": 5}', {"schema_unusable": 1}),
        ('{"a": 1}', '{"$ref": "http://127.0.0.1:9/schema.json"}', {"schema_unusable": 1}),
        ('{"名": "值"}', "{}", {}),
    ],
)
def test_an_answer_against_what_was_asked_for(look, answer: str, schema: str, hits: dict[str, int]) -> None:
    assert look("format", answer, text={"schema": schema}) == {"format": hits}


def test_json_that_nobody_asked_for_is_still_whole_or_not(look) -> None:
    assert look("format", '[{"a": 1}]') == {"format": {}}
    assert look("format", '[{"a": 1]') == {"format": {"not_json": 1}}
    assert look("format", "Prose.") == {}


def test_an_answer_cut_by_its_limit_is_not_judged(look) -> None:
    assert look("format", '{"a"', text={"schema": SCHEMA}, finish_reasons=("length",)) == {}


def test_reasoning_before_the_document_does_not_spoil_it(look) -> None:
    assert look("format", '<think>hm</think>\n{"a": 1}', text={"schema": SCHEMA}) == {"format": {}}


def test_a_reference_in_a_schema_is_never_fetched(look) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    schema = f'{{"$ref": "http://127.0.0.1:{server.server_address[1]}/schema.json"}}'

    said = look("format", "{}", text={"schema": schema})
    server.shutdown()
    server.server_close()

    assert (said, asked) == ({"format": {"schema_unusable": 1}}, [])
