"""Where the tap listens and what it stands in front of."""

import re
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from watchkeeper.core.hosts import is_host
from watchkeeper.core.tls import Tls

MIB: Final = 1 << 20

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class TapTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One port in front of one engine or provider."""

    port: Port
    """TCP port to listen on: what clients are pointed at; 0 takes any free port and logs it"""
    upstream: str
    """http:// or https://, host and port of what answers; a path in it goes before the path of every request"""
    host: str = "127.0.0.1"
    """address to listen on; "0.0.0.0" or "::" lets other machines reach the upstream through it"""
    name: str = ""
    """becomes the label service.name; empty leaves it out"""
    provider: str = ""
    """becomes the label gen_ai.provider.name; empty leaves it out"""
    tenant_header: str = ""
    """request header that names the tenant; empty: none"""
    rewrite_host: bool = False
    """True: the upstream gets its own name as Host header; always so for https:// and for an upstream with a path"""
    connect_timeout_seconds: Seconds = 5.0
    """after it a client whose upstream does not accept the connection gets 504"""
    max_connections: Count = 0
    """open client connections; one more gets 503; 0: as many as half the file descriptors allow"""
    max_observed_connections: Count = 4096
    """connections observed at once; further ones pass unmeasured"""
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1024, le=1024 * MIB)] = 4 * MIB
    """of a request or a whole answer kept for measuring, after decompression; a larger one passes and is not read"""
    max_event_bytes: Annotated[int, msgspec.Meta(ge=1024, le=64 * MIB)] = MIB
    """of one event of a stream; a larger one passes and is not read"""
    max_text_characters: Count = 16_384
    """of a prompt and of an answer handed to the checks; 0: no text is kept"""
    drain_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 3.0
    """on shutdown, time for open requests to end; shutdown_seconds must be at least twice as long"""
    tls: Tls = Tls()
    """TLS towards clients; with `client_ca_file` TLS 1.3 only"""
    ca_file: str = ""
    """PEM file of the authority that signed the upstream's certificate; empty uses the system's"""

    def __post_init__(self) -> None:
        """:raises ValueError: the upstream is not one, or two settings contradict each other"""
        if not _is_upstream(self.upstream):
            raise ValueError("upstream must be like http://127.0.0.1:8000, without user, query or fragment")
        if self.ca_file and not self.is_secure:
            raise ValueError("ca_file needs an upstream that begins with https://")
        if self.tenant_header and not re.fullmatch(r"[A-Za-z0-9-]+", self.tenant_header):
            raise ValueError(f"tenant_header: '{self.tenant_header}' is not the name of a header")

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.upstream)

    @property
    def is_secure(self) -> bool:
        return self._parts.scheme == "https"

    @property
    def upstream_host(self) -> str:
        return self._parts.hostname or ""

    @property
    def upstream_port(self) -> int:
        return self._parts.port or (443 if self.is_secure else 80)

    @property
    def netloc(self) -> str:
        """What the upstream is called in a Host header."""
        return self._parts.netloc

    @property
    def prefix(self) -> str:
        """Goes before the path of every request."""
        return self._parts.path.rstrip("/")

    @property
    def rewrites(self) -> bool:
        """Whether request heads are changed on their way."""
        return self.rewrite_host or self.is_secure or bool(self.prefix)


def _is_upstream(url: str) -> bool:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    if whole and not is_host(parts.hostname or ""):
        return False
    plain = url.isascii() and url.isprintable() and " " not in url
    return whole and plain and "@" not in parts.netloc and not parts.query and not parts.fragment
