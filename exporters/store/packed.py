"""Counts and rows as the store keeps them: msgpack, rows compressed as LZ4 blocks. `decode_*` is what reports read."""

from collections.abc import Sequence

import lz4.block
import msgspec

from watchkeeper.core.observed import Row


def encode_counts(counts: Sequence[int]) -> bytes:
    """One per bin of the reference."""
    return msgspec.msgpack.encode(list(counts))


def decode_counts(data: bytes) -> list[int]:
    """:raises ValueError: not counts"""
    try:
        return msgspec.msgpack.decode(data, type=list[int])
    except msgspec.MsgspecError:
        raise ValueError("what stands where counts should be is none") from None


def encode_rows(rows: Sequence[Row]) -> bytes:
    """Many together take far less than one by one: names repeat."""
    packed: bytes = lz4.block.compress(msgspec.msgpack.encode(rows), store_size=True)
    return packed


def decode_rows(data: bytes) -> list[Row]:
    """:raises ValueError: not rows"""
    try:
        return msgspec.msgpack.decode(lz4.block.decompress(data), type=list[Row])
    except (msgspec.MsgspecError, lz4.block.LZ4BlockError):
        raise ValueError("what stands where rows should be is none") from None
