from detectors.signals import _devices
from detectors.signals._devices import FORGET_SECONDS, Roster

GPU = {"hw.id": "GPU-0", "hw.name": "0"}


def test_a_device_is_as_the_newest_labels_say_also_when_older_ones_come_again():
    roster = Roster(list)
    first, second = {**GPU, "k8s.pod.name": "a"}, {**GPU, "k8s.pod.name": "b"}

    assert [roster.see(own, 1.0).device.pod for own in (first, first, second, second, first, first, second)] == [
        "a", "a", "b", "b", "a", "a", "b"
    ]  # fmt: skip


def test_one_that_was_forgotten_begins_anew():
    roster = Roster(list)
    roster.see(GPU, 0.0).kept.append("old")
    assert list(roster.present(FORGET_SECONDS + 1)) == []

    assert roster.see(GPU, FORGET_SECONDS + 2).kept == []
    assert [known.device.id for known in roster.present(FORGET_SECONDS + 3)] == ["GPU-0"]


def test_one_whose_labels_come_again_is_not_forgotten():
    roster = Roster(list)
    for second in range(0, 1000, 100):
        roster.see(GPU, float(second))

    assert [known.seen_at for known in roster.present(1000.0)] == [900.0]


def test_labels_that_are_made_anew_each_time_fill_no_table(monkeypatch):
    monkeypatch.setattr(_devices, "_MOST_SEEN", 10)
    roster = Roster(list)
    for number in range(100):
        roster.see({**GPU, "hw.name": str(number % 7)}, 1.0)

    assert len(roster._seen) <= 10
