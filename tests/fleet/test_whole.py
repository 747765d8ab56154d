"""From calls in a sidecar to a finding by a detector, as processes on a real broker; and logs of calls."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collector import kafka
from collector.kafka import KafkaConfig
from detectors.drift import packs
from detectors.drift.kinds import Kind
from watchkeeper.core.errors import Retryable
from watchkeeper.core.kafka import Connection
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.testkit import RunningWatchkeeper
from watchkeeper.core.testkit.kafka_broker import KafkaBroker

CALLS, FINDINGS = "calls", "watchkeeper.findings"
SEGMENT = "/chat/qwen"


def test_calls_of_a_log_are_counted_here_sent_and_judged_there_and_the_finding_comes_back_by_kafka(
    kit: Any, broker: KafkaBroker, tmp_path: Path
) -> None:
    broker.make({CALLS: 2, FINDINGS: 4})
    chance = np.random.default_rng(3)
    folder = tmp_path / "references"
    folder.mkdir()
    now = time.time()
    times = [now - 90_000 + 10.0 * place for place in range(4000)]
    values = chance.lognormal(4.6, 0.6, 4000).astype(int)
    pack = packs.build("input_tokens", Kind.NUMBER, values.tolist(), made_at=now, times=times, segment=SEGMENT)
    (folder / f"{pack.id}.json").write_bytes(pack.approved("ada", now, "calm").encode())
    brokers = {"servers": [broker.address]}
    drift = {"references_folder": str(folder), "tick_seconds": 1.0, "kept_every_seconds": 1.0, "grace_seconds": 2.0}
    counting = {
        "drift": drift | {"judged": "fleet"},
        "kafka": {"enabled": True, "connection": brokers, "ticks": False, "group": "calls",
                  "calls": [{"topic": CALLS, "service": "chat"}]},
        "exporters": {"kafka": {"enabled": True, "connection": brokers}},
        "state_folder": str(tmp_path / "state"),
    }  # fmt: skip
    judging = {
        "role": "detector",
        "drift": drift,
        "kafka": {"enabled": True, "connection": brokers},
        "exporters": {"kafka": {"enabled": True, "connection": brokers}},
    }
    for name in ("sidecar", "detector"):
        (tmp_path / name).mkdir()
    with (
        RunningWatchkeeper(tmp_path / "detector", judging) as detector,
        RunningWatchkeeper(tmp_path / "sidecar", counting) as sidecar,
    ):
        end = time.monotonic() + 150
        found: list[Any] = []
        sent = 0
        while not found and time.monotonic() < end:
            longer = [int(one) for one in chance.lognormal(5.6, 0.6, 40)]
            broker.send(CALLS, [(b"", json.dumps({"model": "qwen", "prompt_tokens": one}).encode()) for one in longer])
            sent += 40
            time.sleep(0.5)
            found = [kit.decode(record.value) for record in broker.read(FINDINGS)]
        finding = found[0].finding
        assert (finding.name, finding.resolved) == ("input_tokens", False), detector.log()
        detector.wait_for("watchkeeper_drift_state", 2.0, signal="input_tokens")
        assert sidecar.value("watchkeeper_drift_state") is None
        assert detector.value("watchkeeper_drift_observations_total") is None
        sidecar.wait_for("watchkeeper_drift_observations_total", 1.0)
        sidecar.wait_for("watchkeeper_requests_total", sent)
        assert sidecar.wait_for("watchkeeper_kafka_sent_total", 1.0, topic=kit.TICKS) > 0


def test_a_topic_that_is_not_there_is_said_in_a_line_that_says_what_to_do() -> None:
    """The broker of the test kit makes topics that are asked for; Apache Kafka, asked not to, tells of none."""
    source = kafka.build(KafkaConfig(True, Connection(("127.0.0.1:1",))), Ledger())

    class Away:
        def __init__(self, **partitions: int) -> None:
            self._partitions = partitions

        def partitions_for_topic(self, topic: str) -> set[int] | None:
            return set(range(self._partitions.get(topic.rpartition(".")[2], 0))) or None

    with pytest.raises(Retryable, match=r"topic watchkeeper\.ticks is not there; make it as docs/fleet\.md says"):
        source._check_topics(Away(state=4), ["watchkeeper.ticks"])
    with pytest.raises(Retryable, match=r"topic watchkeeper\.state has 1 partitions, needs 4; make it as docs/fleet"):
        source._check_topics(Away(ticks=4, state=1), ["watchkeeper.ticks"])
    source._check_topics(Away(ticks=4, state=4), ["watchkeeper.ticks"])


def test_brokers_that_are_away_are_said_in_a_line_and_asked_again() -> None:
    source = kafka.build(KafkaConfig(True, Connection(("127.0.0.1:1",))), Ledger())

    with pytest.raises(Retryable, match=r"brokers 127\.0\.0\.1:1: KafkaTimeout; reading goes on where it was"):
        source.read(0.0)
    source.close()
    source.finish()
