import pytest

from detectors.causes.scope import Place
from detectors.causes.versions import Change, Versions
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Batch, Completion, Point
from watchkeeper.core.vocabulary import devices, engines, requests

CHAT = Place("shop", "", "chat", "qwen")
GPU = Place("ml", "llama-0", device="GPU-0")


def tell(versions: Versions, at: float, metric: Metric, value: float = 1.0, **labels: str) -> None:
    names = tuple((name.replace("__", "."), text) for name, text in labels.items())
    versions.update(Batch(at, (Point(metric, names, value),)))


def answers(versions: Versions, at: float, model: str, pod: str = "a") -> None:
    tell(
        versions, at, requests.REQUESTS, k8s__namespace__name="shop", k8s__pod__name=pod, service__name="chat",
        gen_ai__request__model="qwen", gen_ai__response__model=model,
    )  # fmt: skip


def around(versions: Versions, at: float, place: Place = CHAT) -> list[Change]:
    return list(versions.around(at, 600.0, frozenset({place})))


def test_another_model_that_answers_is_a_change_told_once_for_all_replicas():
    versions = Versions()
    for at in range(0, 600, 60):
        answers(versions, at, "qwen-1" if at < 300 else "qwen-2", "a")
        answers(versions, at + 30, "qwen-1" if at < 360 else "qwen-2", "b")

    assert around(versions, 400.0) == [
        Change(300.0, "answering model", CHAT, "qwen-1", "qwen-2")
    ]  # fmt: skip


def test_a_model_that_only_some_calls_get_is_new_once_and_not_again_within_the_hour():
    versions = Versions()
    for at in range(0, 1200, 60):
        answers(versions, at, "qwen-2" if at % 300 == 240 else "qwen-1")

    assert [change.at for change in around(versions, 600.0)] == [240.0]


@pytest.mark.parametrize("value", ["", "other"])
def test_what_is_not_named_is_no_version(value):
    versions = Versions()
    answers(versions, 0, "qwen-1")
    answers(versions, 300, value)

    assert around(versions, 300.0) == []


def test_what_is_first_seen_in_the_first_two_minutes_is_no_change():
    versions = Versions()
    answers(versions, 0, "qwen-1")
    answers(versions, 90, "qwen-2")

    assert around(versions, 90.0) == []


def test_a_driver_is_told_of_its_device_in_any_pod():
    versions = Versions()
    for at, pod, driver in ((0.0, "llama-0", "550"), (300.0, "llama-1", "570")):
        tell(versions, at, devices.INFO, hw__id="GPU-0", k8s__pod__name=pod, hw__driver_version=driver)

    assert [(change.what, change.before, change.after) for change in around(versions, 300.0, GPU)] == [
        ("driver", "550", "570")
    ]  # fmt: skip
    assert around(versions, 300.0, Place(device="GPU-1")) == []


def test_a_restart_of_the_engine_is_a_change_and_none_before_the_first():
    versions = Versions()
    for at, total in ((0.0, 0.0), (60.0, 0.0), (120.0, 1.0), (180.0, 1.0)):
        tell(versions, at, engines.RESETS, total, k8s__pod__name="llama-0")

    assert around(versions, 120.0, Place("ml", "llama-0")) == [Change(120.0, "engine restarted", Place(pod="llama-0"))]


def test_ten_minutes_are_near_and_the_nearest_comes_first():
    versions = Versions()
    for at, model in ((0.0, "a"), (300.0, "b"), (1000.0, "c"), (5000.0, "d")):
        answers(versions, at, model)

    assert [change.after for change in around(versions, 850.0)] == ["c", "b"]


def test_memory_is_bounded_whatever_versions_are_called():
    versions = Versions()
    for number in range(6000):
        versions.see(Completion(at=0.0, service=f"s{number}", service_version="1"), 0.0)
    for number in range(1000):
        versions.see(Completion(at=0.0, service="s0", service_version=str(number)), 200.0 + number)

    assert len(versions._subjects) == 4096
    assert len(versions._subjects["service version", Place(service="s0")].seen) == 32
    assert len(versions._changes) == 256
