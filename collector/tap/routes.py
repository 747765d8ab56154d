"""Which requests are model calls."""

import re
from functools import lru_cache
from typing import Final

from collector.tap import dialects
from collector.tap.dialects import Dialect

_BY_END: Final = {
    "chat/completions": dialects.CHAT,
    "completions": dialects.COMPLETION,
    "embeddings": dialects.EMBEDDINGS,
    "responses": dialects.RESPONSES,
}
_OPENAI: Final = re.compile(
    r"(?:/|(?:/[^/]+)*/(?:v\d+|deployments/[^/]+)/)(chat/completions|completions|embeddings|responses)/?"
)
"""with the version before it or at the root, and below any base, as gateways and providers have it"""
_OLLAMA: Final = {"/api/chat": dialects.OLLAMA_CHAT, "/api/generate": dialects.OLLAMA_GENERATE}
_MAX_TARGET_BYTES: Final = 1024


def dialect(method: bytes, target: bytes) -> Dialect | None:
    """
    How the answer to a request is to be read; None when it is no model call.

    >>> dialect(b"POST", b"/openai/v1/chat/completions?x=1").operation
    'chat'
    >>> dialect(b"GET", b"/v1/models")
    """
    return _of_path(target.partition(b"?")[0]) if method == b"POST" and len(target) <= _MAX_TARGET_BYTES else None


@lru_cache(maxsize=256)
def _of_path(path: bytes) -> Dialect | None:
    text = path.decode("ascii", "replace")
    if text.startswith(("http://", "https://")):  # as clients of a forward proxy write it
        text = "/" + text.split("/", 3)[-1]
    found = _OPENAI.fullmatch(text)
    if found:
        return _BY_END[found[1]]
    return next((known for end, known in _OLLAMA.items() if text.endswith(end)), None)
