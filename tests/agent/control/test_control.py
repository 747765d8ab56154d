"""The control API as its clients see it: over a real socket, on a real store and a real folder of references."""

import http.client
import json
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest
from openapi_spec_validator import validate

from detectors.drift import packs
from detectors.drift.kinds import Kind
from exporters.store import StoreConfig, audit, database
from exporters.store.writer import Store
from watchkeeper.agent.control import ControlConfig, problems
from watchkeeper.agent.control.handlers import Handlers
from watchkeeper.agent.control.operations import OPERATIONS, Health, Operation
from watchkeeper.agent.control.server import ControlServer
from watchkeeper.agent.control.tokens import load
from watchkeeper.agent.references import journal
from watchkeeper.agent.references import store as folder_of_references
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Finding, Severity
from watchkeeper.core.tokens import Admission, Tokens

TOKEN = "0123456789abcdef-ann"  # noqa: S105
AT = 1_790_000_000.0


def admission(tokens: Mapping[str, str]) -> Admission:
    return Admission((), lambda: Tokens(tokens), "control", Ledger(), basic=False)


class Served:
    """A control API, and a client of it."""

    def __init__(self, tmp_path: Path, tokens: Mapping[str, str] = {"ann": TOKEN}, **settings):
        self.folder = tmp_path / "references"
        self.store = StoreConfig(enabled=True, state_folder=str(tmp_path))
        self.config = ControlConfig(enabled=True, port=0, **{"request_seconds": 200} | settings)
        handlers = Handlers(self.store, self.folder, "run", 30.0)
        self.server = ControlServer(self.config, admission(tokens), handlers.of, clock=lambda: AT)
        self.server.start()

    def call(self, method, path, body=None, token=None, headers=None):
        """Status, content type and what was answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=200)
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        sent |= {"Content-Type": "application/json"} if body is not None else {}
        data = json.dumps(body) if isinstance(body, dict) else body
        with suppress(ConnectionError):  # a body too large is answered before it is all sent
            connection.request(method, path, data, sent | (headers or {}))
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, answer.headers.get_content_type(), json.loads(data)

    def get(self, path, **fields):
        status, _, said = self.call("GET", path, **fields)
        assert status == 200, said
        return said

    def post(self, path, body, **fields):
        return self.call("POST", path, body, TOKEN, **fields)

    def audited(self):
        with database.reading(database.connect(self.store)) as connection:
            assert audit.verify(connection, "default").problem == ""
            return [(one.who, one.action) for one in audit.entries(connection, "default")]


@pytest.fixture
def served(tmp_path):
    """With two findings, the older of them `lag`, the newer `slow`."""
    store = Store(StoreConfig(enabled=True, state_folder=str(tmp_path)), Ledger())
    for number, name in enumerate(("lag", "slow")):
        found = Finding(
            at=AT + number, since=AT, severity=Severity.WARNING, subject=name, name=name, summary=f"{name} it is"
        )
        store.write(Batch(AT, findings=(found,)))
    store.close()
    one = Served(tmp_path)
    yield one
    one.server.stop()


def test_findings_are_listed_by_what_is_asked_for(served):
    assert [one["name"] for one in served.get("/v1/findings")["findings"]] == ["slow", "lag"]
    assert [one["name"] for one in served.get("/v1/findings?name=lag&standing=open")["findings"]] == ["lag"]
    assert [one["name"] for one in served.get(f"/v1/findings?since={AT + 1}")["findings"]] == ["slow"]


def test_a_finding_is_acknowledged_confirmed_commented_and_closed_and_all_is_audited_with_who(served):
    identity = served.get("/v1/findings?name=lag")["findings"][0]["id"]
    path = f"/v1/findings/{identity}"

    acknowledged = served.post(f"{path}/acknowledge", {"comment": "mine"})
    served.post(f"{path}/cause", {"cause": "release 7", "by": "bob"})
    served.post(f"{path}/comments", {"comment": "rolling back"})
    closed = served.post(f"{path}/close", {})

    assert (acknowledged[0], acknowledged[2]["standing"], acknowledged[2]["acknowledged_by"]) == (
        200,
        "acknowledged",
        "ann",
    )
    assert (closed[2]["standing"], closed[2]["cause"], closed[2]["cause_by"]) == ("closed", "release 7", "bob (ann)")
    assert served.get(path) == closed[2]
    assert served.audited()[-4:] == [
        ("ann", "finding acknowledged"),
        ("bob (ann)", "finding cause confirmed"),
        ("ann", "finding commented"),
        ("ann", "finding closed"),
    ]


def test_what_cannot_be_done_is_told_as_a_problem_and_leaves_no_trace(served):
    identity = served.get("/v1/findings")["findings"][0]["id"]
    served.post(f"/v1/findings/{identity}/close", {})
    before = served.audited()

    again = served.post(f"/v1/findings/{identity}/close", {})
    unknown = served.post("/v1/findings/none/close", {})

    assert (again[0], again[1], again[2]["detail"]) == (409, "application/problem+json", "closed by ann already")
    assert (unknown[0], unknown[2]["title"]) == (404, "Not Found")
    assert served.audited() == before


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/v1/nothing", None, {}, 404),
        ("GET", "/v1/findings?limit=many", None, {}, 400),
        ("GET", "/v1/findings?standing=lost", None, {}, 400),
        ("GET", "/v1/findings?colour=red", None, {}, 400),
        ("DELETE", "/v1/findings", None, {}, 405),
        ("POST", "/v1/findings/x/close", "{", {}, 400),
        ("POST", "/v1/findings/x/close", '{"by": 3}', {}, 400),
        ("POST", "/v1/findings/x/close", '{"colour": "red"}', {}, 400),
        ("POST", "/v1/findings/x/close", '{"by": "\\ud800"}', {}, 400),
        ("POST", "/v1/findings/x/close", "{}", {"Content-Type": "text/plain"}, 415),
        ("POST", "/v1/findings/x/close", "{}", {"Content-Encoding": "gzip"}, 415),
        ("POST", "/v1/findings/x/comments", '{"comment": ""}', {}, 400),
        ("POST", "/v1/findings/x/comments", json.dumps({"comment": "x" * 70_000}), {}, 413),
    ],
)
def test_a_request_that_is_none_gets_a_problem_with_its_status(served, method, path, body, headers, status):
    said, content_type, problem = served.call(method, path, body, TOKEN, headers)

    assert (said, problem["status"], content_type) == (status, status, "application/problem+json")


def test_without_a_token_everything_can_be_read_and_nothing_written(served):
    identity = served.get("/v1/findings")["findings"][0]["id"]

    for path, body in ((f"/v1/findings/{identity}/close", {}), ("/v1/references/x/approve", {"why": "good"})):
        assert served.call("POST", path, body)[0] == 401
        assert served.call("POST", path, body, "0123456789abcdef-eve")[0] == 401
    assert served.get(f"/v1/findings/{identity}")["standing"] == "open"


def test_where_no_token_is_configured_nothing_can_be_written_by_anybody(tmp_path):
    Store(StoreConfig(enabled=True, state_folder=str(tmp_path)), Ledger()).close()
    served = Served(tmp_path, {})

    assert served.call("POST", "/v1/findings/x/close", {})[0] == 403
    assert served.call("POST", "/v1/findings/x/close", {}, TOKEN)[0] == 401
    assert served.get("/v1/findings") == {"findings": []}
    served.server.stop()


def test_who_comes_by_another_name_needs_a_token_as_a_page_elsewhere_could_have_sent_them(served):
    rebound = {"Host": "evil.example:9465"}

    assert served.call("GET", "/v1/findings", headers=rebound)[0] == 403
    assert served.call("GET", "/v1/findings", token=TOKEN, headers=rebound)[0] == 200
    assert served.call("GET", "/v1/findings", headers={"Host": "[::1]:9465"})[0] == 200


def test_from_elsewhere_nothing_is_read_without_a_token(tmp_path):
    Store(StoreConfig(enabled=True, state_folder=str(tmp_path)), Ledger()).close()
    served = Served(tmp_path, host="0.0.0.0")

    assert served.call("GET", "/v1/findings")[0] == 401
    assert served.call("GET", "/openapi.json")[0] == 401
    assert served.call("GET", "/v1/findings", token=TOKEN)[0] == 200
    served.server.stop()


def test_a_unix_socket_is_its_owners_alone_and_outlives_a_crash(tmp_path):
    Store(StoreConfig(enabled=True, state_folder=str(tmp_path)), Ledger()).close()
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    served = Served(tmp_path, socket=str(path))

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        said = client.makefile("rb").read()
    with pytest.raises(ConfigError, match="use"):
        Served(tmp_path, socket=str(path))
    served.server.stop()

    assert said.startswith(b"HTTP/1.1 200 OK")
    assert path.exists() is False


def test_a_unix_socket_is_made_for_its_owner_alone(tmp_path):
    served = Served(tmp_path, socket=str(tmp_path / "control.sock"))

    assert (tmp_path / "control.sock").stat().st_mode & 0o777 == 0o600
    served.server.stop()


def test_references_are_listed_approved_and_retired_with_journal_and_audit_log(served):
    values = np.random.default_rng(1).normal(size=500)
    pack = packs.build("input_tokens", Kind.NUMBER, values, made_at=AT - 60, segment="shop/chat/qwen")
    with folder_of_references.writing(served.folder):
        folder_of_references.put(served.folder, pack)

    [listed] = served.get("/v1/references?state=proposed")["references"]
    refused = served.post(f"/v1/references/{pack.id}/approve", {})
    approved = served.post(f"/v1/references/{pack.id}/approve", {"why": "a good week"})
    again = served.post(f"/v1/references/{pack.id}/approve", {"why": "a good week"})
    retired = served.post(f"/v1/references/{pack.id}/retire", {"why": "new model"})

    assert (listed["id"], listed["approved_at"]) == (pack.id, None)
    assert (refused[0], again[0]) == (400, 409)
    assert (approved[2]["state"], approved[2]["approved_by"], approved[2]["why"]) == ("approved", "ann", "a good week")
    assert retired[2]["state"] == "retired"
    assert [(one.deed.value, one.by) for one in journal.read(served.folder).events] == [
        ("approved", "ann"),
        ("retired", "ann"),
    ]
    assert served.audited()[-2:] == [("ann", "reference approved"), ("ann", "reference retired")]
    assert served.post("/v1/references/none/retire", {"why": "x"})[0] == 404


def test_a_log_that_was_edited_by_hand_is_told(served):
    assert served.get("/v1/audit/verification")["problem"] == ""
    with database.writing(database.connect(served.store)) as connection:
        connection.exec_driver_sql("UPDATE audit SET who = 'eve' WHERE number = 2")

    said = served.get("/v1/audit/verification")
    assert (said["broken_number"], said["problem"]) == (2, "entry 2 was changed after it was written")
    assert [one["number"] for one in served.get("/v1/audit?after=1")["entries"]] == [2]


def test_the_record_of_a_period_is_made_for_who_asks_and_one_that_is_none_is_refused(served):
    path = "/v1/reports/governance?period="
    whole = served.get(f"{path}2026-09")
    assert [one["name"] for one in whole["incidents"]] == ["lag", "slow"]
    assert served.get(f"{path}2026-08")["incidents"] == []
    for period in ("march", "2999-01"):
        status, _, problem = served.call("GET", path + period)
        assert (status, problem["detail"].partition(": ")[0]) == (400, "query")
        assert period not in problem["detail"]


def test_with_the_store_away_a_request_is_refused_and_may_come_again(served, tmp_path):
    database_file = tmp_path / "watchkeeper.db"
    database_file.rename(tmp_path / "elsewhere.db")
    (tmp_path / "watchkeeper.db-wal").unlink(missing_ok=True)
    database_file.mkdir()

    assert served.call("GET", "/v1/findings")[0] == 503
    assert served.post("/v1/findings/x/close", {})[0] == 503
    assert served.get("/v1/health")["store"] != "ok"


def test_the_description_is_openapi_and_tells_every_operation(served):
    told = served.get("/openapi.json")

    validate(told)
    assert {(method.upper(), path) for path, methods in told["paths"].items() for method in methods} == {
        (one.method, one.path) for one in OPERATIONS
    }
    limit = [one for one in told["paths"]["/v1/findings"]["get"]["parameters"] if one["name"] == "limit"]
    assert limit[0]["schema"]["maximum"] == 1000


def test_an_operation_that_takes_too_long_is_given_up_and_the_others_go_on(tmp_path):
    release = threading.Event()

    def slow(call):
        if call.item == "slow":
            release.wait(300)
        return Health("", "", "", 0.0, "ok")

    operations = (Operation("slow", "GET", "/v1/{id}", "Slow.", Health),)
    server = ControlServer(
        ControlConfig(port=0, request_seconds=1.0), admission({}), lambda _: slow, operations, clock=lambda: AT
    )
    server.start()

    def status(path):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=200)
        connection.request("GET", path)
        return connection.getresponse().status

    try:
        assert status("/v1/slow") == 503
        assert 200 in (status("/v1/quick") for _ in range(30))  # a second is short for a machine that stands still
    finally:
        release.set()
        server.stop()


def test_a_body_that_does_not_come_to_its_end_is_given_up(tmp_path):
    Store(StoreConfig(enabled=True, state_folder=str(tmp_path)), Ledger()).close()
    served = Served(tmp_path, request_seconds=1.0)
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=200) as client:
        head = f"POST /v1/findings/x/close HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        client.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        said = client.recv(4096)
    served.server.stop()

    assert b" 503 " in said.splitlines()[0]


def test_a_fault_of_ours_tells_the_peer_nothing_of_its_words(tmp_path, caplog):
    def broken(_):
        raise KeyError("what somebody wrote")

    server = ControlServer(
        ControlConfig(port=0), admission({}), lambda _: broken, (Operation("broken", "GET", "/v1/x", "X.", Health),)
    )
    server.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=200)
    connection.request("GET", "/v1/x")
    answer = connection.getresponse()
    said = answer.read().decode()
    server.stop()

    assert answer.status == 500
    assert "somebody" not in said + caplog.text
    assert "KeyError at" in caplog.text


def test_an_address_that_others_reach_needs_a_token_and_everything_needs_the_store():
    off, on = ControlConfig(), ControlConfig(enabled=True)
    open_ = ControlConfig(enabled=True, host="0.0.0.0")

    assert list(problems(off, has_store=False, has_token=False)) == []
    assert list(problems(on, has_store=True, has_token=False)) == []
    assert "exporters.store.enabled" in next(problems(on, has_store=False, has_token=True))
    assert "no token is set" in next(problems(open_, has_store=True, has_token=False))
    assert list(problems(open_, has_store=True, has_token=True)) == []


def test_tokens_come_from_a_file_with_names_and_from_the_environment(tmp_path):
    file = tmp_path / "tokens"
    file.write_text("# who may write\nann: aaaaaaaaaaaaaaaaaaaa\n\nbob: bbbbbbbbbbbbbbbbbbbb\n")
    config = ControlConfig(token_file=str(file))

    tokens = load(config, {"WATCHKEEPER_CONTROL_TOKEN": "cccccccccccccccccccc"})

    assert [tokens.name_of(letter * 20) for letter in "abcd"] == ["ann", "bob", "operator", None]
    assert tokens.name_of("") is None


@pytest.mark.parametrize("text", ["", "no colon here", "ann: short", "ann: " + "a" * 20 + "\nann: " + "b" * 20])
def test_a_file_of_tokens_that_is_none_is_refused_without_telling_them(tmp_path, text):
    file = tmp_path / "tokens"
    file.write_text(text)

    with pytest.raises(ConfigError) as refused:
        load(ControlConfig(token_file=str(file)), {})

    assert "aaaa" not in str(refused.value)


def test_every_read_answers_what_it_says_it_does(served):
    identity = served.get("/v1/findings")["findings"][0]["id"]
    for one in OPERATIONS:
        if one.method == "GET":
            said = served.get(one.path.replace("{id}", identity))
            assert json.loads(msgspec.json.encode(msgspec.convert(said, one.answer))) == said


def test_ten_at_once_that_close_one_finding_are_one_that_does(served):
    identity = served.get("/v1/findings")["findings"][0]["id"]
    said = []

    def work():
        said.append(served.post(f"/v1/findings/{identity}/close", {})[0])

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(said) == [200] + [409] * 9
    assert served.audited().count(("ann", "finding closed")) == 1
