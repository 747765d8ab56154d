import asyncio
import time
from typing import Any

import msgspec
import pytest

from collector import otlp
from collector.otlp.config import OtlpConfig
from collector.otlp.intake import EMITS
from watchkeeper.core.errors import Unavailable
from watchkeeper.core.vocabulary import health

QUEUE = (("queue", "otlp"),)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_body_bytes": 1 << 20, "max_in_flight_bytes": 1 << 19}, "max_in_flight_bytes"),
        ({"tls": {"certificate_file": "c"}}, "key_file"),
        ({"tls": {"key_file": "k"}}, "certificate_file"),
        ({"tls": {"client_ca_file": "a"}}, "certificate_file"),
        ({"http_port": 4317}, "must differ"),
        ({"http_port": 70_000}, "65535"),
        ({"retry_after_seconds": 30}, "<= 5"),
        ({"max_body_byte": 1}, "max_body_byte"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(settings, OtlpConfig)


def test_two_ports_chosen_by_the_kernel_do_not_collide(receiver: Any) -> None:
    assert 0 < receiver.source.http_port != receiver.source.grpc_port > 0


def test_the_queue_is_measured_at_every_read(receiver: Any, traces: Any) -> None:
    receiver.post(traces(3).SerializeToString())
    items = receiver.source.read(time.time()).items
    gauges = {sample.metric: sample.value for sample in receiver.ledger.drain(0) if sample.labels == QUEUE}
    receiver.source.folded()

    assert items == 3
    assert gauges == {
        health.QUEUE_LENGTH: 3,
        health.QUEUE_SIZE: gauges[health.QUEUE_SIZE],
        health.QUEUE_CAPACITY: OtlpConfig().queue_capacity_bytes,
        health.QUEUE_AGE: gauges[health.QUEUE_AGE],
    }
    assert gauges[health.QUEUE_SIZE] > 0


def test_the_queue_is_measured_while_nobody_reads(receiver: Any, traces: Any) -> None:
    receiver.post(traces(3).SerializeToString())

    lengths: list[Any] = []
    end = time.monotonic() + 60
    while 3 not in lengths and time.monotonic() < end:
        lengths += [s.value for s in receiver.ledger.drain(0) if s.metric == health.QUEUE_LENGTH]
        time.sleep(0.05)
    assert 3 in lengths


def test_after_the_last_read_nothing_is_held(receiver: Any, traces: Any) -> None:
    receiver.post(traces(3).SerializeToString())
    receiver.source.close()

    assert receiver.items() == 3
    assert {s.value for s in receiver.ledger.drain(0) if s.metric == health.QUEUE_LENGTH} == {0}


def test_receivers_that_died_are_reported(receiver: Any) -> None:
    loop = receiver.source._loop
    loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
    receiver.source._thread.join(10)

    with pytest.raises(Unavailable):
        receiver.source.read(0)


def test_the_plugin_names_all_that_the_intake_emits() -> None:
    assert set(EMITS) <= set(otlp.PLUGIN.metrics)


def test_both_encodings_and_protocols_feed_one_queue(receiver: Any, traces: Any) -> None:
    import grpc
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

    receiver.post(traces(1).SerializeToString())
    with grpc.insecure_channel(receiver.grpc_target) as channel:
        TraceServiceStub(channel).Export(traces(1))

    assert receiver.items() == 2
