"""Samples with a time of their own."""

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.vendor_exporter.freshness import split

NOW = 1_763_772_000.0
OLD, NEW = int((NOW - 600) * 1000), int((NOW - 5) * 1000)


def test_what_is_too_old_is_taken_out_and_the_rest_stays_as_it_is() -> None:
    body = f'# TYPE a gauge\na{{id="0"}} 1 {OLD}\na{{id="1"}} 2 {NEW}\nb 3\n'.encode()

    fresh, stale = split(body, NOW, 120.0)

    assert fresh == f'# TYPE a gauge\na{{id="1"}} 2 {NEW}\nb 3\n'.encode()
    assert stale == f'a{{id="0"}} 1 {OLD}\n'.encode()


def test_a_page_without_times_is_left_alone() -> None:
    body = b'# HELP a 1 2 3\nlonger 1\na{x="} 1 2"} 1\nb 1763000000000\nc{y="1"} 1763000000000\n'

    assert split(body, NOW, 120.0) == (body, b"")


def test_a_brace_in_a_label_hides_no_time() -> None:
    body = f'a{{x="}} 1 {NEW}"}} 5 {OLD}\n'.encode()

    assert split(body, NOW, 120.0) == (b"", body)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_split_without_a_loss(body: bytes) -> None:
    fresh, stale = split(body, NOW, 120.0)

    assert len(fresh) + len(stale) <= len(body) + 1
    assert (fresh == body) or stale
