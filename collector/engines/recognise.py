"""What a page holds: one engine, or a server around one and the engine inside. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from collector._pages.page import Page
from collector.engines.mapping import Observation, observe
from collector.engines.table import Table, detect

_QUEUE_PROXY: Final = ("revision_", "kn_revision_")
"""families that Knative's queue-proxy has on the page on which it joins its own and the engine's"""


class View(msgspec.Struct, frozen=True):
    """A page as one table reads it."""

    page: Page
    table: Table


class Recognised(msgspec.Struct, frozen=True):
    """`views` are read side by side: no family is counted by two of them."""

    title: str
    views: tuple[View, ...]

    @property
    def families(self) -> frozenset[str]:
        return frozenset(name for view in self.views for name in view.page.families)


def recognise(page: Page, tables: Sequence[Table]) -> Recognised | None:
    """None when no table knows the page."""
    first = detect(page.families.keys(), tables)
    if first is None:
        return None
    if any(name.startswith(_QUEUE_PROXY) for name in page.families):
        page = msgspec.structs.replace(page, started=None)  # two processes told theirs
    views = (View(page, first),) if first.rows else ()
    if first.wraps is None:
        return Recognised(first.title, views)
    inside = _without(page, first.wraps) if first.wraps else page
    engine = detect(inside.families.keys(), [table for table in tables if table.wraps is None])
    if engine is None:
        return Recognised(first.title, views)
    return Recognised(f"{first.title}, {engine.title}", (*views, View(inside, engine)))


def observe_all(recognised: Recognised, identity: Mapping[str, str]) -> Observation:
    """What all views say together."""
    said = [observe(view.page, view.table, identity) for view in recognised.views]
    if len(said) == 1:
        return said[0]
    mapped = sum(one.mapped for one in said)
    whole = max((one.mapped + one.unmapped for one in said), default=0)
    return Observation(
        gauges={key: value for one in said for key, value in one.gauges.items()},
        totals={key: total for one in said for key, total in one.totals.items()},
        becomes={key: ours for one in said for key, ours in one.becomes.items()},
        mapped=mapped,
        unmapped=max(0, whole - mapped),
        invalid={field: max(one.invalid.get(field, 0) for one in said) for one in said for field in one.invalid},
    )


def _without(page: Page, prefix: str) -> Page:
    """
    The families behind `prefix`. The page's own start time is that of the server which shows it, not of the engines
    whose numbers come and go there.
    """
    families = {name.removeprefix(prefix): family for name, family in page.families.items() if name.startswith(prefix)}
    return Page(families, None, page.invalid)
