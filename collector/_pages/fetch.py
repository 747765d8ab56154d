"""One bounded GET, and what an answer that is no page means."""

import asyncio
import ssl
import zlib
from collections.abc import Mapping
from math import isfinite
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from collector._pages.fault import Fault, Refused
from collector._pages.resolver import ThreadPerNameResolver
from watchkeeper.core.labels import clean

ACCEPT: Final = "text/plain;version=0.0.4"
"""never OpenMetrics: some servers answer it with sample names that their TYPE lines do not have"""
_ERROR_BYTES: Final = 4096
_CHUNK_BYTES: Final = 1 << 16
_INCARNATION: Final = "Process-Start-Time-Unix"
_REFUSED_OURS: Final = (
    "ALERT_CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA", "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_CERTIFICATE_EXPIRED", "ALERT_HANDSHAKE_FAILURE", "ALERT_ACCESS_DENIED",
)  # fmt: skip
"""in what OpenSSL says when the other side closed because of our certificate, or because we showed none"""
_ALERT_SECONDS: Final = 1.0
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")


class Answer(msgspec.Struct, frozen=True):
    """`incarnation` rises with each restart of the engine, where it tells; `body` is cut short unless status is 200."""

    status: int
    body: bytes
    location: str = ""
    incarnation: float | None = None


def open_session() -> aiohttp.ClientSession:
    """
    A new connection each time: engines drop idle ones about when the next scrape is due, and that race would look like
    an engine that is down.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=0, resolver=ThreadPerNameResolver()),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
    )


async def fetch(
    session: aiohttp.ClientSession, url: str, *, headers: Mapping[str, str], tls: ssl.SSLContext | None, max_bytes: int
) -> Answer:
    """
    The caller bounds the time. Redirects are not followed.

    :raises Refused: nobody answers, or not in HTTP, or too much
    """
    asked = {"Accept": ACCEPT, "Accept-Encoding": "identity", "User-Agent": "watchkeeper", **headers}
    try:
        async with session.get(url, headers=asked, allow_redirects=False, ssl=tls or True) as response:
            good = response.status == 200
            packed = await _read(response.content, max_bytes if good else _ERROR_BYTES, cut=not good)
            encoding = response.headers.get("Content-Encoding", "").strip().lower()
            body = _inflate(packed, max_bytes) if good and encoding not in ("", "identity") else packed
            return Answer(
                response.status,
                body,
                response.headers.get("Location", ""),
                _number(response.headers.get(_INCARNATION)),
            )
    except (aiohttp.ClientError, UnicodeError) as error:
        fault, detail = _meaning(error)
        connected = not isinstance(error, aiohttp.ClientConnectorError) and fault is Fault.UNREACHABLE
        error.__traceback__ = None  # aiohttp's reader keeps the error, and its traceback the reader and half a page
    alert = await _alert(url, tls) if connected and url.startswith("https:") else None
    raise Refused(*(_meaning(alert) if alert is not None else (fault, detail)))


async def _alert(url: str, tls: ssl.SSLContext | None) -> OSError | None:
    """
    What the other side says when it closes because of our certificate. In TLS 1.3 it judges that after we believe to be
    connected: a request sent into the closing connection fails before the answer was read, so here none is sent.
    """
    where = urlsplit(url)
    try:
        reader, writer = await asyncio.open_connection(where.hostname, where.port or 443, ssl=tls or True)
    except OSError:
        return None
    try:
        async with asyncio.timeout(_ALERT_SECONDS):
            await reader.read(1)
    except TimeoutError:
        return None
    except OSError as error:
        return error
    finally:
        writer.close()
    return None


def _meaning(error: Exception) -> tuple[Fault, str]:
    """What a failed GET says about the engine."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Fault.BAD_CERTIFICATE, f"its certificate is not accepted ({_short(error)}); set `ca_file`"
    if any(word in str(error) for word in _REFUSED_OURS):
        ours = "client_cert_file` and `client_key_file"
        return (
            Fault.BAD_CERTIFICATE,
            f"it asks for a certificate and did not accept ours ({_short(error)}); set `{ours}`",
        )
    if any(word in str(error) for word in _NO_TLS):
        return Fault.MALFORMED, "it does not speak TLS; write http:// in `url`"
    if isinstance(error, aiohttp.ClientSSLError):
        return Fault.BAD_CERTIFICATE, f"TLS could not be agreed on ({_short(error)}); check `ca_file` and `url`"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return Fault.UNREACHABLE, "closes the connection without an answer; if it wants TLS, write https:// in `url`."
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ServerConnectionError | aiohttp.ClientOSError):
        return Fault.UNREACHABLE, f"cannot be reached ({_short(error)}); is it running, on this port?"
    if isinstance(error, aiohttp.ClientPayloadError):
        return Fault.TRUNCATED, "the page breaks off; half a page is not used"
    return Fault.MALFORMED, f"it does not answer in HTTP ({type(error).__name__})"


async def _read(content: aiohttp.StreamReader, limit: int, *, cut: bool) -> bytes:
    body = bytearray()
    async for chunk in content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > limit:
            if cut:
                return bytes(body[:limit])
            raise _too_large(limit)
    return bytes(body)


def _inflate(packed: bytes, limit: int) -> bytes:
    """gzip or zlib, never more than `limit` bytes in memory."""
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        body = inflater.decompress(packed, limit + 1)
    except zlib.error:
        raise Refused(Fault.MALFORMED, "the page is compressed in a way that was not asked for") from None
    if len(body) > limit:
        raise _too_large(limit)
    if not inflater.eof:
        raise Refused(Fault.TRUNCATED, "the compressed page breaks off; half a page is not used")
    return body


def _too_large(limit: int) -> Refused:
    return Refused(Fault.TOO_LARGE, f"the page is larger than {limit} bytes; raise `max_page_bytes` to read it")


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if isfinite(number) else None


def _short(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    told = getattr(cause, "verify_message", None) or getattr(cause, "strerror", None) or str(cause)
    return clean(told or type(error).__name__)
