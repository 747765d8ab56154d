"""Calls in, findings out: the runner of drift with real references and real evidence."""

import random
from pathlib import Path
from typing import Any

import pytest

from detectors.drift import packs
from detectors.drift.kinds import Kind
from watchkeeper.agent.drift.drift import Drift
from watchkeeper.agent.drift.recorder import Recorder
from watchkeeper.agent.references.observations import Wanted, gather, read_rows
from watchkeeper.agent.references.store import References
from watchkeeper.agent.signals import Judged
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Segment, cell, iter_frames
from watchkeeper.core.records import Completion, Finding, Flag, Outcome, Score, Severity
from watchkeeper.core.vocabulary import drift, health

CHAT = Segment("shop", "chat", "qwen")
START = 1_700_000_000.0


def approve(
    folder: Path, signal: str, kind: Kind, values: Any, segment: Segment = CHAT, why: str = "calm week"
) -> packs.Pack:
    folder.mkdir(parents=True, exist_ok=True)
    times = [START - 86400 + 3.0 * place for place in range(len(values))]
    pack = packs.build(signal, kind, values, made_at=START - 100, times=times, segment=segment.text)
    approved = pack.approved("ada", START - 50, why)
    (folder / f"{pack.id}.json").write_bytes(approved.encode())
    return approved


def runner(folder: Path, **how: Any) -> Drift:
    settings: dict[str, Any] = {"days": 30.0, "tick_seconds": 10.0, "max_segments": 64} | how
    recorder = settings.pop("recorder", None)
    ledger = settings.pop("ledger", Ledger())
    settings.setdefault("now", START)
    return Drift(References(folder / "references"), recorder, folder / "evidence", ledger, **settings)


def call(tokens: float = 100.0, *, model: str = "qwen", **more: Any) -> Completion:
    return Completion(START, namespace="shop", service="chat", request_model=model, input_tokens=int(tokens), **more)


class Stream:
    """Two calls a second to a runner, ticked twice a second."""

    def __init__(self, drift: Drift, now: float = START) -> None:
        self.drift, self.now = drift, now
        self.judged: list[Judged] = []

    def send(self, completion: Completion, scores: tuple[Score, ...] = ()) -> None:
        self.drift.observe(completion, scores, self.now)
        self.judged.append(self.drift.tick(self.now))
        self.now += 0.5

    @property
    def findings(self) -> list[Finding]:
        return [finding for judged in self.judged for finding in judged.findings]

    def newest(self, metric: Any) -> dict[tuple[str, ...], float]:
        """By labels' values."""
        held: dict[tuple[str, ...], float] = {}
        for judged in self.judged:
            for sample in judged.samples:
                if sample.metric is metric:
                    value = float(sample.value)  # type: ignore[arg-type]
                    key = tuple(text for _, text in sample.labels)
                    held[key] = held.get(key, 0.0) + value if metric.kind == "counter" else value
        return held


def lognormal(chance: random.Random, middle: float, n: int) -> list[float]:
    return [middle * chance.lognormvariate(0.0, 0.6) for _ in range(n)]


def test_longer_prompts_become_a_finding_that_says_from_where_to_where_and_since_when(tmp_path: Path) -> None:
    chance = random.Random(1)
    pack = approve(tmp_path / "references", "input_tokens", Kind.NUMBER, lognormal(chance, 100, 4000))
    stream = Stream(runner(tmp_path))
    for tokens in lognormal(chance, 100, 1000):
        stream.send(call(tokens))
    assert stream.findings == []
    assert stream.newest(drift.STATE) == {("shop", "chat", "qwen", "input_tokens"): 0.0}
    changed_at = stream.now

    while not stream.findings and stream.now < changed_at + 600:
        stream.send(call(*lognormal(chance, 180, 1)))

    [finding] = stream.findings
    assert (finding.name, finding.severity, finding.resolved) == ("input_tokens", Severity.WARNING, False)
    assert finding.summary.startswith("input_tokens higher: median about 1")
    assert "tokens, 9" in finding.summary or "tokens, 10" in finding.summary
    assert abs(finding.since - changed_at) < 60
    assert ("service.name", "chat") in finding.labels
    assert ("signal", "input_tokens") in finding.labels
    assert f"reference {pack.id[:12]} of 4000 observations, approved by ada" in finding.evidence[-1]
    assert "odds" in finding.evidence[0]
    assert stream.newest(drift.STATE)["shop", "chat", "qwen", "input_tokens"] == 2.0
    assert stream.newest(drift.ALARMS) == {("shop", "chat", "qwen", "input_tokens"): 1.0}


def test_an_alarm_is_over_half_an_hour_after_the_signal_came_back(tmp_path: Path) -> None:
    chance = random.Random(2)
    approve(tmp_path / "references", "refusal", Kind.FLAG, [float(chance.random() < 0.02) for _ in range(4000)])
    stream = Stream(runner(tmp_path))
    for _ in range(600):
        stream.send(call(), (Flag("refusal", (("cannot", 1),) if chance.random() < 0.3 else ()),))
    [finding] = stream.findings
    assert "refusal in 3" in finding.summary or "refusal in 2" in finding.summary
    for _ in range(3 * 3600):
        stream.send(call(), (Flag("refusal", (("cannot", 1),) if chance.random() < 0.02 else ()),))

    assert [one.resolved for one in stream.findings] == [False, True]
    assert stream.findings[1].since == finding.since


def test_a_word_that_becomes_frequent_is_named(tmp_path: Path) -> None:
    approve(tmp_path / "references", "finish_reason", Kind.CATEGORY, (["stop"] * 99 + ["length"]) * 10)
    stream = Stream(runner(tmp_path))
    for place in range(400):
        stream.send(call(finish_reasons=("length" if place % 3 == 0 else "stop",)))

    assert "finish_reason 'length' in 3" in stream.findings[0].summary


def test_signals_without_a_reference_are_warming_and_say_nothing(tmp_path: Path) -> None:
    stream = Stream(runner(tmp_path))
    for _ in range(200):
        stream.send(call(outcome=Outcome.ERROR))

    assert stream.findings == []
    assert stream.newest(drift.STATE) == {}
    assert stream.newest(drift.STREAMS) == {("warming",): 2.0, ("ok",): 0.0, ("warn",): 0.0, ("alarm",): 0.0}


def test_counts_by_bin_leave_with_the_shares_of_the_reference(tmp_path: Path) -> None:
    chance = random.Random(3)
    approve(tmp_path / "references", "input_tokens", Kind.NUMBER, lognormal(chance, 100, 4000))
    stream = Stream(runner(tmp_path))
    for _ in range(100):
        stream.send(call(0))
    counts, shares = stream.newest(drift.OBSERVATIONS), stream.newest(drift.REFERENCE_SHARE)

    assert sum(shares.values()) == pytest.approx(1.0)
    assert len(shares) == 10
    assert {labels[-1]: count for labels, count in counts.items() if count} == {"0": 81.0}  # of the ticks that are over


def test_a_restart_loses_no_evidence(tmp_path: Path) -> None:
    chance = random.Random(4)
    approve(tmp_path / "references", "input_tokens", Kind.NUMBER, lognormal(chance, 100, 4000))
    calls = [call(tokens) for tokens in lognormal(chance, 115, 900)]
    steady = Stream(runner(tmp_path))
    for one in calls:
        steady.send(one)
    (tmp_path / "evidence").unlink(missing_ok=True)
    first = Stream(runner(tmp_path))
    for one in calls[:333]:
        first.send(one)
    first.drift.close(first.now)
    second = Stream(runner(tmp_path, now=first.now), first.now)
    for one in calls[333:]:
        second.send(one)

    assert second.newest(drift.SCORE) == steady.newest(drift.SCORE)
    assert [finding.summary for finding in first.findings + second.findings] == [
        finding.summary for finding in steady.findings
    ]


def test_damaged_evidence_is_counted_and_begun_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    approve(tmp_path / "references", "refusal", Kind.FLAG, [0.0, 1.0] * 200)
    (tmp_path / "evidence").write_bytes(b"\x93what")
    ledger = Ledger()
    stream = Stream(runner(tmp_path, ledger=ledger))
    stream.send(call(), (Flag("refusal"),))

    assert "begins without evidence" in caplog.text
    refused = [sample for sample in ledger.drain(START) if sample.metric is drift.REFUSED]
    assert [(sample.value, sample.labels) for sample in refused] == [(1, (("reason", "evidence"),))]


def test_evidence_that_cannot_be_written_is_said_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(5)
    approve(tmp_path / "references", "input_tokens", Kind.NUMBER, lognormal(chance, 100, 4000))
    (tmp_path / "evidence.new").mkdir()
    stream = Stream(runner(tmp_path))
    for tokens in lognormal(chance, 100, 600):
        stream.send(call(tokens))

    assert caplog.text.count("would not survive") == 1
    assert stream.newest(drift.STATE) == {("shop", "chat", "qwen", "input_tokens"): 0.0}


def test_a_changed_reference_is_a_finding_and_starts_new_evidence_for_its_stream_alone(tmp_path: Path) -> None:
    folders = tmp_path / "steady", tmp_path / "changed"
    for folder in folders:
        chance = random.Random(6)
        old = approve(folder / "references", "input_tokens", Kind.NUMBER, lognormal(chance, 100, 4000))
        approve(folder / "references", "output_tokens", Kind.NUMBER, lognormal(chance, 50, 4000))
    steady, changed = streams = [Stream(runner(folder)) for folder in folders]
    calls = [call(100 + place % 60, output_tokens=30 + place % 60) for place in range(140)]
    for stream in streams:
        for one in calls[:100]:
            stream.send(one)
    (folders[1] / "references" / f"{old.id}.json").unlink()
    approve(folders[1] / "references", "input_tokens", Kind.NUMBER, lognormal(chance, 130, 4000), why="new template")
    for stream in streams:
        for one in calls[100:]:
            stream.send(one)

    [finding] = [one for one in changed.findings if one.severity is Severity.INFO]
    assert finding.name == "reference"
    assert "approved by ada: new template" in finding.summary
    assert old.id[:12] in finding.summary
    scores, before = changed.newest(drift.SCORE), steady.newest(drift.SCORE)
    output, prompts = (("shop", "chat", "qwen", signal) for signal in ("output_tokens", "input_tokens"))
    assert scores[output] == before[output] > 0
    assert scores[prompts] != before[prompts]


def test_a_reference_changed_while_nothing_ran_is_a_finding_too(tmp_path: Path) -> None:
    pack = approve(tmp_path / "references", "refusal", Kind.FLAG, [0.0, 1.0] * 200)
    first = Stream(runner(tmp_path))
    first.send(call())
    first.drift.close(first.now)
    (tmp_path / "references" / f"{pack.id}.json").unlink()
    second = Stream(runner(tmp_path, now=first.now + 100), first.now + 100)
    second.send(call())

    assert ["was retired" in finding.summary for finding in second.findings] == [True]


def test_segments_past_the_bound_are_not_watched_but_counted_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger()
    stream = Stream(runner(tmp_path, max_segments=3, ledger=ledger))
    for number in range(50):
        stream.send(call(model=f"m{number}"))

    assert stream.newest(drift.STREAMS)[("warming",)] == 6.0  # input_tokens and error of three
    assert [sample.value for sample in ledger.drain(START) if sample.metric is drift.UNWATCHED] == [47]
    assert caplog.text.count("3 services and models are told apart (drift.max_segments)") == 1


def test_what_was_observed_is_kept_in_tallies_without_anything_else(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "observed", 1 << 20, Ledger())
    stream = Stream(runner(tmp_path, recorder=recorder))
    for place in range(25):
        stream.send(call(place, error_type="the text of an error"), (Flag("refusal"),))
    stream.drift.close(stream.now)
    [file] = (tmp_path / "observed").iterdir()
    first, second = iter_frames(file.open("rb"))

    assert (first.at, first.seconds, first.segment) == (START, 10.0, CHAT.text)
    assert first.counts["refusal"] == [(0.0, 21)]
    assert first.counts["input_tokens"] == [(cell(float(place)), 1) for place in range(21)]
    assert second.counts.keys() == {"refusal", "input_tokens", "error"}


def test_a_reference_of_tallies_has_the_bins_that_live_calls_fall_into(tmp_path: Path) -> None:
    """Bins begin where cells do: that values were cut down to be kept moves none into another bin."""
    chance = random.Random(7)
    values = lognormal(chance, 300, 3000)
    recorder = Recorder(tmp_path / "observed", 1 << 22, Ledger())
    for place in range(0, 3000, 30):
        for value in values[place : place + 30]:
            recorder.add(CHAT.text, {"duration": value})
        recorder.flush(START + place, 10.0, START + place)
    said: list[str] = []
    times, kept = gather(read_rows(tmp_path / "observed", said.append), Wanted())[CHAT.text, "duration"].in_order()
    pack = packs.build("duration", Kind.NUMBER, kept, made_at=START, times=times)
    counts = [0] * pack.bins
    for value in values:
        counts[pack.bin(value) or 0] += 1

    assert said == []
    assert tuple(counts) == pack.strata["all"].counts


def test_a_failure_in_drift_is_counted_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger()
    drifting = runner(tmp_path, ledger=ledger)
    stream = Stream(drifting)
    for _ in range(3):
        stream.send(call(), (Flag("watchkeeper.output.language"),))  # a flag that has the name of a metric
    failures = [sample for sample in ledger.drain(START) if sample.metric is health.SIGNAL_FAILURES]

    assert [(sample.value, sample.labels) for sample in failures] == [
        (3, (("signal", "drift"), ("reason", "ValueError")))
    ]
    assert caplog.text.count("everything else goes on") == 1


def test_a_segment_that_has_a_reference_is_watched_however_many_others_came_first(tmp_path: Path) -> None:
    chance = random.Random(12)
    approve(tmp_path / "references", "input_tokens", Kind.NUMBER, lognormal(chance, 100, 4000))
    stream = Stream(runner(tmp_path, max_segments=3))
    for number in range(50):
        stream.send(call(model=f"m{number}"))
    for _ in range(1000):
        stream.send(call(300 * chance.lognormvariate(0.0, 0.6)))

    assert [finding.name for finding in stream.findings] == ["input_tokens"]


@pytest.mark.parametrize("instead", [False, True])
def test_what_was_raised_is_over_once_its_reference_is_in_force_no_more(tmp_path: Path, instead: bool) -> None:
    chance = random.Random(13)
    old = approve(tmp_path / "references", "input_tokens", Kind.NUMBER, lognormal(chance, 100, 4000))
    stream = Stream(runner(tmp_path))
    for _ in range(1000):
        stream.send(call(300 * chance.lognormvariate(0.0, 0.6)))
    (tmp_path / "references" / f"{old.id}.json").unlink()
    if instead:
        approve(tmp_path / "references", "input_tokens", Kind.NUMBER, lognormal(chance, 300, 4000))
    for _ in range(100):
        stream.send(call(300 * chance.lognormvariate(0.0, 0.6)))

    [raised, over] = [finding for finding in stream.findings if finding.name == "input_tokens"]
    assert not raised.resolved
    assert over.resolved
    assert over.labels == raised.labels


def test_a_second_change_is_dated_by_itself_not_by_a_long_one_before_it(tmp_path: Path) -> None:
    chance = random.Random(14)
    approve(tmp_path / "references", "input_tokens", Kind.NUMBER, lognormal(chance, 100, 4000))
    stream = Stream(runner(tmp_path))

    def hours(length: float, middle: float) -> None:
        for _ in range(int(length * 7200)):
            stream.send(call(middle * chance.lognormvariate(0.0, 0.6)))

    hours(0.2, 100)
    hours(2, 200)
    hours(1, 100)
    changed_at = stream.now
    hours(0.2, 200)

    [first, over, second] = stream.findings
    assert over.resolved
    assert second.at > changed_at > first.at
    assert abs(second.since - changed_at) < 60
    assert "median about 20" in second.summary or "median about 19" in second.summary


def test_what_was_raised_is_not_raised_again_after_a_process_was_killed(tmp_path: Path) -> None:
    chance = random.Random(15)
    approve(tmp_path / "references", "input_tokens", Kind.NUMBER, lognormal(chance, 100, 4000))
    stream = Stream(runner(tmp_path))
    while not stream.findings:
        stream.send(call(300 * chance.lognormvariate(0.0, 0.6)))
    again = Stream(runner(tmp_path, now=stream.now), stream.now)  # nobody closed the first
    for _ in range(600):
        again.send(call(300 * chance.lognormvariate(0.0, 0.6)))

    assert again.findings == []
