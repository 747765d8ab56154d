"""The web page at `/`: what is watched, is it well, the live numbers, the newest findings."""

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


def build(config: PageConfig, _ledger: Ledger) -> "Page":
    from exporters.page.served import Page

    return Page(config.title, config.refresh_seconds)


PLUGIN: Final = Plugin(
    name="page",
    summary="The web page at /: what is watched, is it well, live numbers, newest findings. English and Chinese.",
    config=PageConfig,
    build=build,
    roles=("run", "node", "detector"),
)
