import ctypes
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.accelerators.placement import pod_resources
from collector.accelerators.placement.allocation import Given, KubeletError, Trouble
from collector.accelerators.placement.kubelet import KEEP_INTERVALS, Kubelet, ask
from collector.accelerators.places import Place
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import devices as vocabulary

PATIENT = 60.0
LOGGER = "watchkeeper.accelerators.placement"


def _pod(name: str, *ids: str) -> dict[str, Any]:
    devices = {"resourceName": "nvidia.com/gpu", "deviceIds": list(ids), "topology": {"nodes": [{"ID": 1}]}}
    return {
        "name": name,
        "namespace": "serving",
        "containers": [
            {"name": "vllm", "devices": [devices], "cpuIds": [3, 4], "memory": [{"memoryType": "memory", "size": 7}]}
        ],
    }


def _given(name: str, *ids: str) -> Given:
    return Given(Place(namespace="serving", pod=name, container="vllm"), "nvidia.com/gpu", ids)


def _trouble(path: Path, timeout_seconds: float = PATIENT) -> Trouble:
    with pytest.raises(KubeletError) as told:
        ask(str(path), timeout_seconds)
    return told.value.trouble


class TestAnswers:
    def test_devices_of_plugins_are_read_by_the_documented_field_numbers(self, kubelet, encode):
        kubelet.answer = encode({"podResources": [_pod("a", "GPU-1", "GPU-2"), _pod("b", "GPU-3")]})

        assert ask(str(kubelet.path), PATIENT) == (_given("a", "GPU-1", "GPU-2"), _given("b", "GPU-3"))
        assert kubelet.asked == [b""]

    def test_a_claim_tells_driver_device_and_cdi_names(self, kubelet, encode):
        claimed = {
            "cdiDevices": [{"name": "k8s.gpu.nvidia.com/claim=x-gpu-3"}, {"name": "k8s.gpu.nvidia.com/device=GPU-9"}],
            "driverName": "gpu.nvidia.com",
            "poolName": "node-1",
            "deviceName": "gpu-3",
            "shareId": "s",
        }
        claim = {"className": "c", "claimName": "n", "claimNamespace": "serving", "claimResources": [claimed]}
        kubelet.answer = encode(
            {"podResources": [{"name": "p", "containers": [{"name": "c", "dynamicResources": [claim]}]}]}
        )

        [given] = ask(str(kubelet.path), PATIENT)

        assert given == Given(Place(pod="p", container="c"), "gpu.nvidia.com", ("gpu-3", "x-gpu-3", "GPU-9"))

    def test_a_claim_of_an_older_kubelet_is_known_by_its_cdi_devices(self, encode):
        claim = {"claimResources": [{"cdiDevices": [{"name": "k8s.gpu.nvidia.com/device=GPU-9"}]}]}
        raw = encode({"podResources": [{"name": "p", "containers": [{"dynamicResources": [claim]}]}]})

        assert pod_resources.parse(raw) == (Given(Place(pod="p"), "k8s.gpu.nvidia.com/device", ("GPU-9",)),)

    def test_a_claimed_resource_without_any_name_names_nothing(self, encode):
        raw = encode({"podResources": [{"containers": [{"dynamicResources": [{"claimResources": [{}]}]}]}]})

        assert pod_resources.parse(raw) == (Given(Place(), "", ()),)

    def test_a_name_that_is_no_text_does_not_cost_the_others(self, encode):
        raw = encode({"podResources": [_pod("~~", "GPU-1"), _pod("b", "GPU-2")]}).replace(b"~~", b"\xff\xfe")

        assert [given.place.pod for given in pod_resources.parse(raw)] == ["\ufffd\ufffd", "b"]

    def test_of_a_name_told_twice_the_last_counts_and_of_another_type_none(self, encode):
        raw = encode({"podResources": [_pod("a", "GPU-1")]})
        again = b"\x0a\x01b" + b"\x08\x63" + b"\x0d\x63\x63\x63\x63"  # name: a text, a varint, four bytes
        pod = raw[2:] if raw[1] < 0x80 else raw[3:]

        [given] = pod_resources.parse(b"\x0a" + bytes([len(pod + again)]) + pod + again)

        assert given.place.pod == "b"

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_no_bytes_lead_to_another_error_than_malformed(self, encode, data):
        claim = {"claimResources": [{"cdiDevices": [{"name": "v/c=d"}], "driverName": "v", "deviceName": "d"}]}
        pods = [_pod("a", "GPU-1"), {"containers": [{"dynamicResources": [claim]}]}]
        raw = bytearray(encode({"podResources": pods}))
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        try:
            pod_resources.parse(bytes(raw))
        except KubeletError as error:
            assert error.trouble is Trouble.MALFORMED  # noqa: PT017 - most of it can be read

    def test_what_is_kept_of_an_answer_is_bounded(self, encode):
        many = {"resourceName": "r", "deviceIds": ["x"] * (pod_resources.MAX_IDS + 1)}
        containers = [{"name": "c", "devices": [many]}, *({"devices": [{}]} for _ in range(pod_resources.MAX_GIVEN))]
        claimed = {"cdiDevices": [{"name": "a=b"}] * (pod_resources.MAX_IDS + 1)}
        claiming = {"containers": [{"dynamicResources": [{"claimResources": [claimed]}]}]}
        given = pod_resources.parse(encode({"podResources": [claiming, {"containers": containers}]}))

        assert (len(given), len(given[0].ids), len(given[1].ids)) == (
            pod_resources.MAX_GIVEN, pod_resources.MAX_IDS, pod_resources.MAX_IDS,
        )  # fmt: skip


class TestTroubles:
    def test_no_socket(self, tmp_path):
        assert _trouble(tmp_path / "kubelet.sock") is Trouble.MISSING
        assert _trouble(tmp_path / "file" / "kubelet.sock") is Trouble.MISSING

    def test_a_path_that_is_none(self, tmp_path):
        long = tmp_path / ("x" * 120)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "s"))
            (tmp_path / "s").rename(long)

        assert _trouble(long) is Trouble.FAILING
        assert _trouble(Path("\0")) is Trouble.FAILING

    def test_a_file_instead_of_a_socket(self, tmp_path):
        (tmp_path / "kubelet.sock").write_text("")

        assert _trouble(tmp_path / "kubelet.sock") is Trouble.NOT_A_SOCKET

    def test_a_socket_that_may_not_be_opened(self, kubelet):
        kubelet.path.chmod(0o600)
        me = os.geteuid()
        ctypes.CDLL(None).setfsuid(65534)  # of this thread alone, and with it goes what root may with files
        try:
            assert _trouble(kubelet.path) is Trouble.NOT_PERMITTED
        finally:
            ctypes.CDLL(None).setfsuid(me)

    def test_a_folder_that_may_not_be_searched(self, kubelet):
        kubelet.path.parent.chmod(0o700)
        me = os.geteuid()
        ctypes.CDLL(None).setfsuid(65534)
        try:
            assert _trouble(kubelet.path) is Trouble.NOT_PERMITTED
        finally:
            ctypes.CDLL(None).setfsuid(me)

    def test_a_socket_left_behind(self, tmp_path):
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(tmp_path / "kubelet.sock"))

        assert _trouble(tmp_path / "kubelet.sock") is Trouble.REFUSED

    def test_a_kubelet_that_hangs(self, kubelet):
        end = threading.Event()
        kubelet.answer = lambda _context: bytes(end.wait(PATIENT))

        assert _trouble(kubelet.path, timeout_seconds=0.2) is Trouble.TIMED_OUT
        end.set()

    def test_a_listener_that_accepts_nobody(self, tmp_path):
        with socket.socket(socket.AF_UNIX) as full:
            full.bind(str(tmp_path / "kubelet.sock"))
            full.listen(0)
            with socket.socket(socket.AF_UNIX) as first:
                first.connect(str(tmp_path / "kubelet.sock"))

                assert _trouble(tmp_path / "kubelet.sock", timeout_seconds=0.2) is Trouble.TIMED_OUT

    def test_a_peer_that_is_silent(self, tmp_path):
        with socket.socket(socket.AF_UNIX) as mute:
            mute.bind(str(tmp_path / "kubelet.sock"))
            mute.listen(8)

            assert _trouble(tmp_path / "kubelet.sock", timeout_seconds=0.2) is Trouble.TIMED_OUT

    def test_a_peer_that_is_no_kubelet(self, tmp_path):
        with socket.socket(socket.AF_UNIX) as web:
            web.bind(str(tmp_path / "kubelet.sock"))
            web.listen(8)
            threading.Thread(target=_refuse, args=(web,), daemon=True).start()

            assert _trouble(tmp_path / "kubelet.sock") is Trouble.NOT_A_KUBELET

    def test_a_kubelet_that_knows_only_the_older_version(self, kubelet):
        kubelet.stop()
        kubelet.start(service="v1alpha1.PodResourcesLister")

        assert _trouble(kubelet.path) is Trouble.NOT_A_KUBELET

    def test_an_answer_that_is_no_protobuf(self, kubelet):
        kubelet.answer = b"\x0a\xff\xff\xff\xff\x0f"

        assert _trouble(kubelet.path) is Trouble.MALFORMED

    def test_an_answer_that_is_too_large(self, kubelet):
        kubelet.answer = bytes(pod_resources.MAX_ANSWER_BYTES + 1)

        assert _trouble(kubelet.path) is Trouble.TOO_LARGE

    @pytest.mark.parametrize(
        ("code", "trouble"),
        [
            (grpc.StatusCode.PERMISSION_DENIED, Trouble.NOT_PERMITTED),
            (grpc.StatusCode.UNAUTHENTICATED, Trouble.NOT_PERMITTED),
            (grpc.StatusCode.RESOURCE_EXHAUSTED, Trouble.FAILING),  # its limit of questions per second
            (grpc.StatusCode.INTERNAL, Trouble.FAILING),
        ],
    )
    def test_an_error_the_kubelet_tells(self, kubelet, code, trouble):
        kubelet.answer = lambda context: context.abort(code, "rejected by rate limit")

        assert _trouble(kubelet.path) is trouble


def _refuse(web: socket.socket) -> None:
    while True:
        try:
            peer, _ = web.accept()
        except OSError:
            return
        with closing(peer), suppress(OSError):
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


class TestOverTime:
    def _until(self, kubelet: Kubelet, now: float, true: Callable[[], bool]) -> None:
        """The same tick again and again, until what was asked for in the thread aside has come."""
        deadline = time.monotonic() + PATIENT
        while not true():
            assert time.monotonic() < deadline
            kubelet.refresh(now)
            time.sleep(0.01)

    def test_a_restarted_kubelet_is_asked_again_and_a_gone_one_places_nothing_for_ever(self, kubelet, encode, caplog):
        caplog.set_level(logging.INFO, LOGGER)
        ledger = Ledger()
        asked = Kubelet(str(kubelet.path), 10.0, ledger)
        kubelet.answer = encode({"podResources": [_pod("a", "GPU-1")]})
        self._until(asked, 100.0, lambda: asked.given == (_given("a", "GPU-1"),))
        assert _values(ledger) == {vocabulary.PLACEMENT_UP.name: 1.0}

        kubelet.stop()
        self._until(asked, 110.0, lambda: bool(caplog.records))
        self._until(asked, 120.0, lambda: _values(ledger).get(vocabulary.PLACEMENT_ERRORS.name) == 1.0)
        assert asked.given == (_given("a", "GPU-1"),)
        asked.refresh(100.0 + KEEP_INTERVALS * 10.0)
        assert asked.given == (_given("a", "GPU-1"),)
        asked.refresh(101.0 + KEEP_INTERVALS * 10.0)
        assert asked.given == ()
        self._until(asked, 161.0, lambda: vocabulary.PLACEMENT_ERRORS.name in _values(ledger))
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "mount /var/lib/kubelet/pod-resources" in caplog.text

        kubelet.start()
        kubelet.answer = encode({"podResources": [_pod("b", "GPU-1")]})
        self._until(asked, 300.0, lambda: asked.given == (_given("b", "GPU-1"),))
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        assert _values(ledger)[vocabulary.PLACEMENT_UP.name] == 1.0
        asked.close()

    def test_where_there_never_was_a_kubelet_it_is_said_once_and_not_as_a_warning(self, tmp_path, caplog):
        caplog.set_level(logging.INFO, LOGGER)
        ledger = Ledger()
        asked = Kubelet(str(tmp_path / "kubelet.sock"), 10.0, ledger)
        for now in (100.0, 110.0, 120.0):
            self._until(asked, now, lambda: vocabulary.PLACEMENT_ERRORS.name in _values(ledger))

        assert [record.levelname for record in caplog.records] == ["INFO"]

    def test_a_kubelet_is_asked_once_in_an_interval(self, kubelet, encode):
        ledger = Ledger()
        asked = Kubelet(str(kubelet.path), 10.0, ledger)
        self._until(asked, 100.0, lambda: vocabulary.PLACEMENT_UP.name in _values(ledger))
        for now in (101.0, 105.0, 109.9):
            asked.refresh(now)
        kubelet.answer = encode({"podResources": [_pod("a", "GPU-1")]})
        self._until(asked, 110.0, lambda: asked.given != ())

        assert len(kubelet.asked) == 2

    def test_a_question_that_is_still_open_when_the_next_is_due_counts(self, kubelet):
        end = threading.Event()
        kubelet.answer = lambda _context: bytes(end.wait(PATIENT))
        ledger = Ledger()
        asked = Kubelet(str(kubelet.path), 10.0, ledger)
        asked.refresh(100.0)
        asked.refresh(110.0)
        samples = ledger.drain(0.0)
        end.set()

        assert [s.labels for s in samples if s.metric is vocabulary.PLACEMENT_ERRORS] == [(("reason", "timed_out"),)]

    def test_a_clock_that_was_set_back_does_not_stop_the_asking(self, kubelet):
        ledger = Ledger()
        asked = Kubelet(str(kubelet.path), 10.0, ledger)
        self._until(asked, 1000.0, lambda: vocabulary.PLACEMENT_UP.name in _values(ledger))
        self._until(asked, 10.0, lambda: len(kubelet.asked) == 2)

        assert len(kubelet.asked) == 2


def _values(ledger: Ledger) -> dict[str, float]:
    return {sample.metric.name: sample.value for sample in ledger.drain(0.0)}
