"""The web page at `/`: what is watched, is it well, the live numbers, the newest findings."""

import re
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger

if TYPE_CHECKING:
    from exporters.page.served import Page


class PageConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True
    """serve the page"""
    title: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """what this watchkeeper is called, shown at the top: a cluster, a host; empty for nothing"""
    refresh_seconds: Annotated[float, msgspec.Meta(ge=1, le=60)] = 2.0
    """how often an open page fetches itself anew"""
    runbooks_url: str = "runbooks"
    """begins the links to runbooks; `runbooks` are those that this process serves itself, else where the folder
    dashboards/runbooks is published"""

    def __post_init__(self) -> None:
        """:raises ValueError: the address of runbooks is none"""
        if not re.fullmatch(r"runbooks|https?://\S+", self.runbooks_url):
            raise ValueError(
                f"runbooks_url: '{self.runbooks_url}' is neither `runbooks` nor an address as https://host"
            )


def build(config: PageConfig, _ledger: Ledger) -> "Page":
    from exporters.page.served import Page

    return Page(config.title, config.refresh_seconds, config.runbooks_url)


PLUGIN: Final = Plugin(
    name="page",
    summary="The web page at /: what is watched, is it well, live numbers, newest findings. English and Chinese.",
    config=PageConfig,
    build=build,
    roles=("run", "node", "detector"),
)
