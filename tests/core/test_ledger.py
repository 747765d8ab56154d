import threading

from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import health

LABELS = (("source", "otlp"), ("signal", "traces"))


def test_increments_from_many_threads_are_all_drained() -> None:
    ledger = Ledger()
    threads = [
        threading.Thread(target=lambda: [ledger.add(health.ACCEPTED, 1, LABELS) for _ in range(1000)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    drained = 0.0
    while any(thread.is_alive() for thread in threads):
        drained += sum(sample.value for sample in ledger.drain(1.0) if isinstance(sample.value, float))
    drained += sum(sample.value for sample in ledger.drain(1.0) if isinstance(sample.value, float))

    assert drained == 8000


def test_an_amount_of_zero_makes_the_series_exist() -> None:
    ledger = Ledger()

    ledger.add(health.ACCEPTED, 0, LABELS)

    [sample] = ledger.drain(1.0)
    assert (sample.metric, sample.value, sample.labels) == (health.ACCEPTED, 0, LABELS)


def test_a_gauge_keeps_only_its_newest_value() -> None:
    ledger = Ledger()
    ledger.set(health.QUEUE_SIZE, 1)
    ledger.set(health.QUEUE_SIZE, 2)

    assert [sample.value for sample in ledger.drain(1.0)] == [2]
