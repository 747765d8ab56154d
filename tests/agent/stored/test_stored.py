"""`watchkeeper findings` and `watchkeeper audit` as they are typed, and a whole agent that fills a store."""

import http.client
import json
import subprocess
import sys
import time

import pytest

from exporters.store import StoreConfig, database
from exporters.store.writer import Store
from watchkeeper.agent.command_line import main
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Finding, Severity
from watchkeeper.core.testkit import RunningWatchkeeper, free_port

AT = 1_790_000_000.0


@pytest.fixture
def state(tmp_path):
    """A state folder whose store has one finding."""
    store = Store(StoreConfig(enabled=True, state_folder=str(tmp_path)), Ledger())
    found = Finding(at=AT, since=AT, severity=Severity.WARNING, subject="lag of chat", name="lag", summary="it is late")
    store.write(Batch(AT, findings=(found,)))
    store.close()
    return tmp_path


def run(state, *arguments):
    return main([*arguments, "--state-folder", str(state)])


def test_findings_are_listed_acknowledged_and_closed(state, capsys):
    assert run(state, "findings", "list", "--json") == 0
    [found] = json.loads(capsys.readouterr().out)
    assert run(state, "findings", "ack", found["id"], "--by", "ann", "--comment", "mine") == 0
    assert run(state, "findings", "close", found["id"], "--by", "ann") == 0
    assert run(state, "findings", "close", found["id"], "--by", "bob") == 2
    assert run(state, "findings", "list") == 0

    said = capsys.readouterr()
    assert "closed by ann already" in said.err
    assert "2026-09-21 14:13:20Z  closed" in said.out
    assert "lag of chat: it is late" in said.out


def test_the_audit_log_is_listed_and_verified_and_an_edit_is_told(state, capsys):
    assert run(state, "audit", "verify") == 0
    assert run(state, "audit", "list", "--json") == 0
    said = capsys.readouterr().out
    entry = json.loads(said.splitlines()[-1])
    assert entry["hash"] in said.splitlines()[1]
    with database.writing(database.connect(StoreConfig(state_folder=str(state)))) as connection:
        connection.exec_driver_sql("UPDATE audit SET action = 'nothing'")

    assert run(state, "audit", "verify") == 1
    assert "entry 1 was changed after it was written" in capsys.readouterr().err


def test_where_there_is_no_store_none_is_made_and_it_is_said_what_to_do(tmp_path, capsys):
    assert run(tmp_path / "none", "audit", "verify") == 2
    assert main(["audit", "verify"]) == 2

    said = capsys.readouterr().err
    assert "is not there; a watchkeeper with the store on makes it" in said
    assert "give --config FILE or --state-folder FOLDER" in said
    assert not (tmp_path / "none").exists()


def test_a_whole_watchkeeper_keeps_its_record_and_serves_it_and_its_page_tells_of_it(state, tmp_path):
    port = free_port()
    settings = {
        "state_folder": str(state),
        "exporters": {"store": {"enabled": True}},
        "control": {"enabled": True, "port": port},
    }
    with RunningWatchkeeper(tmp_path, settings) as watchkeeper:
        watchkeeper.wait_for("watchkeeper_store_records_total", 1, kind="events", outcome="written")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/v1/changes")
        [change] = json.loads(connection.getresponse().read())["changes"]
        connection = http.client.HTTPConnection("127.0.0.1", watchkeeper.web_port, timeout=60)
        page, end = "", time.monotonic() + 60
        while "it is late" not in page and time.monotonic() < end:
            connection.request("GET", "/?lang=en")
            page = connection.getresponse().read().decode()

    assert "it is late" in page.partition('id="before"')[2]
    assert (change["kind"], change["summary"]) == ("configuration", "the first that is known")
    assert "Traceback" not in watchkeeper.log()
    assert run(state, "audit", "verify") == 0


@pytest.mark.parametrize("verb", [("findings", "list"), ("findings", "ack", "1"), ("audit", "verify")])
def test_a_package_of_the_store_that_is_not_there_is_told_with_the_extra_that_brings_it(tmp_path, verb):
    program = (
        "import sys; sys.modules['sqlalchemy'] = None; from watchkeeper.agent.command_line import main;"
        f" sys.exit(main({[*verb, '--state-folder', str(tmp_path)]}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "needs the package sqlalchemy; run: pip install 'watchkeeper[store]'" in done.stderr
