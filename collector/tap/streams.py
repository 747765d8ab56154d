"""Events out of the pieces in which a streamed answer comes, in bounded memory and whatever the pieces are."""

from typing import Final, Protocol

_BOM: Final = b"\xef\xbb\xbf"


class Events(Protocol):
    @property
    def dropped(self) -> int:
        """Events that were longer than allowed."""
        ...

    def feed(self, data: bytes) -> list[bytes]:
        """The events that `data`, which is not empty, completes."""
        ...

    def end(self) -> list[bytes]:
        """What an answer that breaks off leaves behind, as if its last line had been ended."""
        ...


class Lines:
    """
    Lines, ended by LF, CRLF or CR, of at most `limit` bytes; a longer one is dropped.

    >>> lines = Lines(limit=100)
    >>> lines.feed(b"a" + bytes([13])), lines.feed(bytes([10]) + b"b"), lines.end()
    ([b'a'], [], [b'b'])
    """

    __slots__ = ("_after_cr", "_limit", "_rest", "_skipping", "dropped")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._after_cr = False
        self._skipping = False
        self.dropped = 0

    @property
    def at_start(self) -> bool:
        """Nothing of a line is held."""
        return not (self._rest or self._skipping or self._after_cr)

    def feed(self, data: bytes) -> list[bytes]:
        if self._after_cr:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\n" not in data and b"\r" not in data:
            self._keep(data)
            return []
        lines = data.splitlines()
        last = data[-1]
        self._after_cr = last == 0x0D
        rest = b"" if last in b"\r\n" else lines.pop()
        if self._skipping:
            self._skipping = False
            del lines[0]
        elif self._rest:
            lines[0] = bytes(self._rest + lines[0])
            self._rest.clear()
        if any(len(line) > self._limit for line in lines):
            short = [line for line in lines if len(line) <= self._limit]
            self.dropped += len(lines) - len(short)
            lines = short
        self._keep(rest)
        return lines

    def end(self) -> list[bytes]:
        rest = bytes(self._rest)
        self._rest.clear()
        return [rest] if rest else []

    def _keep(self, data: bytes) -> None:
        if self._skipping:
            return
        if len(self._rest) + len(data) > self._limit:
            self._rest.clear()
            self._skipping = True
            self.dropped += 1
        else:
            self._rest += data


class ServerSentEvents:
    """
    The data of each event of a `text/event-stream`; comments and other fields are passed over.

    https://html.spec.whatwg.org/multipage/server-sent-events.html, except that data at the very end counts although no
    blank line follows: some servers leave out the last one.
    """

    __slots__ = ("_begun", "_data", "_limit", "_lines", "_overflown", "_size", "dropped_whole")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines = Lines(limit)
        self._data: list[bytes] = []
        self._size = 0
        self._overflown = False
        self._begun = False
        self.dropped_whole = 0

    @property
    def dropped(self) -> int:
        return self._lines.dropped + self.dropped_whole

    def feed(self, data: bytes) -> list[bytes]:
        if (
            data.startswith(b"data: ")
            and data.find(b"\n") == len(data) - 2
            and data[-1] == 0x0A
            and b"\r" not in data
            and not self._data
            and self._lines.at_start
            and not self._overflown
            and len(data) - 2 <= self._limit
        ):  # one whole event, as it nearly always comes
            self._begun = True
            return [data[6:-2]]
        return self._events(self._lines.feed(data))

    def end(self) -> list[bytes]:
        return self._events([*self._lines.end(), b""])

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events = []
        for line in lines:
            if not self._begun:
                self._begun = True
                line = line.removeprefix(_BOM)
            if line:
                self._field(line)
                continue
            if self._data and not self._overflown:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
            self._data, self._size, self._overflown = [], 0, False
        return events

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name != b"data" or self._overflown:
            return
        self._size += len(value) + 1
        if self._size > self._limit:
            self._data, self._overflown = [], True
            self.dropped_whole += 1
        else:
            self._data.append(value.removeprefix(b" "))


class JsonLines:
    """One JSON text a line, as Ollama streams."""

    __slots__ = ("_lines",)

    def __init__(self, limit: int) -> None:
        self._lines = Lines(limit)

    @property
    def dropped(self) -> int:
        return self._lines.dropped

    def feed(self, data: bytes) -> list[bytes]:
        return [line for line in self._lines.feed(data) if line]

    def end(self) -> list[bytes]:
        return self._lines.end()
