from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.signals import _labels

NAMES = st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=4).map(tuple)


@given(st.lists(NAMES, max_size=12))
@settings(deadline=None, max_examples=50)
def test_labels_are_read_as_they_are_whatever_was_read_before(many):
    """Tuples are made and thrown away, so that new ones come to stand where others stood."""
    for labels in many * 2:
        assert _labels.named((*labels,)) == dict(labels)
        assert _labels.named(labels) == dict(labels)


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(_labels, "MOST", 10)
    for number in range(1000):
        assert _labels.named((("a", str(number)),)) == {"a": str(number)}

    assert len(_labels._READ) <= 10


def test_the_same_tuple_is_read_once():
    labels = (("a", "b"),)

    assert _labels.named(labels) is _labels.named(labels)
