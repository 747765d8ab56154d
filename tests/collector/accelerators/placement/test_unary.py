import gc
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress

import grpc
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded
from hpack import Encoder
from hyperframe.frame import PingFrame, PushPromiseFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.accelerators.placement import unary
from collector.accelerators.placement.allocation import KubeletError, Trouble
from collector.accelerators.placement.kubelet import ask
from collector.accelerators.placement.pod_resources import LIST, MAX_ANSWER_BYTES

PATIENT = 60.0
BEGIN = ((":status", "200"), ("content-type", "application/grpc"))
END = (("grpc-status", "0"), ("grpc-message", ""))

Script = Callable[[H2Connection], None]


def _prefixed(message: bytes, compressed: int = 0) -> bytes:
    return struct.pack(">BI", compressed, len(message)) + message


def _begun(script: Script) -> tuple[unary.Call, bytes]:
    """A call, and what a server that follows the script answers."""
    call = unary.Call(LIST, PATIENT, MAX_ANSWER_BYTES)
    server = H2Connection(H2Configuration(client_side=False, header_encoding=None))
    server.initiate_connection()
    server.receive_data(call.to_send())
    script(server)
    return call, server.data_to_send()


def _answers(message: bytes, frame_bytes: int = 1 << 14) -> Script:
    def script(server: H2Connection) -> None:
        server.send_headers(1, BEGIN)
        body = _prefixed(message)
        for at in range(0, len(body), frame_bytes):
            server.send_data(1, body[at : at + frame_bytes], pad_length=at % 3)
        server.send_headers(1, END, end_stream=True)

    return script


def _sends(body: bytes, trailers: tuple[tuple[str, str], ...] = END) -> Script:
    def script(server: H2Connection) -> None:
        server.send_headers(1, BEGIN)
        server.send_data(1, body)
        server.send_headers(1, trailers, end_stream=True)

    return script


def _tells(*headers: tuple[str, str]) -> Script:
    """Headers alone."""
    return lambda server: server.send_headers(1, headers, end_stream=True)


def _refused(script: Script, *then: bytes) -> KubeletError:
    call, raw = _begun(script)
    return _error(call, raw, *then)


def _error(call: unary.Call, *pieces: bytes) -> KubeletError:
    with pytest.raises(KubeletError) as told:
        _take(call, pieces)
    return told.value


def _take(call: unary.Call, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        call.take(piece)


def _connections() -> list[H2Connection]:
    return [held for held in gc.get_objects() if type(held) is H2Connection]


class TestQuestion:
    def test_it_is_what_grpc_asks_for(self):
        call = unary.Call(LIST, 0.2504, MAX_ANSWER_BYTES)
        server = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        request, *others = [
            event
            for event in server.receive_data(call.to_send())
            if isinstance(event, RequestReceived | DataReceived | StreamEnded)
        ]

        assert dict(request.headers) == {
            ":method": "POST",
            ":scheme": "http",
            ":authority": "localhost",
            ":path": "/v1.PodResourcesLister/List",
            "te": "trailers",
            "content-type": "application/grpc",
            "user-agent": "watchkeeper",
            "grpc-timeout": "251m",
        }
        assert [type(event) for event in others] == [DataReceived, StreamEnded]
        assert others[0].data == bytes(5)


class TestAnswer:
    @settings(deadline=None, max_examples=60)
    @given(st.binary(max_size=3000), st.integers(1, 1000), st.lists(st.integers(1, 4000)))
    def test_it_is_the_same_however_its_bytes_are_cut(self, message, frame_bytes, cuts):
        call, raw = _begun(_answers(message, frame_bytes))
        for cut in (*cuts, *[1] * len(raw)):
            if not raw:
                break
            assert call.answer is None
            call.take(raw[:cut])
            raw = raw[cut:]

        assert call.answer == message

    def test_padding_counts_in_the_windows_and_is_given_back(self):
        call = unary.Call(LIST, PATIENT, MAX_ANSWER_BYTES)
        server = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        server.initiate_connection()
        server.receive_data(call.to_send())
        server.send_headers(1, BEGIN)
        for byte in _prefixed(b"x" * 500):
            server.send_data(1, bytes([byte]), pad_length=255)  # 505 of them fill the first window twice
            call.take(server.data_to_send())
            server.receive_data(call.to_send())
        server.send_headers(1, END, end_stream=True)
        call.take(server.data_to_send())

        assert call.answer == b"x" * 500

    def test_what_follows_it_does_not_matter(self):
        call, raw = _begun(_answers(b"done"))
        call.take(raw + b"\xff" * 100)

        assert call.answer == b"done"

    def test_one_that_is_larger_than_the_windows_comes_whole(self, kubelet):
        kubelet.answer = b"\x7a\xf6\xff\xff\x01" + bytes(MAX_ANSWER_BYTES - 5 - 5)  # one field that nobody knows

        assert ask(str(kubelet.path), PATIENT) == ()

    def test_one_of_somebody_who_closes_at_once_is_read(self):
        ours, theirs = socket.socketpair()
        with closing(ours), closing(theirs):
            _, raw = _begun(_answers(b"done"))
            theirs.sendall(raw)
            theirs.shutdown(socket.SHUT_RDWR)

            assert unary.ask(ours, LIST, PATIENT, MAX_ANSWER_BYTES) == b"done"

    def test_asking_leaves_nothing_for_the_collector(self):
        ours, theirs = socket.socketpair()
        with closing(ours), closing(theirs):
            theirs.sendall(_begun(_answers(b"done"))[1])
            gc.collect()
            before = _connections()  # of calls that other tests left hanging
            gc.disable()
            try:
                unary.ask(ours, LIST, PATIENT, MAX_ANSWER_BYTES)

                assert [held for held in _connections() if held not in before] == []
            finally:
                gc.enable()

    def test_asking_loads_neither_grpc_nor_protobuf(self, kubelet):
        program = (
            "import sys; from collector.accelerators.placement.kubelet import ask; ask(sys.argv[1], 10);"
            "print([name for name in sys.modules if name in ('h2', 'grpc', 'google.protobuf')])"
        )
        said = subprocess.run([sys.executable, "-c", program, kubelet.path], capture_output=True, text=True, check=True)

        assert (said.stdout, len(kubelet.asked)) == ("['h2']\n", 1)


class TestErrorsThatAreTold:
    def test_one_without_a_body_and_with_its_words(self):
        told = _refused(_tells(*BEGIN, ("grpc-status", "8"), ("grpc-message", "too%20often: %E5%A4%AA%0A%ff%zz")))

        assert told.trouble is Trouble.FAILING
        assert str(told).endswith("(RESOURCE_EXHAUSTED: too often: 太?\ufffd%zz)")

    def test_one_beside_another_status_of_http(self):
        told = _refused(_tells((":status", "503"), ("content-type", "text/plain"), ("grpc-status", "16")))

        assert told.trouble is Trouble.NOT_PERMITTED

    def test_one_after_half_an_answer(self):
        told = _refused(_sends(_prefixed(bytes(9))[:7], (("grpc-status", "4"),)))

        assert told.trouble is Trouble.TIMED_OUT

    def test_one_of_a_real_server_in_its_own_words(self, kubelet):
        kubelet.answer = lambda context: context.abort(grpc.StatusCode.UNAVAILABLE, "正在停止 100%")

        with pytest.raises(KubeletError, match=r"\(UNAVAILABLE: 正在停止 100%\)") as told:
            ask(str(kubelet.path), PATIENT)
        assert told.value.trouble is Trouble.FAILING

    def test_long_words_are_cut(self):
        told = _refused(_tells(*BEGIN, ("grpc-status", "99"), ("grpc-message", "x" * 9000)))

        assert str(told).endswith(f"(status 99: {'x' * 200})")

    @pytest.mark.parametrize(
        ("status", "content_type", "trouble"),
        [
            ("403", "text/plain", Trouble.NOT_PERMITTED),
            ("401", "text/plain", Trouble.NOT_PERMITTED),
            ("404", "text/plain", Trouble.NOT_A_KUBELET),
            ("200", "text/html", Trouble.NOT_A_KUBELET),
            ("503", "application/grpc", Trouble.NOT_A_KUBELET),
        ],
    )
    def test_http_without_grpc(self, status, content_type, trouble):
        assert _refused(_tells((":status", status), ("content-type", content_type))).trouble is trouble


class TestBrokenAnswers:
    @pytest.mark.parametrize(
        ("script", "trouble", "detail"),
        [
            (_sends(_prefixed(b"x", compressed=1)), Trouble.MALFORMED, "compressed"),
            (_sends(_prefixed(b"x") + _prefixed(b"y")), Trouble.MALFORMED, "more than one message"),
            (_sends(_prefixed(b"xyz")[:-1]), Trouble.MALFORMED, "ends before"),
            (_sends(b"\0\0"), Trouble.MALFORMED, "ends before"),
            (_tells(*BEGIN, *END), Trouble.MALFORMED, "ends before"),
            (_sends(_prefixed(b"x"), (("other", "1"),)), Trouble.MALFORMED, "without a status"),
            (_sends(struct.pack(">BI", 0, MAX_ANSWER_BYTES + 1)), Trouble.TOO_LARGE, "more than 4194304 bytes"),
            (_tells(*BEGIN, *((f"x-{n}", "y" * 1000) for n in range(80))), Trouble.MALFORMED, "DenialOfService"),
        ],
    )
    def test_they_are_refused_with_the_reason(self, script, trouble, detail):
        told = _refused(script)

        assert (told.trouble, detail in str(told)) == (trouble, True)

    def test_a_pushed_answer_is_not_taken(self):
        asked = ((":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/"))
        promised = PushPromiseFrame(1, promised_stream_id=2, data=Encoder().encode(asked), flags=["END_HEADERS"])

        assert _refused(lambda _server: None, promised.serialize()).trouble is Trouble.MALFORMED

    def test_a_reset_stream(self):
        told = _refused(lambda server: server.reset_stream(1, ErrorCodes.REFUSED_STREAM))

        assert (told.trouble, "RST_STREAM REFUSED_STREAM" in str(told)) == (Trouble.FAILING, True)

    def test_a_frame_that_is_too_long(self):
        told = _refused(lambda _server: None, struct.pack(">I", 0x4001 << 8) + bytes(5))

        assert (told.trouble, "a frame is too long" in str(told)) == (Trouble.MALFORMED, True)

    def test_a_server_that_goes_away_and_still_pings(self):
        told = _refused(lambda server: server.close_connection(last_stream_id=0), PingFrame(0, b"12345678").serialize())

        assert (told.trouble, "GOAWAY NO_ERROR" in str(told)) == (Trouble.FAILING, True)

    def test_a_server_that_goes_away_with_a_code_that_nobody_knows(self):
        told = _refused(lambda server: server.close_connection(error_code=4711))

        assert "GOAWAY 4711" in str(told)

    def test_a_connection_closed_in_the_middle(self):
        assert _refused(lambda server: server.send_headers(1, BEGIN), b"").trouble is Trouble.FAILING

    @pytest.mark.parametrize(
        "pieces", [[b""], [b"HTTP/1.1 400 Bad Request\r\n\r\n"], [b"SSH-2.0-x\r\n", b""], [bytes(20), b""]]
    )
    def test_somebody_who_speaks_no_http2(self, pieces):
        call = unary.Call(LIST, PATIENT, MAX_ANSWER_BYTES)

        assert _error(call, *pieces).trouble is Trouble.NOT_A_KUBELET

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_no_bytes_lead_to_another_error(self, data):
        call, raw = _begun(_answers(b"message", 3))
        at = data.draw(st.integers(0, len(raw)))
        length = data.draw(st.integers(0, 20))
        broken = raw[:at] + data.draw(st.binary(max_size=20)) + raw[at + length :]
        with suppress(KubeletError):
            call.take(broken or b"?")
        assert call.answer is None or isinstance(call.answer, bytes)


class TestDeadline:
    @contextmanager
    def _chattering(self) -> Iterator[socket.socket]:
        """A connection to somebody who has always something to say, and never an answer."""
        ours, theirs = socket.socketpair()
        ended = threading.Event()

        def chatter() -> None:
            _, raw = _begun(lambda _server: None)
            with suppress(OSError):
                theirs.sendall(raw)
                while not ended.wait(0.01):
                    theirs.sendall(PingFrame(0, b"12345678", flags=["ACK"]).serialize())

        thread = threading.Thread(target=chatter)
        thread.start()
        with closing(ours), closing(theirs):
            yield ours
            ended.set()
            thread.join()

    def test_it_is_of_the_whole_call_not_of_each_piece(self):
        with self._chattering() as peer, pytest.raises(KubeletError) as told:
            unary.ask(peer, LIST, 0.3, MAX_ANSWER_BYTES)

        assert told.value.trouble is Trouble.TIMED_OUT

    def test_it_is_kept_with_somebody_who_asks_and_does_not_listen(self):
        ours, theirs = socket.socketpair()
        with closing(ours), closing(theirs):
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # as little as the system has
            _, raw = _begun(lambda _server: None)
            theirs.sendall(raw + PingFrame(0, b"12345678").serialize() * 3000)  # their answers do not fit
            with pytest.raises(KubeletError) as told:
                unary.ask(ours, LIST, 0.3, MAX_ANSWER_BYTES)

        assert told.value.trouble is Trouble.TIMED_OUT
