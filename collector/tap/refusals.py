"""What a client is told when nothing answers behind the tap: the shape that OpenAI's clients read."""

from http import HTTPStatus

import msgspec

RETRY_AFTER_SECONDS = 1


class Refusal(msgspec.Struct, frozen=True):
    """`fault` is the low-cardinality word under which it is counted."""

    status: HTTPStatus
    fault: str
    message: str

    def encode(self) -> bytes:
        """The whole HTTP/1.1 answer; the connection ends after it."""
        error = {"message": self.message, "type": self.fault, "param": None, "code": self.status.value}
        body = msgspec.json.encode({"error": error})
        retry = f"Retry-After: {RETRY_AFTER_SECONDS}\r\n" if self.status is HTTPStatus.SERVICE_UNAVAILABLE else ""
        head = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\nServer: watchkeeper\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{retry}Connection: close\r\n\r\n"
        )
        return head.encode("ascii") + body
