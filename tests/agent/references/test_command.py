"""`watchkeeper reference ...` as it is typed, on real files."""

import getpass
import json
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from watchkeeper.agent.command_line import main
from watchkeeper.agent.references import journal, store, transfer
from watchkeeper.agent.references.journal import Deed
from watchkeeper.agent.references.observations import Wanted
from watchkeeper.agent.references.standing import chosen
from watchkeeper.agent.references.store import References
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.observed import Tally, encode_frame

SEGMENT = "shop/chat/qwen"
START = 1772352000.0
"""2026-03-01 08:00 UTC, a Sunday"""

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with an hour of observed traffic."""
    random = np.random.default_rng(1)
    tallies = [
        Tally(
            START + 3.0 * number,
            3.0,
            SEGMENT,
            {
                "input_tokens": [(float(random.lognormal(6, 0.7) // 1), 1)],
                "refusal": [(float(random.random() < 0.03), 1)],
                "finish_reason": [(str(random.choice(["stop", "length"], p=[0.9, 0.1])), 1)],
            },
        )
        for number in range(1200)
    ]
    tallies += [Tally(START, 3.0, "shop/search/qwen", {"input_tokens": [(5.0, 40)]})]
    folder = tmp_path / "state" / "observed"
    folder.mkdir(parents=True)
    (folder / "1.tallies").write_bytes(encode_frame(tallies[:600]))
    (folder / "2.tallies").write_bytes(encode_frame(tallies[600:]))
    return tmp_path / "state"


def run(state: Path, verb: str, *arguments: str) -> int:
    return main(["reference", verb, "--state-folder", str(state), *arguments])


def deeds(state: Path) -> list[tuple[Deed, str, str]]:
    told = journal.read(state / "references")
    assert told.problems == ()
    return [(one.deed, one.signal, one.by) for one in told.events]


def proposed(state: Path, *arguments: str) -> dict[str, str]:
    """Ids of the newest by signal."""
    assert run(state, "propose", "--by", "ana", *arguments) == 0
    packs = store.load(state / "references").packs.values()
    return {pack.signal: pack.id for pack in sorted(packs, key=lambda pack: pack.made_at)}


def in_force(state: Path) -> dict[str, str]:
    references = References(state / "references")
    references.refresh()
    assert references.problems == ()
    return {signal: pack.id for (_, signal), pack in references.active().items()}


def test_from_observed_traffic_to_references_in_force_and_back(state: Path, capsys: Captured) -> None:
    assert run(state, "propose", "--by", "ana") == 0
    out = capsys.readouterr().out
    assert "observed from 2026-03-01 08:00 UTC to 2026-03-01 08:59 UTC" in out
    assert "3 proposed" in out
    assert "a reference needs 100 observations" in out  # of the other segment
    assert in_force(state) == {}

    assert run(state, "approve", "--all", "--by", "bo", "--why", "a usual Sunday") == 0
    assert capsys.readouterr().out.count("in force: ") == 3
    assert in_force(state).keys() == {"input_tokens", "refusal", "finish_reason"}

    assert run(state, "retire", "--all", "--signals", "refusal", "--by", "cy", "--why", "was a holiday") == 0
    assert "no reference now" in capsys.readouterr().out
    assert in_force(state).keys() == {"input_tokens", "finish_reason"}
    assert deeds(state)[-2:] == [(Deed.APPROVED, "refusal", "bo"), (Deed.RETIRED, "refusal", "cy")]


def test_a_newer_one_supersedes_what_was_in_force(state: Path, capsys: Captured) -> None:
    old = proposed(state, "--signals", "refusal")["refusal"]
    run(state, "approve", old[:8], "--by", "ana", "--why", "first")
    time.sleep(0.01)
    run(state, "propose", "--signals", "refusal", "--until", "2026-03-01T08:30")
    capsys.readouterr()

    assert run(state, "approve", "--all", "--by", "ana", "--why", "second") == 0
    assert f"in place of {old[:8]}" in capsys.readouterr().out
    assert in_force(state)["refusal"] != old
    run(state, "list", "--all")
    assert "superseded" in capsys.readouterr().out
    assert run(state, "approve", old[:8], "--by", "ana", "--why", "the first was better") == 0
    assert in_force(state)["refusal"] == old


def test_the_list_has_a_line_for_each_that_matters_and_fits_the_terminal(
    state: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = proposed(state)
    run(state, "approve", ids["refusal"][:8], "--by", "ana", "--why", "a usual Sunday, long enough a reason to fold")
    run(state, "retire", ids["finish_reason"][:8], "--by", "ana", "--why", "no use")
    capsys.readouterr()
    for columns in (60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert run(state, "list") == 0
        out = capsys.readouterr().out
        assert all(len(line) <= columns for line in out.splitlines()[1:])
        assert [line.split()[:2] for line in out.splitlines() if line.startswith("  ")] == [
            ["proposed", ids["input_tokens"][:8]],
            ["approved", ids["refusal"][:8]],
        ]
        assert "1 superseded or retired" in out

    run(state, "list", "--all", "--json")
    states = {one["signal"]: one["state"] for one in json.loads(capsys.readouterr().out)}
    assert states == {"input_tokens": "proposed", "refusal": "approved", "finish_reason": "retired"}
    run(state, "list", "--all", "--signals", "finish_reason")
    assert capsys.readouterr().out.splitlines()[-1].endswith("ana: no use")


def test_all_takes_the_newest_proposal_and_the_others_are_superseded(state: Path, capsys: Captured) -> None:
    proposed(state, "--signals", "refusal", "--until", "2026-03-01T08:30")
    newest = proposed(state, "--signals", "refusal")["refusal"]
    capsys.readouterr()

    assert run(state, "approve", "--all", "--by", "ana", "--why", "longer") == 0
    assert capsys.readouterr().out.count("in force: ") == 1
    assert in_force(state) == {"refusal": newest}
    run(state, "list")
    assert "1 superseded" in capsys.readouterr().out
    assert len(deeds(state)) == 3


def test_an_id_must_be_long_enough_to_be_one(state: Path, capsys: Captured) -> None:
    reference = proposed(state, "--signals", "refusal")["refusal"]
    folder = state / "references"
    twin = msgspec.structs.replace(store.load(folder).packs[reference], id=reference[:10] + "0" * 54)
    shelf = store.Shelf({reference: twin, twin.id: twin}, journal.Journal(), {}, ())

    assert run(state, "approve", reference[:3], "--why", "x") == 2
    with pytest.raises(ConfigError, match="2 references begin with"):
        chosen(shelf, [reference[:8]], Wanted(), ())


def test_who_runs_this_must_be_known(state: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: {}["no such user"])

    assert run(state, "propose") == 2
    assert "--by: who runs this cannot be told here" in capsys.readouterr().err
    assert run(state, "propose", "--by", "ana") == 0


def test_an_approval_from_the_future_is_not_imported_and_none_is_put_behind_one(
    state: Path, tmp_path: Path, capsys: Captured
) -> None:
    reference = proposed(state, "--signals", "refusal")["refusal"]
    pack = store.load(state / "references").packs[reference].approved("ana", time.time() + 86_400, "tomorrow")
    (tmp_path / "one.jsonl").write_bytes(pack.encode())

    assert run(state, "import", str(tmp_path / "one.jsonl"), "--by", "bo") == 1
    assert "approved in the future" in capsys.readouterr().err
    store.put(state / "references", pack)
    proposed(state, "--signals", "refusal", "--until", "2026-03-01T08:30")
    [other] = store.load(state / "references").packs.keys() - {reference}
    assert run(state, "approve", other, "--by", "bo", "--why", "today") == 2
    assert "set the clock" in capsys.readouterr().err


def test_an_import_that_ends_half_way_puts_nothing_in_force(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposed(state, "--signals", "refusal")
    run(state, "approve", "--all", "--by", "ana", "--why", "a usual Sunday")
    run(state, "export", str(tmp_path / "one.jsonl"))
    other = tmp_path / "other"
    with monkeypatch.context() as patched:
        patched.setattr(journal, "append", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        assert run(other, "import", str(tmp_path / "one.jsonl"), "--by", "bo") == 2

    assert in_force(other) == {}
    assert len(store.load(other / "references").packs) == 1
    assert run(other, "import", str(tmp_path / "one.jsonl"), "--by", "bo") == 0
    assert in_force(other) == in_force(state)


def test_an_export_that_no_config_map_holds_says_so(
    state: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposed(state, "--signals", "refusal")
    run(state, "approve", "--all", "--by", "ana", "--why", "a usual Sunday")
    run(state, "export", str(tmp_path / "small"))
    assert "ConfigMap" not in capsys.readouterr().out
    monkeypatch.setattr(transfer, "CONFIG_MAP_BYTES", 100)
    run(state, "export", str(tmp_path / "large"))
    assert "More than a ConfigMap holds" in capsys.readouterr().out


def test_show_tells_a_person_what_is_left_alone_and_who_said_so(
    state: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ids = proposed(state)
    run(state, "approve", "--all", "--by", "ana", "--why", "a usual Sunday")
    capsys.readouterr()

    assert run(state, "show") == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "nine in ten from" in out
    assert "'stop' 90 %, 'length' 10 %, other 0 %" in out
    assert "twice as often: found after about" in out
    assert out.index("'stop': ") < out.index("'length': ") < out.index("any other: ")
    assert out.count("by ana: a usual Sunday") == 6  # state and history, of three

    assert run(state, "show", ids["refusal"][:6], "--json") == 0
    [shown] = json.loads(capsys.readouterr().out)
    assert shown["id"] == ids["refusal"]
    assert [event["deed"] for event in shown["history"]] == ["proposed", "approved"]


def test_a_reference_by_hour_shows_each_hour(state: Path, capsys: Captured) -> None:
    assert run(state, "propose", "--season", "hour", "--utc-offset", "8", "--signals", "refusal") == 0
    run(state, "show")

    out = capsys.readouterr().out
    assert "1 of 24 hours have a reference; UTC+8 h" in out
    assert "16h " in out


def test_a_file_of_somebody_elses_gives_the_same_reference_as_observed_traffic(
    state: Path, tmp_path: Path, capsys: Captured
) -> None:
    observed = proposed(state, "--signals", "input_tokens")["input_tokens"]
    pack = store.load(state / "references").packs[observed]
    lines = []
    for path in sorted((state / "observed").iterdir()):
        with path.open("rb") as file:
            lines += [
                json.dumps({"when": row.at, "usage": {"prompt": row.counts["input_tokens"][0][0]}, "prompt": "secret"})
                for row in store_rows(file)
                if row.segment == SEGMENT
            ]
    (tmp_path / "calls.jsonl").write_text("\n".join(lines))
    segment = ("--namespace", "shop", "--service", "chat", "--model", "qwen")
    fields = ("--time-field", "when", "--field", "input_tokens=usage.prompt")

    assert run(state, "propose", str(tmp_path / "calls.jsonl"), *segment, *fields, "--by", "ana") == 0

    [other] = [one for one in store.load(state / "references").packs.values() if one.id != observed]
    assert (other.strata, other.edges, other.segment) == (pack.strata, pack.edges, pack.segment)
    assert "secret" not in capsys.readouterr().out


def store_rows(file):
    from watchkeeper.core.observed import iter_frames

    return list(iter_frames(file))


def test_observed_traffic_of_several_replicas_is_one_reference(state: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (state / "observed" / "2.tallies").rename(tmp_path / "other" / "2.tallies")
    folders = [str(state / "observed"), str(tmp_path / "other" / "2.tallies")]

    assert run(state, "propose", *folders, "--signals", "refusal", "--service", "chat") == 0

    [pack] = store.load(state / "references").packs.values()
    assert pack.n == 1200


def test_a_column_of_models_is_chosen_from(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_text("llm,output_tokens\n" + "a,1\nb,2\n" * 150)

    assert run(state, "propose", str(file), "--field", "model=llm", "--service", "x/y", "--model", "b") == 0

    [pack] = store.load(state / "references").packs.values()
    assert (pack.segment, pack.n) == ("/x_y/b", 150)


def test_a_tolerance_is_taken_and_one_for_no_score_is_refused(state: Path, capsys: Captured) -> None:
    proposed(state, "--signals", "refusal", "--tolerance", "refusal.rate=0.07")
    [pack] = store.load(state / "references").packs.values()
    assert pack.strata["all"].bands["rate"].tolerance == 0.07

    assert run(state, "propose", "--signals", "refusal", "--tolerance", "refusal.location=0.07") == 2
    assert "the scores of refusal are rate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "arguments", "said"),
    [
        ("propose", ["--since", "soon"], "--since: 'soon' is no time"),
        ("propose", ["--since", "2027-01-01"], "nothing was observed"),
        ("propose", ["--tolerance", "refusal=0.1"], "expected SIGNAL.SCORE=VALUE"),
        ("propose", ["--confidence", "99"], "--confidence: 99 is not from"),
        ("propose", ["--field", "input_tokens=a"], "tell of a FILE"),
        ("propose", ["gone.jsonl"], "gone.jsonl: No such file"),
        ("propose", ["gone.tallies"], "gone.tallies: nothing was observed yet"),
        ("approve", ["--why", "x"], "give ids, or --all"),
        ("approve", ["--all", "--why", "x"], "nothing here is proposed"),
        ("approve", ["abcdef", "--why", "x"], "no reference here begins with 'abcdef'"),
        ("approve", ["ab", "--why", "x"], "no reference here begins with 'ab'"),
        ("retire", ["--all", "--why", "x"], "nothing here is left to retire"),
        ("export", ["out"], "nothing here is in force"),
        ("import", ["gone.jsonl"], "gone.jsonl: No such file"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_2(
    state: Path, capsys: Captured, verb: str, arguments: list[str], said: str
) -> None:
    assert run(state, verb, *arguments) == 2

    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


def test_why_must_be_given(state: Path, capsys: Captured) -> None:
    ids = proposed(state)

    with pytest.raises(SystemExit):
        run(state, "approve", "--all")
    assert run(state, "approve", ids["refusal"], "--why", " ") == 2
    assert in_force(state) == {}


def test_where_references_are_comes_from_the_configuration(
    state: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "watchkeeper.yaml"
    file.write_text(f"state_folder: {state}\ndrift: {{references_folder: {tmp_path / 'elsewhere'}}}\n")

    assert main(["reference", "propose", "--config", str(file), "--by", "ana"]) == 0
    assert len(store.load(tmp_path / "elsewhere").packs) == 3
    monkeypatch.setenv("WATCHKEEPER__DRIFT__REFERENCES_FOLDER", str(tmp_path / "third"))
    assert main(["reference", "list", "--config", str(file)]) == 0
    assert "none: watchkeeper reference propose" in capsys.readouterr().out
    assert main(["reference", "list"]) == 0
    monkeypatch.delenv("WATCHKEEPER__DRIFT__REFERENCES_FOLDER")
    assert main(["reference", "list"]) == 2
    assert "state_folder: is not set" in capsys.readouterr().err


def test_a_changed_file_and_a_changed_journal_are_told_and_the_rest_is_shown(state: Path, capsys: Captured) -> None:
    ids = proposed(state)
    path = state / "references" / f"{ids['refusal']}.json"
    path.write_bytes(path.read_bytes().replace(b'"signal":"refusal"', b'"signal":"refusa1"'))
    told = state / "references" / journal.NAME
    told.write_bytes(told.read_bytes().replace(b'"ana"', b'"eve"', 1))
    capsys.readouterr()

    assert run(state, "list") == 1
    said = capsys.readouterr()
    assert said.out.count("proposed") == 2
    assert [line.partition(": ")[2] for line in said.err.splitlines()] == [
        f"{path.name}: the reference {ids['refusal'][:12]} was changed after it was made: its hash does not fit",
        "journal.jsonl, line 2: does not follow from the line before it; one was changed",
    ]


@pytest.mark.parametrize("name", ["bundle", "bundle.jsonl"])
def test_what_is_exported_is_imported_with_its_approval_and_the_journal_tells_where_from(
    state: Path, tmp_path: Path, capsys: Captured, name: str
) -> None:
    proposed(state)
    run(state, "approve", "--all", "--by", "ana", "--why", "a usual Sunday")
    assert run(state, "export", str(tmp_path / name)) == 0
    other = tmp_path / "other"

    assert run(other, "import", str(tmp_path / name), "--by", "bo") == 0
    assert in_force(other) == in_force(state)
    told = [(deed, by) for deed, signal, by in deeds(other) if signal == "finish_reason"]
    assert told == [(Deed.IMPORTED, "bo"), (Deed.APPROVED, "ana")]
    assert journal.read(other / "references").events[0].why == f"from {name}"
    capsys.readouterr()
    assert run(other, "import", str(tmp_path / name), "--by", "bo") == 1
    assert capsys.readouterr().err.count("is here already") == 3


def test_an_import_refuses_what_was_changed_or_retired_here_and_takes_the_rest(
    state: Path, tmp_path: Path, capsys: Captured
) -> None:
    ids = proposed(state)
    run(state, "approve", "--all", "--by", "ana", "--why", "a usual Sunday")
    run(state, "export", str(tmp_path / "all.jsonl"))
    lines = (tmp_path / "all.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["signal"] for line in lines] == ["finish_reason", "input_tokens", "refusal"]
    lines[0] = lines[0].replace(b'"n":1200', b'"n":1300')
    (tmp_path / "all.jsonl").write_bytes(b"\n".join([*lines, b"{}"]))
    other = tmp_path / "other"
    run(other, "import", str(tmp_path / "all.jsonl"), "--by", "bo")
    run(other, "retire", ids["refusal"], "--by", "bo", "--why", "not ours")
    (other / "references" / f"{ids['refusal']}.json").unlink()
    capsys.readouterr()

    assert run(other, "import", str(tmp_path / "all.jsonl"), "--by", "bo") == 1

    said = capsys.readouterr().err
    assert "line 1: the reference" in said
    assert "line 4: not a reference" in said
    assert "was retired here" in said
    assert in_force(other).keys() == {"input_tokens"}


def test_an_export_overwrites_no_other_references(state: Path, tmp_path: Path, capsys: Captured) -> None:
    proposed(state)
    run(state, "approve", "--all", "--by", "ana", "--why", "a usual Sunday")
    assert run(state, "export", str(tmp_path / "bundle"), "--signals", "refusal") == 0
    assert run(state, "export", str(tmp_path / "bundle")) == 2
    assert "holds references already" in capsys.readouterr().err


def test_an_exported_folder_is_read_as_it_is(state: Path, tmp_path: Path) -> None:
    proposed(state)
    run(state, "approve", "--all", "--by", "ana", "--why", "a usual Sunday")
    run(state, "export", str(tmp_path / "mounted"))
    references = References(tmp_path / "mounted")

    assert references.refresh()
    assert len(references.active()) == 3
    assert {path.suffix for path in (tmp_path / "mounted").iterdir()} == {".json"}


def test_many_that_write_at_once_lose_nothing_and_readers_see_whole_references(state: Path, tmp_path: Path) -> None:
    ids = proposed(state)
    command = [sys.executable, "-m", "watchkeeper", "reference", "approve", "--state-folder", str(state)]
    writers = [
        subprocess.Popen([*command, reference, "--by", name, "--why", "at once"], stdout=subprocess.DEVNULL)
        for name, reference in zip(("ana", "bo", "cy"), ids.values(), strict=True)
    ]
    references = References(state / "references")
    while any(writer.poll() is None for writer in writers):
        references.refresh()
        assert references.problems == ()

    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert in_force(state) == ids
    assert sorted(by for deed, _, by in deeds(state) if deed is Deed.APPROVED) == ["ana", "bo", "cy"]


def test_an_approval_that_ends_half_way_leaves_what_was_in_force_and_can_be_done_again(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = proposed(state, "--signals", "refusal")["refusal"]
    run(state, "approve", old, "--by", "ana", "--why", "first")
    time.sleep(0.01)
    new = proposed(state, "--signals", "refusal", "--until", "2026-03-01T08:30")["refusal"]
    with monkeypatch.context() as patched:
        patched.setattr(store, "put", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        assert run(state, "approve", "--all", "--by", "ana", "--why", "second") == 2

    assert in_force(state) == {"refusal": old}
    assert run(state, "approve", "--all", "--by", "ana", "--why", "second") == 0
    assert old != new == in_force(state)["refusal"]


def test_a_second_approval_of_the_same_is_refused(state: Path, capsys: Captured) -> None:
    reference = proposed(state, "--signals", "refusal")["refusal"]
    run(state, "approve", reference, "--by", "ana", "--why", "once")

    assert run(state, "approve", reference, "--by", "bo", "--why", "twice") == 2
    assert "is in force already" in capsys.readouterr().err


@pytest.mark.skipif("sys.platform != 'linux'", reason="needs /proc")
def test_a_folder_that_cannot_be_written_is_one_line(state: Path, capsys: Captured) -> None:
    assert main(["reference", "propose", str(next((state / "observed").iterdir())), "--folder", "/proc/none"]) == 2
    assert capsys.readouterr().err.startswith("watchkeeper: /proc/none: cannot be written")
