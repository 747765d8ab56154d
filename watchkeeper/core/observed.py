"""What is watched of a call once its text is gone: numbers, flags and short words, by signal. A row is never text."""

from typing import NamedTuple

import msgspec


class Segment(NamedTuple):
    """Whose answers are judged together. `text` and `parse` are its one written form: `namespace/service/model`."""

    namespace: str
    service: str
    model: str

    @property
    def text(self) -> str:
        return f"{self.namespace}/{self.service.replace('/', '_')}/{self.model}"

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
