"""Where a page is and how it is trusted, held to one rule."""

import re
from collections.abc import Mapping
from typing import Final, Protocol
from urllib.parse import urlsplit

from watchkeeper.core.hosts import is_host

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, section 5.6.2"""


class CertificateFiles(Protocol):
    """The files that say whom to trust and as whom to come, each empty where there is none."""

    @property
    def ca_file(self) -> str: ...
    @property
    def client_cert_file(self) -> str: ...
    @property
    def client_key_file(self) -> str: ...
    @property
    def client_key_password_file(self) -> str: ...


class Addressed(CertificateFiles, Protocol):
    """What is said of any page that is fetched: where it is, how it is trusted, what is sent with the request."""

    @property
    def url(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


def address_problem(target: Addressed, example: str) -> str:
    """
    What is wrong with it, in one line; empty when nothing is.

    :param example: a url as it should look
    """
    try:
        parts = urlsplit(target.url)
        usable = parts.scheme in ("http", "https") and is_host(parts.hostname or "") and parts.port != 0
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
