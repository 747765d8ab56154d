"""
Request heads changed on their way to an upstream that has another name or a path before its own.

Everything else passes byte for byte, and so does all that follows something that is not HTTP/1.
"""

import re
from enum import Enum
from typing import Final

_MAX_HEAD_BYTES: Final = 256 << 10
_MAX_LINE_BYTES: Final = 16 << 10
_TOLD_BYTES: Final = 1 << 10
"""by then it shows whether this is a request line at all"""
_REQUEST_LINE: Final = re.compile(rb"([!-~]+) ([!-~]+) (HTTP/1\.[01])\r?\n")
_BEGUN_LINE: Final = re.compile(rb"[!-~]+(?: (?:[!-~]+(?: [!-~]*\r?)?)?)?")
_HOST: Final = re.compile(rb"^(host:[ \t]*)([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_LENGTH: Final = re.compile(rb"^content-length:[ \t]*(\d+)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_CHUNKED: Final = re.compile(rb"^transfer-encoding:[^\r\n]*\bchunked[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_UPGRADE: Final = re.compile(rb"^upgrade:", re.IGNORECASE | re.MULTILINE)
_END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")
_ORIGIN: Final = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)


class _In(Enum):
    HEAD = 1
    BODY = 2
    CHUNK_SIZE = 3
    CHUNK_END = 4
    TRAILERS = 5
    UNKNOWN = 6


class HeadRewriter:
    """
    Feed it what the client sends, in any pieces; it gives what the upstream is to get.

    >>> rewriter = HeadRewriter(host="api.example.com", prefix="/openai")
    >>> rewriter.feed(b"GET /v1/models HTTP/1.1\\r\\nHOST: localhost\\r\\n\\r\\n")
    b'GET /openai/v1/models HTTP/1.1\\r\\nHOST: api.example.com\\r\\n\\r\\n'
    """

    def __init__(self, host: str, prefix: str) -> None:
        self._host = host.encode("ascii")
        self._prefix = prefix.encode("ascii")
        self._state = _In.HEAD
        self._held = bytearray()
        self._searched = 0
        self._left = 0
        self._may_upgrade = False

    def feed(self, data: bytes) -> bytes:
        if self._state is _In.UNKNOWN:
            return data
        if self._state is _In.BODY and len(data) < self._left:
            self._left -= len(data)
            return data
        self._held += data
        out: list[bytes] = []
        while self._held and self._step(out):
            pass
        return b"".join(out)

    def hear(self, data: bytes) -> None:
        """What the upstream sends: once it has agreed to another protocol, nothing more is changed."""
        if self._may_upgrade:
            self._may_upgrade = False
            if data.startswith(b"HTTP/1.1 101"):
                self._state = _In.UNKNOWN

    def rest(self) -> bytes:
        """What was held back of a head that will not be completed."""
        held = bytes(self._held)
        self._held.clear()
        return held

    def _step(self, out: list[bytes]) -> bool:
        """Pass one part on; False when more has to come first."""
        if self._state is _In.HEAD:
            return self._head(out)
        if self._state is _In.UNKNOWN:
            self._take(len(self._held), out)
        elif self._state in (_In.BODY, _In.CHUNK_END):
            taken = min(self._left, len(self._held))
            self._take(taken, out)
            self._left -= taken
            if not self._left:
                self._state = _In.HEAD if self._state is _In.BODY else _In.CHUNK_SIZE
        else:
            return self._line(out)
        return True

    def _head(self, out: list[bytes]) -> bool:
        if self._held[0] in b"\r\n":  # tolerated before a request line
            return self._take(1, out)
        searched, self._searched = self._searched, len(self._held)
        end = _END_OF_HEAD.search(self._held, max(0, searched - 3))
        if end is None:
            is_hopeless = len(self._held) > _MAX_HEAD_BYTES or self._is_foreign(searched)
            return self._give_up(out) if is_hopeless else False
        self._searched = 0
        head = bytes(self._held[: end.end()])
        line = _REQUEST_LINE.match(head)
        lengths = set(_LENGTH.findall(head))
        is_chunked = _CHUNKED.search(head) is not None
        if line is None or len(lengths) > 1:
            return self._give_up(out)
        del self._held[: end.end()]
        out.append(self._changed(head, line))
        self._may_upgrade = _UPGRADE.search(head) is not None
        if is_chunked:
            self._state = _In.CHUNK_SIZE
        elif lengths:
            self._left = int(lengths.pop())
            self._state = _In.BODY if self._left else _In.HEAD
        return True

    def _changed(self, head: bytes, line: re.Match[bytes]) -> bytes:
        method, target, version = line.groups()
        target = _ORIGIN.sub(b"", target, count=1) or b"/"
        if target.startswith(b"/"):
            target = self._prefix + target
        end = head[line.end(3) : line.end()]
        rest = _HOST.sub(lambda found: found[1] + self._host, head[line.end() :], count=1)
        return b"%b %b %b%b%b" % (method, target, version, end, rest)

    def _line(self, out: list[bytes]) -> bool:
        """The size of a chunk, or a line of the trailers."""
        end = self._held.find(b"\n") + 1
        if not end:
            return self._give_up(out) if len(self._held) > _MAX_LINE_BYTES else False
        line = bytes(self._held[:end]).strip()
        self._take(end, out)
        if self._state is _In.TRAILERS:
            self._state = _In.TRAILERS if line else _In.HEAD
            return True
        try:
            size = int(line.partition(b";")[0].strip(), 16)
        except ValueError:
            return self._give_up(out)
        self._left = size + 2
        self._state = _In.CHUNK_END if size > 0 else _In.TRAILERS
        return True

    def _take(self, count: int, out: list[bytes]) -> bool:
        out.append(bytes(self._held[:count]))
        del self._held[:count]
        return True

    def _give_up(self, out: list[bytes]) -> bool:
        self._state = _In.UNKNOWN
        return self._take(len(self._held), out)

    def _is_foreign(self, searched: int) -> bool:
        """
        A first line, or as much of it as is there, that is no request line.

        :param searched: bytes of it that were looked at before
        """
        if self._held.find(b"\n", searched) >= 0:
            return _REQUEST_LINE.match(self._held) is None
        return len(self._held) <= _TOLD_BYTES and b"\n" not in self._held and not _BEGUN_LINE.fullmatch(self._held)
