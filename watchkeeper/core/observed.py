"""What is watched of a call once its text is gone: numbers, flags and short words, by signal. A row is never text."""

import math
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple

import lz4.block
import msgspec


class Segment(NamedTuple):
    """Whose answers are judged together. `text` and `parse` are its one written form: `namespace/service/model`."""

    namespace: str
    service: str
    model: str

    @property
    def text(self) -> str:
        return f"{self.namespace.replace('/', '_')}/{self.service.replace('/', '_')}/{self.model}"

    @classmethod
    def parse(cls, text: str) -> "Segment":
        """:raises ValueError: fewer than two slashes; the model may hold more"""
        namespace, service, model = text.split("/", 2)
        return cls(namespace, service, model)


class Row(msgspec.Struct, frozen=True, gc=False):
    """
    What one call gave to watch, `at` unix seconds. By signal: a flag (0.0 or 1.0), a number, or a word of a few.

    A call that is told in two records gives two rows, with different signals.
    """

    at: float
    segment: str
    values: dict[str, float | str]


class Tally(msgspec.Struct, frozen=True, gc=False):
    """
    What all calls of a segment gave to watch in one tick that began `at` (unix seconds) and lasted `seconds`.

    `counts` has by signal each value and how often it came; numbers are cut down to the beginning of their `cell`.
    """

    at: float
    seconds: float
    segment: str
    counts: dict[str, list[tuple[float | str, int]]]


class Counted(msgspec.Struct, frozen=True, gc=False):
    """What one tick brought of a signal that has a reference, counted per bin; `reference` is its id."""

    at: float
    """unix seconds at which the tick began"""
    segment: str
    signal: str
    reference: str
    counts: Sequence[int]


class Drawn(msgspec.Struct, frozen=True, gc=False):
    """
    Rows of a segment drawn at random, each with the same chance, out of the `seen` since the hour (or since the start
    of the process within it). A later one of the same hour holds what the one before should have.
    """

    hour: float
    """unix seconds at which it began"""
    segment: str
    seen: int
    rows: tuple[Row, ...]


CELLS_PER_DECADE: Final = 256


def cell(value: float) -> float:
    """
    The beginning of the cell that a number lies in: cells are 0.9 % wide, the same at every scale.

    Bins that begin where cells do hold the same numbers, cut down or not: hence the beginning, not the middle.
    """
    if value == 0.0 or not math.isfinite(value):
        return value
    place = math.log10(abs(value)) * CELLS_PER_DECADE
    nearest = round(place)
    if abs(place - nearest) > _GRID_ERROR:
        nearest = math.floor(place) if value > 0 else math.ceil(place)
    return math.copysign(10.0 ** (nearest / CELLS_PER_DECADE), value)


_GRID_ERROR: Final = 1e-9
MOST_FRAME_BYTES: Final = 8 << 20
"""of a frame, packed and unpacked"""
_LENGTH_BYTES: Final = 4
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(list[Tally])


def encode_frame(tallies: Sequence[Tally]) -> bytes:
    """
    As they stand in a file: four bytes of length, most significant first, and that much LZ4 of msgpack. Many together
    take far less than one by one: names repeat.
    """
    body: bytes = lz4.block.compress(_ENCODER.encode(tallies), store_size=True)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def iter_frames(file: BinaryIO) -> Iterator[Tally]:
    """
    The tallies of a file, one frame in memory at a time. A last one that was not written to its end is left out.

    :raises ValueError: what comes next is no frame; nothing behind it can be read
    """
    while len(prefix := file.read(_LENGTH_BYTES)) == _LENGTH_BYTES:
        length = int.from_bytes(prefix, "big")
        if length > MOST_FRAME_BYTES:
            raise ValueError(f"tallies of {length} bytes are none")
        body = file.read(length)
        if len(body) < length:
            return
        try:
            if int.from_bytes(body[:_LENGTH_BYTES], "little") > MOST_FRAME_BYTES:
                raise ValueError
            tallies = _DECODER.decode(lz4.block.decompress(body))
        except (msgspec.MsgspecError, lz4.block.LZ4BlockError, ValueError):
            raise ValueError("what stands where tallies should be is none") from None
        yield from tallies
