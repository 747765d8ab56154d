"""Which exporters are read, and how."""

from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from collector._pages.address import address_problem

Positive = Annotated[float, msgspec.Meta(gt=0)]


class ExporterTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One exporter's page. `url` is enough; which exporter it is shows from the page."""

    url: str
    """http:// or https://, host and port; a path in it counts as `path`"""
    path: str = ""
    """where the page is; empty is /metrics"""
    headers: dict[str, str] = {}
    """sent with every request; for a secret use `bearer_token_file`"""
    bearer_token_file: str = ""
    """file with the token for `Authorization: Bearer`; read again each time, so it may be renewed"""
    ca_file: str = ""
    """PEM file of the authority that signed the exporter's certificate; empty uses the system's"""
    client_cert_file: str = ""
    """PEM file of the certificate to show to an exporter that asks for one (mutual TLS); read again when it changes"""
    client_key_file: str = ""
    """PEM file of its key; empty when `client_cert_file` holds it too"""
    client_key_password_file: str = ""
    """file with the password of that key, if it is encrypted"""
    timeout_seconds: Positive = 5.0
    """for the whole request; after it the exporter counts as not readable this time"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=0.5)] = 15.0
    """time between two reads; exporters renew their own numbers each 5 to 30 s"""
    stale_after_seconds: Positive = 120.0
    """a number with a time of its own (Ascend) that is older counts as missing"""
    max_page_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 8 * 1024 * 1024
    """a larger page, also after decompression, is refused"""
    max_series: Annotated[int, msgspec.Meta(ge=100)] = 20_000
    """a page with more samples is refused"""

    def __post_init__(self) -> None:
        if problem := address_problem(self, "http://node:9400"):
            raise ValueError(problem)

    @property
    def origin(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def page_path(self) -> str:
        if self.path:
            return self.path if self.path.startswith("/") else f"/{self.path}"
        parts = urlsplit(self.url)
        query = f"?{parts.query}" if parts.query else ""
        return f"{parts.path}{query}" if parts.path.strip("/") else f"/metrics{query}"
