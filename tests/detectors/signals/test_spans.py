from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.signals._spans import Spans

SPAN, KEPT = 10.0, 6


STEPS = st.tuples(st.sampled_from((0, 1, 4, 10, 25, 70)), st.integers(0, 9))


@settings(deadline=None, max_examples=60)
@given(
    steps=st.lists(STEPS, max_size=5) | st.lists(STEPS, min_size=10, max_size=30),
    asked_later=st.sampled_from((-25, -3, 0, 9, 30, 200)),
    seconds=st.sampled_from((10, 25, 40, 1000)),
)
def test_whatever_came_the_window_holds_its_whole_spans_and_no_others(steps, asked_later, seconds):
    spans, came, at = Spans(SPAN, KEPT), {}, 1000
    for step, value in steps:
        at += step
        spans.add(value, at)
        came.setdefault(at // SPAN, []).append(value)
    now = at + asked_later
    kept = sorted(came)[-KEPT:]
    expected = [came[index] for index in kept if (now - seconds) // SPAN < index <= now // SPAN]

    assert spans.means(now, seconds) == [sum(values) / len(values) for values in expected]
    assert spans.total(now, seconds) == sum(map(sum, expected))


def test_a_clock_that_is_set_back_begins_anew():
    spans = Spans(SPAN, KEPT)
    spans.add(5.0, 1000)
    spans.add(7.0, 900)

    assert spans.means(1000, 200) == [7.0]
