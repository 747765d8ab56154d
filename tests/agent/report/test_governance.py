"""The record of a month with three injected changes: figures against the truth, page against the JSON, print."""

import argparse
import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from watchkeeper.agent.command_line import main
from watchkeeper.agent.report import record
from watchkeeper.agent.report.governance_page import page
from watchkeeper.agent.report.record import Record
from watchkeeper.core.testkit.chromium import Chromium
from watchkeeper.core.testkit.programs import require

NAME = "governance-2025-03"
HOUR = 3600.0


def governance(state: Path, out: Path, *arguments: str) -> int:
    return main(
        ["report", "governance", "--period", "2025-03", "--state-folder", str(state), "--out", str(out), *arguments]
    )


@pytest.fixture(scope="module")
def out(month: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("record")
    assert governance(month.state, folder) == 0
    return folder


@pytest.fixture(scope="module")
def filed(out: Path) -> Record:
    return record.decode((out / f"{NAME}.json").read_bytes())


def test_what_was_injected_is_listed_as_drifted_and_nothing_else(month: Any, filed: Record) -> None:
    listed = {(row.service, row.signal): row for row in filed.drift if row.is_listed}

    assert listed.keys() == {("chat", "refusal"), ("search", "output_tokens"), ("chat", "error")}
    truth = month.truth
    for key, (since, until) in (
        (("chat", "refusal"), truth.refusing),
        (("chat", "error"), truth.failing),
    ):
        [spell] = listed[key].spells
        assert abs(spell.since - since) <= 2 * HOUR
        assert abs(spell.until - until) <= 6 * HOUR
        assert 0.07 < spell.effect < 0.11
    [spell] = listed["search", "output_tokens"].spells
    assert abs(spell.since - truth.longer_since) <= HOUR
    assert listed["search", "output_tokens"].moved.en == "median 201 → 319 tokens"  # 1.6 times


def test_after_a_new_reference_was_approved_what_it_says_is_normal(filed: Record) -> None:
    old, new = sorted(
        (row for row in filed.drift if (row.service, row.signal) == ("search", "output_tokens")),
        key=lambda row: row.approved_at,
    )

    assert old.is_listed
    assert not new.is_listed
    assert old.reference != new.reference
    assert old.observations + new.observations == sum(
        one.calls for one in filed.completeness.links if one.service == "search"
    )


def test_counts_are_those_that_were_made(month: Any, filed: Record) -> None:
    calls = {f"{one.namespace}/{one.service}/{one.model}": one.calls for one in filed.completeness.links}
    slos = {
        f"{one.namespace}/{one.service}/{one.model}": (one.events, one.bad)
        for one in filed.slos
        if one.sli == "availability"
    }
    refused = {
        f"{one.namespace}/{one.service}/{one.model}": (one.answers, one.marked)
        for one in filed.safety
        if one.check == "refusal"
    }

    assert calls == month.calls
    assert slos == {segment: (count, month.failed[segment]) for segment, count in month.calls.items()}
    assert refused == {segment: (count, month.refused[segment]) for segment, count in month.calls.items()}


def test_incidents_have_cause_response_and_what_was_done(month: Any, filed: Record) -> None:
    refusing, longer, failing = filed.incidents

    assert (refusing.cause, refusing.cause_by) == ("system prompt 14, released at 08:58", "mei")
    assert refusing.response_seconds == 1260.0
    assert refusing.detection_seconds == 1080.0
    assert [deed.text for deed in refusing.deeds if deed.deed == "closed"] == ["rolled back to system prompt 13"]
    assert refusing.duration_seconds == month.truth.refusing[1] + 1800 - (month.truth.refusing[0] + 120)
    assert longer.cause == "new version 2503 of qwen3-8b"
    assert (failing.cause, failing.probable_cause) == ("", "a release of the service")
    alarms = filed.false_alarms
    assert (alarms.told, alarms.confirmed, alarms.without_cause, alarms.open) == (3, 2, 0, 1)
    assert alarms.promised == pytest.approx(31 / 30, rel=0.01)


def test_blind_times_and_changes_are_told(month: Any, filed: Record) -> None:
    whole = filed.completeness
    [blind] = whole.blind

    assert abs(blind.since - month.truth.blind[0]) <= whole.precision_seconds
    assert blind.until == month.truth.blind[1]
    assert whole.watched_seconds == whole.period_seconds - (blind.until - blind.since)
    for link in whole.links:
        if link.service != "beta":
            assert (link.longest_silence_since, link.longest_silence_until) == month.truth.blind
    told = [(one.kind, one.deed, one.who) for one in filed.changes]
    assert told == [
        ("configuration", "changed", "ops"),
        ("version", "first seen", ""),
        ("reference", "proposed", "lin"),
        ("reference", "approved", "lin"),
    ]
    assert filed.changes[0].why == "drift.max_segments: 20 -> 30"


def test_what_it_rests_on_is_named_with_hashes(month: Any, filed: Record) -> None:
    kinds = [one.what for one in filed.rests_on]

    assert {"journal of references", "observed", "configuration", "audit log", "reference"} == set(kinds)
    assert kinds.count("reference") == 19
    assert all(re.fullmatch(r"[0-9a-f]{64}", one.sha256) for one in filed.rests_on)


def test_it_is_evidence_for_and_claims_nothing(out: Path, filed: Record) -> None:
    html = (out / f"{NAME}.html").read_text()

    assert {one.group for one in filed.requirements} == {"layers", "iso42001", "nist", "eu", "cn"}
    assert "Evidence for requirements" in html
    for claim in ("compliant", "compliance with", "certified", "conforms", "符合要求", "合规"):
        assert claim not in html.lower()
    assert next(one for one in filed.requirements if one.id == "cn-label").held == ()


def test_no_word_of_the_traffic_that_no_reference_knows_is_in_it(month: Any, out: Path) -> None:
    from watchkeeper.agent.references.observations import read_rows

    seen = {
        value
        for tally in read_rows(month.state / "observed", pytest.fail)
        for value, _ in tally.counts.get("finish_reason", ())
    }
    [mark] = seen - {"stop", "length"}
    assert isinstance(mark, str)
    for file in out.iterdir():
        assert mark.encode() not in file.read_bytes()


class Figures(HTMLParser):
    """What each figure of a page shows, by its place in the JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[str, str]] = []
        self._at: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._at = dict(attrs).get("data-at")

    def handle_data(self, data: str) -> None:
        if self._at:
            self.shown.append((self._at, data.strip()))
            self._at = None


def figures(html: str) -> list[tuple[str, str]]:
    parser = Figures()
    parser.feed(html)
    return parser.shown


def value_at(document: Any, pointer: str) -> Any:
    for part in pointer.strip("/").split("/"):
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def readings(shown: str) -> Iterator[float]:
    """What a figure can mean, as numbers of the JSON."""
    text = shown.replace("\u202f", "").replace(",", "")
    if found := re.fullmatch(r"(-?[\d.]+(?:e-\d+)?)", text):
        yield float(found[1])
    if found := re.fullmatch(r"([\d.]+)%", text):
        yield float(found[1]) / 100
    if found := re.fullmatch(r"10\^(\d+) : 1", text):
        yield float(found[1]) * 2.302585
    units = {"d": 86_400, "h": 3600, "min": 60, "s": 1}
    if re.fullmatch(r"(\d+ (d|h|min|s) ?)+", text):
        yield float(sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+) (d|h|min|s)", text)))


def is_of(shown: str, value: Any) -> bool:
    """Whether a page that shows this shows the value, rounded."""
    if isinstance(value, str):
        return shown == value
    moment = datetime.fromtimestamp(value, UTC) if 1e9 < value < 1e10 else None
    if moment is not None and shown in (moment.strftime("%m-%d %H:%M"), moment.strftime("%Y-%m-%d")):
        return True
    if shown == "-" and value <= 0:  # odds that speak against it
        return True
    return any(abs(read - value) <= max(0.06 * abs(value), 0.00051) for read in readings(shown))


def test_every_figure_of_the_page_is_the_one_of_the_json(out: Path) -> None:
    document = json.loads((out / f"{NAME}.json").read_text())
    shown = figures((out / f"{NAME}.html").read_text())

    wrong = [(at, text, value_at(document, at)) for at, text in shown if not is_of(text, value_at(document, at))]

    assert len(shown) > 100
    assert wrong == []


def test_a_page_made_of_another_value_shows_it(filed: Record) -> None:
    """The test above could not tell otherwise whether the page reads the record at all."""
    changed = msgspec.structs.replace(filed, slos=(msgspec.structs.replace(filed.slos[0], bad=4321.0), *filed.slos[1:]))

    assert "4,321" in page(changed)
    assert page(filed) == page(filed)


def printed(browser: Chromium) -> int:
    """Pages."""
    answer = browser.command("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
    return len(re.findall(rb"/Type\s*/Page[^s]", base64.b64decode(answer["data"])))


def test_it_opens_without_a_complaint_and_needs_nothing_from_outside(out: Path) -> None:
    with Chromium.start(require("chromium", "chromium")) as browser:
        browser.open((out / f"{NAME}.html").as_uri(), width=1100, height=1400)
        assert browser.problems == []
        assert browser.evaluate("document.documentElement.scrollWidth <= 1100")
        assert browser.evaluate("performance.getEntriesByType('resource').length") == 0
        browser.evaluate("document.getElementById('only-zh').click()")
        english = "[...document.querySelectorAll('.told')].filter(e => e.offsetParent !== null).length"
        assert browser.evaluate(english) == 0


def test_what_is_to_be_read_prints_on_two_pages_however_much_happened(out: Path, filed: Record, tmp_path: Path) -> None:
    whole = filed.completeness
    crowded = msgspec.structs.replace(
        filed,
        incidents=filed.incidents * 12,
        slos=filed.slos * 10,
        drift=tuple(row for row in filed.drift if row.is_listed) * 20 + filed.drift,
        safety=filed.safety * 10,
        changes=filed.changes * 10,
        models=filed.models * 10,
        completeness=msgspec.structs.replace(whole, links=whole.links * 10, blind=whole.blind * 20),
    )
    (tmp_path / "crowded.html").write_text(page(crowded))
    with Chromium.start(require("chromium", "chromium")) as browser:
        for path, pages in ((out / f"{NAME}.html", 4), (tmp_path / "crowded.html", 4)):
            browser.open(path.as_uri(), width=1100, height=1400)
            assert printed(browser) <= pages
            browser.evaluate("document.querySelectorAll('.annex').forEach(e => e.remove())")
            assert printed(browser) <= 2
    assert "and 89 more in JSON" in (tmp_path / "crowded.html").read_text()  # of 36 incidents and 60 rows of drift


def test_of_one_service_it_holds_that_alone(month: Any, tmp_path: Path) -> None:
    assert governance(month.state, tmp_path, "--service", "search") == 0

    alone = record.decode((tmp_path / f"{NAME}.json").read_bytes())
    assert {row.service for row in alone.drift} == {"search"}
    assert [one.name for one in alone.incidents] == ["output_tokens"]
    assert {one.service for one in alone.models} == {"search"}
    assert alone.scope == {"service": "search"}


def test_without_a_store_it_says_what_cannot_be_told(month: Any, tmp_path: Path) -> None:
    for part in ("observed", "references"):
        shutil.copytree(month.state / part, tmp_path / "state" / part)
    assert governance(tmp_path / "state", tmp_path / "out") == 0

    bare = record.decode((tmp_path / "out" / f"{NAME}.json").read_bytes())
    assert bare.absent.keys() == {"incidents", "models", "completeness", "false_alarms"}
    assert bare.completeness.watched_seconds is None
    assert sum(row.is_listed for row in bare.drift) == 3
    html = (tmp_path / "out" / f"{NAME}.html").read_text()
    assert html.count("no store was kept") == 4
    assert "no finding told it" in html


def test_a_period_that_is_not_over_is_told_as_far_as_it_went(month: Any, tmp_path: Path) -> None:
    from dashboards.values import DEFAULTS
    from watchkeeper.agent.references.observations import Wanted
    from watchkeeper.agent.report import gather, period, sources
    from watchkeeper.agent.report.places import places

    options = argparse.Namespace(config=None, state_folder=month.state)
    read = sources.read(places(options), period.parse("2025-03", 0.0), Wanted(), [])
    noon = month.truth.longer_since + 12 * HOUR
    early = gather.gather(read, DEFAULTS, None, 30.0, made_at=noon)

    assert early.completeness.period_seconds == noon - early.period.since
    assert early.false_alarms.promised == pytest.approx(16.5 / 30, rel=0.02)
    assert "The period is not over: this is what was known on 2025-03-17 12:00." in page(early)


def test_a_period_of_which_nothing_is_known_says_so(month: Any, tmp_path: Path, capsys: Any) -> None:
    bare = tmp_path / "state"
    (bare / "observed").mkdir(parents=True)
    assert governance(bare, tmp_path / "out") == 0

    html = (tmp_path / "out" / f"{NAME}.html").read_text()
    assert "Nothing was observed in this period." in html
    assert "drift told" not in html
    later = ["--period", "2999-01", "--state-folder", str(month.state), "--out", str(tmp_path)]
    assert main(["report", "governance", *later]) == 2
    assert "has not begun" in capsys.readouterr().err


@pytest.mark.parametrize("period", ["2025", "2025-13", "2025-03-09/2025-03-01", "march"])
def test_a_period_that_is_none_is_refused(month: Any, tmp_path: Path, period: str, capsys: Any) -> None:
    code = main(
        ["report", "governance", "--period", period, "--state-folder", str(month.state), "--out", str(tmp_path)]
    )

    assert code == 2
    assert "is no period: give a month like 2026-10, days" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told_in_a_line(month: Any, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").write_text("")

    assert governance(month.state, tmp_path / "file") == 2
    assert "give another --out" in capsys.readouterr().err


def test_running_needs_nothing_of_reports(tmp_path: Path) -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\n"
            "from watchkeeper.agent import command_line, agent, pipeline, registry\n"
            "command_line._parser(); registry.exporters(); registry.sources()\n"
            "heavy = {'pandas', 'evidently', 'scipy', 'sklearn', 'plotly', 'nltk'} & sys.modules.keys()\n"
            "ours = {m for m in sys.modules if m.startswith('watchkeeper.agent.report.')}\n"
            "print(sorted(heavy), sorted(ours))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout.strip() == "[] ['watchkeeper.agent.report.arguments']"
