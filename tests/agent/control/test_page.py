"""The page on the web port beside a real store: who is told what people did about findings."""

import http.client
import re
import socket
import threading
import time
from pathlib import Path

import pytest

from exporters.page.alike import MAX_KINDS
from exporters.page.served import Page
from exporters.store import StoreConfig, database, deeds, queries
from exporters.store.writer import Store
from watchkeeper.agent.control import memory
from watchkeeper.agent.control.memory import FRESH_SECONDS
from watchkeeper.agent.web import WebServer
from watchkeeper.agent.wiring import let_recall
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Finding, Severity
from watchkeeper.core.tokens import Admission, Tokens

TOKEN = "0123456789abcdef-web"  # noqa: S105
HOSTILE = "</bdi></li><script>alert(1)</script>"


def found(name: str, **more) -> Finding:
    now = time.time()
    given = {"at": now, "since": now - 60, "severity": Severity.WARNING, "subject": f"{name} of chat", "name": name}
    return Finding(**given | {"summary": f"{name} it is", "labels": (("service.name", "chat"),)} | more)


class Machine:
    """
    A watchkeeper's page and store in one folder; `restart` forgets what is in memory. The page's clock goes on by more
    than a copy's age at each look, so that none is answered from what was written before.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", tokens: Admission | None = None):
        self.config = StoreConfig(enabled=True, state_folder=str(folder))
        self._host, self._tokens, self._ahead = host, tokens, 0.0
        self.start()

    def start(self):
        self.store = Store(self.config, Ledger())
        self.start_page()

    def start_page(self):
        self.page = Page("", 2.0, clock=lambda: time.time() + self._ahead)
        self.web = WebServer(self._host, 0, self.page.routes(), admission=self._tokens)
        self.web.start()

    def restart(self):
        self.stop()
        self.start()

    def restart_the_page(self):
        """The page alone, with nothing in memory."""
        self.web.stop()
        self.start_page()

    def stop(self):
        self.web.stop()
        self.store.close()

    def find(self, *findings: Finding):
        for part in (self.store, self.page):
            part.write(Batch(time.time(), findings=findings))
        wait(
            lambda: {(one.name, one.summary) for one in self.listed()} >= {(one.name, one.summary) for one in findings}
        )

    def listed(self):
        with database.reading(database.connect(self.config)) as connection:
            return queries.findings(connection, "default", queries.Wanted())

    def did(self, name: str, deed, who="ann", **said):
        identity = next(one.id for one in self.listed() if one.name == name)
        with database.writing(database.connect(self.config)) as connection:
            deed(connection, "default", identity, at=time.time(), who=who, **said)

    def recall(self):
        let_recall([self.page, self.store], self.config)

    def get(self, lang="en", host="127.0.0.1", path="/", **headers):
        self._ahead += 2 * FRESH_SECONDS
        connection = http.client.HTTPConnection(host, self.web.port, timeout=60)
        connection.request("GET", f"{path}?lang={lang}", headers=headers)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return body if answer.status == 200 else str(answer.status)

    def get_with(self, word: str, **how):
        """Once it has this word: the copy is read beside the request."""
        return wait(lambda: body if word in (body := self.get(**how)) else "")


def own_address() -> str:
    """One of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return asking.getsockname()[0]


def wait(ask):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if answer := ask():
            return answer
        time.sleep(0.02)
    raise AssertionError("it did not come")


@pytest.fixture
def machine(tmp_path):
    one = Machine(tmp_path)
    yield one
    one.stop()


def test_who_asks_from_this_machine_sees_who_did_what_about_a_finding(machine):
    machine.find(found("lag"), found("slow"))
    machine.did("lag", deeds.acknowledge, comment="looking at it")
    machine.did("lag", deeds.confirm, cause="release 7", comment="")
    machine.did("lag", deeds.close, comment="rolled back")
    without = machine.get()
    machine.recall()

    body = machine.get_with("looking at it")
    chinese = machine.get("zh")

    assert "acknowledged" not in without
    assert "acknowledged by <b><bdi>ann</bdi></b>" in body
    assert "cause confirmed by <b><bdi>ann</bdi></b>" in body
    assert "<bdi>rolled back</bdi>" in body
    assert body.count("not acknowledged") == 1
    assert "<bdi>ann</bdi></b> 已受理" in chinese


def test_who_asks_from_elsewhere_or_by_another_name_or_through_a_proxy_sees_the_page_without(tmp_path):
    own = own_address()
    machine = Machine(tmp_path, "0.0.0.0")
    try:
        machine.find(found("lag"))
        machine.did("lag", deeds.acknowledge, comment="looking at it")
        machine.recall()
        machine.get_with("looking at it")

        others = [
            machine.get(host=own),
            machine.get(host=own, Host="localhost"),
            machine.get(Host="rebound.example:9464"),
            machine.get(**{"X-Forwarded-For": "203.0.113.9"}),
        ]
    finally:
        machine.stop()

    assert [("lag it is" in body, "looking at it" in body, "ann" in body) for body in others] == [
        (True, False, False)
    ] * 4


def test_behind_a_token_every_reader_with_one_sees_it_and_nobody_else_anything(tmp_path):
    machine = Machine(tmp_path, tokens=Admission((), lambda: Tokens({"web": TOKEN}), "web", Ledger()))
    try:
        machine.find(found("lag"))
        machine.did("lag", deeds.acknowledge, comment="looking at it")
        machine.recall()

        machine.get_with("looking at it", Authorization=f"Bearer {TOKEN}", Host="watch.example")
        assert machine.get() == "401"
    finally:
        machine.stop()


def test_a_hostile_comment_and_name_are_text(machine):
    machine.find(found("lag"))
    machine.did("lag", deeds.comment, who=HOSTILE, comment=HOSTILE + "x" * 500)
    machine.recall()

    body = machine.get_with("comment of")

    assert "<script>alert" not in body
    assert body.count("&lt;script&gt;alert(1)") >= 2


def test_an_open_finding_from_before_a_restart_is_listed_with_its_life_until_it_is_raised_again(machine):
    machine.find(found("lag"), found("slow"), found("old"), found("over"))
    machine.did("lag", deeds.acknowledge, comment="looking at it")
    machine.did("old", deeds.close, comment="")
    machine.find(found("over", at=time.time() + 1, resolved=True))
    machine.restart()
    machine.recall()

    before = machine.get_with('id="before"')
    machine.find(found("lag", summary="lag again"))
    again, _, rest = machine.get_with("lag again").partition('id="before"')

    listed = before.partition('id="before"')[2]
    assert [name in listed for name in ("lag it is", "slow it is", "old it is", "over it is")] == [
        True, True, False, False
    ]  # fmt: skip
    assert listed.index("slow it is") < listed.index("lag it is")
    assert "looking at it" in listed
    assert "lag again" in again
    assert "looking at it" in again
    assert "lag" not in rest


def test_of_many_open_findings_from_before_the_newest_are_listed_and_the_rest_counted(machine):
    machine.find(*(found(f"n{number}", at=time.time() + number) for number in range(MAX_KINDS + 3)))
    machine.restart()
    machine.recall()

    listed = machine.get_with('id="before"').partition('id="before"')[2]

    assert [f"n{number} it is" in listed for number in (MAX_KINDS + 2, 3, 2)] == [True, True, False]
    assert "and 3 more" in listed


def test_findings_of_a_kind_are_told_together_before_the_start_and_after_it_each_with_its_id(machine):
    def of(*models: str) -> list[Finding]:
        return [found("lag", subject=f"lag of {model}", labels=(("gen_ai.request.model", model),)) for model in models]

    machine.find(*of("a", "b", "c"))
    machine.restart()
    machine.recall()
    machine.get_with('id="before"')
    machine.find(*of("d", "e", "f"))
    ids = re.compile(r'<code class="id">([^<]+)</code>')
    page = wait(lambda: body if len(set(ids.findall(body := machine.get()))) == 6 else "")

    kinds = re.findall(r'<details id="(k\w+)"', page)
    assert (len(kinds), len(set(kinds))) == (2, 2)
    assert page.count("<article") == 2


def test_while_the_store_is_away_the_page_says_so_with_what_it_knew_and_later_has_it_again(machine, tmp_path):
    database_file = tmp_path / "watchkeeper.db"
    machine.find(found("lag"))
    machine.recall()
    machine.get_with("not acknowledged")
    database_file.rename(tmp_path / "away.db")

    away = machine.get_with("The store cannot be asked now")
    machine.restart_the_page()
    machine.recall()
    never_read = machine.get_with("what people did about findings is not shown")
    (tmp_path / "away.db").rename(database_file)
    machine.did("lag", deeds.acknowledge, comment="looking at it")
    back = machine.get_with("looking at it")

    assert "not acknowledged" in away
    assert "no such" not in never_read
    assert "cannot be asked" not in back
    assert not (tmp_path / "away.db").exists()


def test_a_store_that_hangs_keeps_neither_the_page_nor_a_probe_waiting(machine, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(memory.database, "must_be_there", lambda _: gate.wait(60))
    machine.find(found("lag"))
    machine.did("lag", deeds.acknowledge, comment="looking at it")
    before = set(threading.enumerate())  # of other tests, at their end
    machine.recall()

    try:
        bodies = [machine.get() for _ in range(3)]
        probed = machine.get(path="/healthz")
        threads = {thread for thread in threading.enumerate() if thread.name == "page-memory"} - before
    finally:
        gate.set()

    assert ["lag it is" in body and "still being read from the store" in body for body in bodies] == [True] * 3
    assert probed == "ok\n"
    assert len(threads) == 1
    machine.get_with("looking at it")
