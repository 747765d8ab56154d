"""Whose number a series is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.accelerators.places import Place
from collector.vendor_exporter.identity import identify, known, place_of

FIND = identify("acme", id=("uuid",), name=("index",), serial=("sn",))


@pytest.mark.parametrize("nothing", ["", "N/A", "unknown", "-1", "None", " na "])
def test_what_says_nothing_is_no_id(nothing: str) -> None:
    seen = FIND({"uuid": nothing, "index": "2", "Hostname": "n1"})

    assert seen is not None
    assert seen.device.id == "n1/acme/2"


def test_the_serial_number_stands_in_for_an_id() -> None:
    seen = FIND({"uuid": "", "sn": "S7", "index": "2"})

    assert seen is not None
    assert seen.device.id == "S7"


def test_labels_of_no_device() -> None:
    assert FIND({"hostname": "n1"}) is None


@pytest.mark.parametrize(
    ("labels", "place"),
    [
        ({"pod": "p-0", "namespace": "n", "container": "c"}, Place("n", "p-0", "c")),
        ({"pod_name": "p-0", "pod_namespace": "n"}, Place("n", "p-0")),
        ({"exported_pod": "p-0", "exported_namespace": "n", "pod": "x", "container": "y"}, Place("n", "p-0")),
        ({"exported_pod": "", "pod": "dcgm-x", "namespace": "gpu-operator"}, None),
        ({"pod": "", "namespace": "", "container": ""}, None),
        ({"pod": "Not displayed", "namespace": "n"}, None),
        ({"pod": "p-0", "namespace": "n", "container": "ns_pod_c"}, Place("n", "p-0")),
        ({}, None),
    ],
)
def test_the_container_that_a_series_names(labels: dict[str, str], place: Place | None) -> None:
    assert place_of(labels) == place


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["pod", "namespace", "container", "uuid", "index", "exported_pod"]), st.text()))
def test_any_labels_are_read(labels: dict[str, str]) -> None:
    place = place_of(labels)
    seen = FIND(labels)

    assert place is None or place.pod
    assert seen is None or seen.device.id
    assert known(labels, ("absent",)) == ""
