"""A real browser for a test, driven over its own debugging protocol."""

import asyncio
import base64
import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

_START_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 60.0
_FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


class Chromium:
    """One tab. `problems` holds what the page complained about: errors, refused resources, exceptions."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._loop = asyncio.get_running_loop()
        self._session = session
        self._socket = socket
        self._id = 0
        self._loaded: set[str] = set()
        """loaders of pages that are shown: one that comes late belongs to a page before"""
        self._origin = self._before = ""
        self.problems: list[str] = []

    @classmethod
    @contextmanager
    def start(cls, program: str) -> Iterator["Chromium"]:
        """A running browser, gone with its profile when the block ends. `program` is what `require` returned."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            process = subprocess.Popen(  # noqa: S603 - the test names the program
                [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            try:
                port = _port(Path(profile), process)
                browser = loop.run_until_complete(cls._connect(port))
                yield browser
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    loop.run_until_complete(browser._close())
            finally:
                process.terminate()
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                asyncio.set_event_loop(None)
                loop.close()

    def open(self, url: str, *, width: int, height: int, mobile: bool = False, scheme: str = "light") -> None:
        """Load `url` on a screen of this size and wait until it is shown. `scheme` is light or dark."""
        self.problems.clear()
        self._before, self._origin = self._origin, _origin(url)
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._loaded.clear()
        page = self.command("Page.navigate", url=url)["loaderId"]
        self._loop.run_until_complete(self._until_loaded(page))

    def scripts(self, allowed: bool) -> None:
        """Whether pages opened from now on may run scripts."""
        self.command("Emulation.setScriptExecutionDisabled", value=not allowed)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; a promise is waited for."""
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 90.0) -> None:
        """Until a JavaScript expression is true."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(expression):
            if time.monotonic() > deadline:
                raise AssertionError(f"not true within {seconds} s: {expression}")
            time.sleep(0.1)

    def screenshot(self, *, full: bool = False) -> bytes:
        """PNG of what is on the screen, or of the whole page."""
        answer = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        return base64.b64decode(answer["data"])

    def command(self, method: str, **parameters: Any) -> Any:
        """One command of the debugging protocol, and its answer."""
        return self._loop.run_until_complete(self._command(method, parameters))

    @classmethod
    async def _connect(cls, port: int) -> "Chromium":
        session = aiohttp.ClientSession()
        deadline = time.monotonic() + _START_SECONDS
        while not (address := await cls._tab(session, port)):
            if time.monotonic() > deadline:
                raise AssertionError("the browser opened no tab")
            await asyncio.sleep(0.05)
        browser = cls(session, await session.ws_connect(address, max_msg_size=0))
        for domain in ("Page", "Runtime", "Log"):
            await browser._command(f"{domain}.enable", {})
        await browser._command("Page.setLifecycleEventsEnabled", {"enabled": True})
        return browser

    @staticmethod
    async def _tab(session: aiohttp.ClientSession, port: int) -> str:
        """The address of the first tab; empty while there is none, though the browser listens already."""
        async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            tabs = await answer.json(content_type=None)
        return next((tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"), "")

    async def _close(self) -> None:
        await self._socket.close()
        await self._session.close()

    async def _command(self, method: str, parameters: dict[str, Any]) -> Any:
        self._id += 1
        asked = self._id
        await self._socket.send_json({"id": asked, "method": method, "params": parameters})
        while True:
            message = await self._next()
            if message.get("id") == asked:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']}")
                return message["result"]

    async def _until_loaded(self, page: str) -> None:
        while page not in self._loaded:
            await self._next()

    def _complain(self, entry: dict[str, Any]) -> None:
        """What the page before still asked of its server, which may be gone, is not this page's."""
        if self._before == self._origin or not entry.get("url", "").startswith(self._before or "\0"):
            self.problems.append(entry["text"])

    async def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads((await self._socket.receive(timeout=_ANSWER_SECONDS)).data)
        method = message.get("method", "")
        if method == "Page.lifecycleEvent" and message["params"]["name"] == "load":
            self._loaded.add(message["params"]["loaderId"])
        if method == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self._complain(message["params"]["entry"])
        if method == "Runtime.exceptionThrown":
            self.problems.append(str(message["params"]["exceptionDetails"]))
        return message


def _origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3]) + "/"


def _port(profile: Path, process: "subprocess.Popen[bytes]") -> int:
    """The debugging port, which the browser writes into its profile once it listens."""
    written = profile / "DevToolsActivePort"
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int(written.read_text().splitlines()[0])
        time.sleep(0.05)
    raise AssertionError("the browser did not start")
