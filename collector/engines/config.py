"""Which engines are read, and how."""

from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from collector._pages.address import address_problem

Positive = Annotated[float, msgspec.Meta(gt=0)]


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
            if self.bearer_token_file or self.headers:
                raise ValueError("find asks whatever listens on a known port, so no token and no headers: give `url`")
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
