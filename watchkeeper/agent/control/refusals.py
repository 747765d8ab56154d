"""Errors as RFC 9457 has them: application/problem+json."""

from http import HTTPStatus
from typing import Final

import msgspec

CONTENT_TYPE: Final = "application/problem+json"


class Problem(msgspec.Struct, frozen=True):
    """What a request that was not done is told."""

    status: int
    title: str
    detail: str
    type: str = "about:blank"


class RefusedError(Exception):
    """A request that is not done. `detail` is for the peer: it never quotes what it sent."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def encode(status: HTTPStatus, detail: str) -> bytes:
    return msgspec.json.encode(Problem(status.value, status.phrase, detail))
