"""Which engines are read, and how."""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Protocol
from urllib.parse import urlsplit

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0)]

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, section 5.6.2"""


class EngineTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One engine's metrics page. `url` is enough; which engine it is shows from the page."""

    url: str = ""
    """http:// or https://, host and port; a path in it counts as `path`"""
    find: bool = False
    """with an empty `url`: look for it on this machine, over http at the ports where the known engines listen"""
    path: str = ""
    """where the page is; empty tries where the known engines have theirs"""
    name: str = ""
    """becomes the label service.name; empty leaves it out"""
    model: str = ""
    """model served, for engines whose page does not name it"""
    operation: str = "chat"
    """what its requests are (gen_ai.operation.name): no engine's page says so"""
    headers: dict[str, str] = {}
    """sent with every request; for a secret use `bearer_token_file`"""
    bearer_token_file: str = ""
    """file with the token for `Authorization: Bearer`; read again each time, so it may be renewed"""
    ca_file: str = ""
    """PEM file of the authority that signed the engine's certificate; empty uses the system's"""
    client_cert_file: str = ""
    """PEM file of the certificate to show to an engine that asks for one (mutual TLS); read again when it changes"""
    client_key_file: str = ""
    """PEM file of its key; empty when `client_cert_file` holds it too"""
    client_key_password_file: str = ""
    """file with the password of that key, if it is encrypted"""
    timeout_seconds: Positive = 3.0
    """for the whole request; after it the engine counts as not readable this time"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=0.1)] = 5.0
    """time between two reads"""
    max_page_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 8 * 1024 * 1024
    """a larger page, also after decompression, is refused"""
    max_series: Annotated[int, msgspec.Meta(ge=100)] = 20_000
    """a page with more samples is refused; also the running totals remembered at most"""

    def __post_init__(self) -> None:
        if self.is_looked_for:
            msgspec.structs.replace(self, url="http://localhost")  # what else is said is held to the same rules
        elif problem := address_problem(self, "http://host:8000"):
            raise ValueError(problem)

    @property
    def is_looked_for(self) -> bool:
        return self.find and not self.url

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
    def names_port(self) -> bool:
        return urlsplit(self.url).port is not None

    @property
    def fixed_path(self) -> str:
        """The path that the operator gave, with its query; empty when the engine's default is to be tried."""
        if self.path:
            return self.path if self.path.startswith("/") else f"/{self.path}"
        parts = urlsplit(self.url)
        query = f"?{parts.query}" if parts.query else ""
        return f"{parts.path}{query}" if parts.path.strip("/") else ""


class Addressed(Protocol):
    """What is said of any page that is fetched: where it is, how it is trusted, what is sent with the request."""

    @property
    def url(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def ca_file(self) -> str: ...
    @property
    def client_cert_file(self) -> str: ...
    @property
    def client_key_file(self) -> str: ...
    @property
    def client_key_password_file(self) -> str: ...


def address_problem(target: Addressed, example: str) -> str:
    """
    What is wrong with it, in one line; empty when nothing is.

    :param example: a url as it should look
    """
    try:
        parts = urlsplit(target.url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        return f"url must be like {example}"
    if parts.scheme == "http" and (target.ca_file or target.client_cert_file):
        return "url must begin with https:// for ca_file or client_cert_file to be of use"
    if (target.client_key_file or target.client_key_password_file) and not target.client_cert_file:
        return "client_key_file needs client_cert_file beside it"
    if parts.username is not None or parts.password is not None:
        return "url must not hold a password; use bearer_token_file or headers"
    if not all(_is_header(name, value) for name, value in target.headers.items()):
        return "headers must be printable ASCII, their names without spaces and colons"
    return ""


def _is_header(name: str, value: str) -> bool:
    return _HEADER_NAME.fullmatch(name) is not None and value.isascii() and value.isprintable()
