"""The page as an exporter: takes batches on the pipeline's thread, answers on the web server's."""

import hashlib
import time
from collections.abc import Callable, Mapping
from importlib.resources import files
from threading import Lock
from typing import Final

from exporters.page.chinese import CHINESE
from exporters.page.document import document
from exporters.page.english import ENGLISH
from exporters.page.findings import FindingBook
from exporters.page.history import History
from exporters.page.life import known
from exporters.page.status import judge
from exporters.page.view import view_of
from exporters.page.words import Words, preferred
from watchkeeper.core.interfaces import Answer, Request
from watchkeeper.core.memory import Recall
from watchkeeper.core.records import Batch

LANGUAGES: Final[Mapping[str, Words]] = {"en": ENGLISH, "zh": CHINESE}

POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_KEPT_FOR_GOOD: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
"""for files whose address has their content's hash in it"""


class Page:
    """
    Exporter and Served. `clock` gives unix seconds, for ages and for noticing that batches stopped.

    The lock is held for copying references only, so that a reader never makes the pipeline wait for a page.
    """

    def __init__(
        self, title: str, refresh_seconds: float, runbooks: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        self._title = title
        self._runbooks = runbooks
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._lock = Lock()
        self._history = History()
        self._findings = FindingBook()
        self._assets = {
            "style": _Asset("page.css", "text/css; charset=utf-8"),
            "script": _Asset("page.js", "text/javascript; charset=utf-8"),
        }
        self._recall: Recall | None = None
        self._written: dict[tuple[str, bool, int], bytes] = {}
        """
        The page of this second by language and whether it tells what the record knows, so that many readers cost as
        much as one.
        """

    def write(self, batch: Batch) -> None:
        with self._lock:
            self._history.add(batch)
            for finding in batch.findings:
                self._findings.add(finding)

    def close(self) -> None:
        """Nothing is held outside memory."""

    def recall(self, recall: Recall) -> None:
        self._recall = recall

    def routes(self) -> Mapping[str, Callable[[Request], Answer]]:
        return {"/": self._page} | {f"/{asset.name}": asset.answer for asset in self._assets.values()}

    def _page(self, request: Request) -> Answer:
        language = preferred(request.query.get("lang"), request.headers.get("accept-language", ""), tuple(LANGUAGES))
        now = self._clock()
        recall = self._recall if request.is_insider else None
        second = (language, recall is not None, int(now))
        body = self._written.get(second)
        if body is None:
            body = self._render(LANGUAGES[language], now, recall)
            self._written = {key: kept for key, kept in self._written.items() if key[-1] == second[-1]} | {second: body}
        return Answer(
            body,
            "text/html; charset=utf-8",
            headers={
                "Content-Security-Policy": POLICY,
                "Content-Language": LANGUAGES[language].tag,
                "Cache-Control": "no-store",
                "Vary": "Accept-Language",
            },
        )

    def _render(self, words: Words, now: float, recall: Recall | None = None) -> bytes:
        with self._lock:
            seen = self._history.seen()
            entries = self._findings.newest()
        view = view_of(seen, now)
        page = document(
            view,
            judge(view, entries),
            entries,
            words,
            title=self._title,
            refresh_seconds=self._refresh_seconds,
            assets={kind: asset.address for kind, asset in self._assets.items()},
            runbooks=self._runbooks,
            recorded=known(entries, recall(now), now, words) if recall is not None else None,
        )
        return page.encode("utf-8", "replace")


class _Asset:
    """A file of this package, served under an address that changes with its content."""

    def __init__(self, name: str, content_type: str) -> None:
        self.name = name
        self._body = files("exporters.page").joinpath(name).read_bytes()
        self._content_type = content_type
        self.address = f"{name}?v={hashlib.blake2b(self._body, digest_size=6).hexdigest()}"

    def answer(self, _request: Request) -> Answer:
        return Answer(self._body, self._content_type, headers=_KEPT_FOR_GOOD)
