"""Content codings of OTLP/HTTP bodies, with the size bound applied while inflating."""

import zlib
from enum import StrEnum
from typing import Final

from watchkeeper.core.errors import WatchkeeperError

STEP_BYTES: Final = 1 << 20
"""inflated at a time"""
SLICE_BYTES: Final = 1 << 16
"""compressed bytes handed to zlib at a time: what it has not used it copies, so the slice is small"""
MAX_MEMBERS: Final = 4096
"""gzip members in one body: each costs a fresh decompressor"""

_GZIP_WBITS: Final = 31
_ZLIB_WBITS: Final = 15
_RAW_WBITS: Final = -15


class Coding(StrEnum):
    IDENTITY = "identity"
    GZIP = "gzip"
    DEFLATE = "deflate"


CODINGS: Final = {
    "": Coding.IDENTITY,
    "identity": Coding.IDENTITY,
    "none": Coding.IDENTITY,
    "gzip": Coding.GZIP,
    "x-gzip": Coding.GZIP,
    "deflate": Coding.DEFLATE,
}
"""`Content-Encoding` in lower case to what it means; anything else is refused."""


class TooLarge(WatchkeeperError):  # noqa: N818 - a state of the body, named as the sender sees it
    """More bytes come out than the limit allows."""


class Corrupt(WatchkeeperError):  # noqa: N818
    """Not a whole, valid stream of its coding."""


def decode(body: bytes, coding: Coding, limit_bytes: int) -> bytes:
    """
    The body as it was before its sender compressed it.

    :raises TooLarge: it is longer than `limit_bytes`; at most that and one step were inflated
    :raises Corrupt: truncated, damaged, or followed by something else
    """
    if coding is Coding.IDENTITY:
        if len(body) > limit_bytes:
            raise TooLarge
        return body
    if coding is Coding.GZIP:
        return _gunzip(body, limit_bytes)
    return _inflate_deflate(body, limit_bytes)


def _gunzip(body: bytes, limit_bytes: int) -> bytes:
    """All members one after the other; zero bytes after the last are padding, as gzip(1) has it."""
    parts: list[bytes] = []
    room, position, members = limit_bytes, 0, 0
    while True:
        members += 1
        if members > MAX_MEMBERS:
            raise Corrupt("too many gzip members")
        part, position = _inflate(body, position, _GZIP_WBITS, room)
        room -= len(part)
        parts.append(part)
        if position == len(body) or (body[position] == 0 and not body[position:].strip(b"\0")):
            return b"".join(parts)


def _inflate_deflate(body: bytes, limit_bytes: int) -> bytes:
    """HTTP's deflate is the zlib format; some senders send the bare stream, so that is tried second."""
    try:
        inflated, position = _inflate(body, 0, _ZLIB_WBITS, limit_bytes)
    except Corrupt:
        inflated, position = _inflate(body, 0, _RAW_WBITS, limit_bytes)
    if position != len(body):
        raise Corrupt("bytes after the end of the stream")
    return inflated


def _inflate(body: bytes, position: int, wbits: int, limit_bytes: int) -> tuple[bytes, int]:
    """One stream that starts at `position`: what it holds, and where it ends."""
    stream = zlib.decompressobj(wbits)
    parts: list[bytes] = []
    room = limit_bytes
    while position < len(body) and not stream.eof:
        source = body[position : position + SLICE_BYTES]
        position += len(source)
        more = True
        while more and not stream.eof:
            step = min(STEP_BYTES, room + 1)
            try:
                part = stream.decompress(source, step)
            except zlib.error:
                raise Corrupt("damaged stream") from None
            room -= len(part)
            if room < 0:
                raise TooLarge
            parts.append(part)
            source = stream.unconsumed_tail
            more = bool(source) or len(part) == step  # a full step may have left output inside the decompressor
    if not stream.eof:
        raise Corrupt("truncated stream")
    return b"".join(parts), position - len(stream.unused_data)
