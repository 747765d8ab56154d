"""Content codings of what is observed, undone in bounded memory."""

import zlib
from collections.abc import Iterator
from typing import Final

_PIECE_BYTES: Final = 1 << 16
IDENTITY: Final = frozenset(("", "identity"))
READABLE: Final = frozenset(("gzip", "x-gzip", "deflate"))


class Bomb(Exception):  # noqa: N818 - says what it is
    """More comes out than is allowed."""


class Inflater:
    """
    gzip or deflate, piece by piece, at most `limit` bytes in all.

    Under the name deflate both zlib's format and the bare one are met; the first byte tells.
    """

    __slots__ = ("_coding", "_left", "_stream")

    def __init__(self, coding: str, limit: int) -> None:
        self._coding = coding
        self._left = limit
        self._stream: zlib._Decompress | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """
        What comes out, in small pieces.

        :raises Bomb, zlib.error: too much, or not in that coding
        """
        if self._stream is None:
            bare = self._coding == "deflate" and data[0] & 0x0F != 8
            self._stream = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | 32)
        stream = self._stream
        while data and not stream.eof:
            piece = stream.decompress(data, _PIECE_BYTES)
            self._left -= len(piece)
            if self._left < 0:
                raise Bomb
            if piece:
                yield piece
            data = stream.unconsumed_tail


def whole(body: bytes, coding: str, limit: int) -> bytes:
    """
    A whole body without its coding.

    :raises Bomb, zlib.error: too much, or not in that coding
    """
    return body if coding in IDENTITY or not body else b"".join(Inflater(coding, limit).feed(body))
