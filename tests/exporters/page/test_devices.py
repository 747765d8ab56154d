import re
from collections.abc import Callable
from typing import Any

import pytest

from exporters.page.device_table import MAX_DEVICES
from exporters.page.served import LANGUAGES, Page
from watchkeeper.core.vocabulary import devices, health

Html = Callable[..., str]


def rows(text: str) -> list[list[str]]:
    """The cells of the accelerators' table as they are read."""
    table = text.partition('<section id="devices"')[2].partition("<tbody>")[2].partition("</tbody>")[0]
    return [
        [" ".join(re.sub("<.+?>", " ", cell).split()) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in table.split("</tr>")[:-1]
    ]


@pytest.mark.parametrize(
    ("lang", "cells"),
    [
        (
            "en",
            [
                "nvidia 0 NVIDIA H100 80GB HBM3 ml/llama-0", "up held back: power cap faults: memory 2",
                "97% compute 52%", "80% 64 GB / 80 GB", "61 °C memory 74 °C", "690 W / 700 W",
            ],
        ),
        (
            "zh",
            [
                "nvidia 0 NVIDIA H100 80GB HBM3 ml/llama-0", "正常 降频：功耗上限 故障：显存 2",
                "97% 计算单元 52%", "80% 64 GB / 80 GB", "61 °C 显存 74 °C", "690 W / 700 W",
            ],
        ),
    ],
)  # fmt: skip
def test_a_device_is_a_row_with_its_pod_and_what_it_does(
    traffic: Any, page: Page, html: Html, lang: str, cells: list[str]
) -> None:
    traffic.device(k8s__namespace__name="ml", k8s__pod__name="llama-0")
    page.write(traffic.batch())

    assert rows(html(lang)) == [cells]


def test_one_that_cannot_be_read_stands_on_top_and_says_why_and_the_others_follow_by_index(
    traffic: Any, page: Page, html: Html
) -> None:
    for index in (10, 2, 0):
        traffic.device(hw__id=f"GPU-{index}", hw__name=str(index))
    traffic.device(hw__id="MIG-1", hw__name="2:0", hw__parent="GPU-2")
    lost = {"hw.id": "GPU-11", "hw.name": "11", "hw.vendor": "nvidia"}
    traffic.set(devices.UP, lost, 0.0)
    traffic.set(devices.DEVICE_FAULT, {**lost, "reason": "lost"}, 1.0)
    page.write(traffic.batch())

    found = rows(html())

    assert [row[0].split(" NVIDIA")[0] for row in found] == [
        "nvidia 11", "nvidia 0", "nvidia 2", "nvidia 2:0", "nvidia 10"
    ]  # fmt: skip
    assert found[0][1:] == ["down (lost)", "–", "–", "–", "–"]


@pytest.mark.parametrize(
    ("state", "said"), [("degraded", "降级"), ("failed", "故障"), ("predicted_failure", "即将故障")]
)
def test_a_state_that_is_not_ok_is_said(traffic: Any, page: Page, html: Html, state: str, said: str) -> None:
    traffic.device()
    own = {"hw.id": "GPU-0", "hw.name": "0", "hw.vendor": "nvidia", "hw.model": "NVIDIA H100 80GB HBM3"}
    traffic.set(devices.STATUS, own | {"hw.type": "gpu", "hw.state": "ok"}, 0.0)
    traffic.set(devices.STATUS, own | {"hw.type": "gpu", "hw.state": state}, 1.0)
    page.write(traffic.batch())

    assert rows(html("zh"))[0][1].startswith(said)


def test_a_device_without_a_pod_is_free_only_where_pods_are_known(traffic: Any, page: Page, html: Html) -> None:
    traffic.device()
    page.write(traffic.batch())
    assert "no pod" not in html()

    traffic.device(hw__id="GPU-1", hw__name="1")
    for pod in ("a-0", "b-0", "c-0"):
        own = {"hw.id": "GPU-1", "hw.name": "1", "hw.vendor": "nvidia", "k8s.namespace.name": "ml"}
        traffic.set(devices.ALLOCATION, own | {"k8s.pod.name": pod}, 1.0)
    page.write(traffic.batch(seconds=2))

    assert [row[0].rpartition("HBM3 ")[2] for row in rows(html())] == ["no pod", "ml/a-0, ml/b-0 and 1 more"]


def test_of_many_devices_some_are_shown_and_their_power_is_added_up(traffic: Any, page: Page, html: Html) -> None:
    for index in range(MAX_DEVICES + 3):
        traffic.device(hw__id=f"GPU-{index}", hw__name=str(index))
    page.write(traffic.batch())
    text = html()

    assert len(rows(text)) == MAX_DEVICES
    assert '<p class="quiet">and 3 more</p>' in text
    assert "Accelerators<small> 27 · 18.6\u00a0kW</small>" in text


def test_a_device_that_is_given_to_another_pod_stays_one_row(traffic: Any, page: Page, html: Html) -> None:
    traffic.device(k8s__pod__name="a-0")
    page.write(traffic.batch())
    for metric, labels in list(traffic.shown()):
        traffic.forget(metric, labels)
    traffic.device(k8s__pod__name="b-0")
    page.write(traffic.batch(seconds=2))

    assert [row[0].rpartition(" ")[2] for row in rows(html())] == ["b-0"]


def test_a_node_agent_counts_no_models_on_top(traffic: Any, page: Page, html: Html) -> None:
    traffic.set(health.BUILD_INFO, {"version": "1", "role": "node"}, 1.0)
    traffic.device()
    page.write(traffic.batch())
    text = html()

    assert LANGUAGES["en"].models not in text
    assert "<dt>Accelerators</dt><dd>1/1</dd>" in text
