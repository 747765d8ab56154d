"""`watchkeeper ping`: one made-up call, sent and looked for in the metrics. For people, and for `helm test`."""

import http.client
import json
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from watchkeeper.agent.whereabouts import otlp_of, reached, web_of
from watchkeeper.agent.within import within
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.listening import shown

SERVICE: Final = "watchkeeper-ping"
"""`service.name` of the made-up call"""
_SERIES: Final = "watchkeeper_requests_total{"
_MOST_BYTES: Final = 64 << 20
_PAUSE_SECONDS: Final = 0.25
_WAIT_SECONDS: Final = 5.0
"""without a byte of an answer"""
_ANSWER_SECONDS: Final = 15.0
"""for the whole of one, which of metrics may be long"""


class Ping(msgspec.Struct, frozen=True):
    """Whom to ask, and as whom. Files are paths; empty: none."""

    otlp: str
    """URL; likewise `metrics`"""
    metrics: str
    seconds: float
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    server_name: str = ""
    """that certificates are for, where it is not the address's"""
    otlp_token_file: str = ""
    metrics_token_file: str = ""
    otlp_shown_file: str = ""
    """certificate that it must show, whatever its name and whoever signed it"""
    metrics_shown_file: str = ""


def located(wanted: Ping, path: Path | None, environment: Mapping[str, str]) -> Ping:
    """
    With the addresses that are not given as the configuration has them; what such an address needs of tokens and
    certificates is then the configuration's, too.

    :param path: None for defaults and `environment`, which are looked at for an address that is not given
    :raises ConfigError: the configuration does not say where to ask
    """
    if not wanted.otlp:
        otlp = otlp_of(path, environment)
        wanted = msgspec.structs.replace(
            wanted,
            otlp=_url(otlp, otlp.http_port),
            otlp_token_file=wanted.otlp_token_file or otlp.token_file,
            otlp_shown_file="" if wanted.ca_file or wanted.server_name else otlp.tls.certificate_file,
        )
    if not wanted.metrics:
        web = web_of(path, environment)
        wanted = msgspec.structs.replace(
            wanted,
            metrics=_url(web, web.port),
            metrics_token_file=wanted.metrics_token_file or web.token_file,
            metrics_shown_file="" if wanted.ca_file or wanted.server_name else web.tls.certificate_file,
        )
    return wanted


def _url(section: Any, port: int) -> str:
    return f"{'https' if section.tls else 'http'}://{shown(reached(section.host), port)}"


def ping(wanted: Ping, now: Callable[[], float], sleep: Callable[[float], None]) -> tuple[bool, str]:
    """
    :return: whether the call came through, and a line for a person
    :raises ConfigError: a file or an address is no good
    """
    end = now() + wanted.seconds
    ready = _asker(wanted, wanted.metrics, "", wanted.metrics_shown_file)
    metrics = _asker(wanted, wanted.metrics, wanted.metrics_token_file, wanted.metrics_shown_file)
    otlp = _asker(wanted, wanted.otlp, wanted.otlp_token_file, wanted.otlp_shown_file)
    body = json.dumps(_call(time.time_ns(), secrets.token_hex)).encode()
    before: float | None = None
    is_sent = False
    while True:
        try:
            if before is None:
                _expect(ready("GET", "/readyz", b""), f"{wanted.metrics}/readyz")
                before = _count(_expect(metrics("GET", "/metrics", b""), f"{wanted.metrics}/metrics"))
            if not is_sent:
                _expect(otlp("POST", "/v1/traces", body), f"{wanted.otlp}/v1/traces")
                is_sent = True
            seen = _count(_expect(metrics("GET", "/metrics", b""), f"{wanted.metrics}/metrics"))
            if seen > before:
                return True, f"a call sent to {wanted.otlp} is in {wanted.metrics}/metrics"
            problem = f"a call sent to {wanted.otlp} is not in {wanted.metrics}/metrics"
        except (OSError, http.client.HTTPException, UnicodeError) as error:  # the last: no name of a host
            problem = str(error) or type(error).__name__
        if now() + _PAUSE_SECONDS > end:
            return False, f"not within {wanted.seconds:g} s: {problem}"
        sleep(_PAUSE_SECONDS)


def _call(at_nanoseconds: int, random_hex: Callable[[int], str]) -> dict[str, Any]:
    """OTLP/JSON of one chat that took a second, without text."""
    said = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "ping", "gen_ai.provider.name": "watchkeeper"}
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in said.items()]
    counts = {"gen_ai.usage.input_tokens": 1, "gen_ai.usage.output_tokens": 1}
    attributes += [{"key": key, "value": {"intValue": str(value)}} for key, value in counts.items()]
    span = {
        "traceId": random_hex(16),
        "spanId": random_hex(8),
        "name": "chat ping",
        "kind": 3,
        "startTimeUnixNano": str(at_nanoseconds - 1_000_000_000),
        "endTimeUnixNano": str(at_nanoseconds),
        "attributes": attributes,
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": SERVICE}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}


def _count(page: bytes) -> float:
    """Calls of ours on a page of metrics. :raises OSError: it is none"""
    lines = page.decode(errors="replace").splitlines()
    ours = [line for line in lines if line.startswith(_SERIES) and f'service_name="{SERVICE}"' in line]
    try:
        return sum(float(line.rpartition("}")[2].split()[0]) for line in ours)
    except (ValueError, IndexError):
        raise OSError("what answers at /metrics is no page of metrics") from None


def _expect(answer: tuple[int, bytes], where: str) -> bytes:
    """:raises OSError: the status is not 200"""
    status, body = answer
    if status != http.client.OK:
        raise OSError(f"{where} answers {status} {http.client.responses.get(status, '')}".rstrip())
    return body


def _asker(wanted: Ping, url: str, token_file: str, shown_file: str) -> Callable[[str, str, bytes], tuple[int, bytes]]:
    """:raises ConfigError: no address, or files that cannot be used"""
    parts = _address(url)
    headers: dict[str, str | bytes] = {"Content-Type": "application/json"}
    if token_file:
        headers["Authorization"] = f"Bearer {next(_tokens(token_file), '')}".encode()
    context = _context(wanted, shown_file) if parts.scheme == "https" else None

    def ask(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        connection = _connection(parts, wanted.server_name, context)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(_MOST_BYTES)
        finally:
            connection.close()

    return lambda method, path, body: within(_ANSWER_SECONDS, lambda: ask(method, path, body))


def _address(url: str) -> SplitResult:
    """:raises ConfigError: it is none"""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that cannot be, brackets that do not close
        is_one = False
    if not is_one:
        raise ConfigError(f"'{url}' is no address; give http:// or https://, host and port")
    return parts


def _tokens(file: str) -> Iterator[str]:
    """:raises ConfigError: the file cannot be read"""
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"'{file}' cannot be read; give a file with one token") from None
    for line in lines:
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.rpartition(": ")[2].strip()


def _context(wanted: Ping, shown_file: str) -> ssl.SSLContext:
    """:raises ConfigError: certificates cannot be used"""
    try:
        if shown_file:  # it is this one or none: no name, and nobody who signed it, is asked for
            context = ssl.create_default_context(cadata=_first_certificate(shown_file))
            context.check_hostname = False
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        else:
            context = ssl.create_default_context(cafile=wanted.ca_file or None)
        if wanted.certificate_file:
            context.load_cert_chain(wanted.certificate_file, wanted.key_file or None)
    except OSError as error:
        given = f"'{shown_file}' of the configuration" if shown_file else "--ca-file"
        raise ConfigError(f"certificates cannot be used: {error}; look at {given} and --certificate-file") from None
    return context


def _first_certificate(file: str) -> str:
    """The port's own: who signed it may follow, and signs others. :raises OSError: there is none"""
    first, end, _ = Path(file).read_text(encoding="ascii", errors="replace").partition("-----END CERTIFICATE-----")
    if not end:
        raise OSError("it holds no certificate")
    return first + end


def _connection(parts: SplitResult, server_name: str, context: ssl.SSLContext | None) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if context is None:
        return http.client.HTTPConnection(host, parts.port, timeout=_WAIT_SECONDS)
    connection = http.client.HTTPSConnection(host, parts.port, timeout=_WAIT_SECONDS, context=context)
    if server_name:  # asked at the address of one pod, whose certificate is for its Service
        plain = socket.create_connection((host, parts.port or 443), timeout=_WAIT_SECONDS)
        connection.sock = context.wrap_socket(plain, server_hostname=server_name)
    return connection
