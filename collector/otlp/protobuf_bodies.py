"""Export requests in protobuf to observed items, one broken item at a time."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from collector.otlp import protobuf_items, protobuf_metrics, refusals, shallow, wire
from collector.otlp.attributes import Attributes
from collector.otlp.layouts import Layouts
from collector.otlp.metrics import wanted
from collector.otlp.observed import Observed
from collector.otlp.origins import Origin, Origins
from collector.otlp.points import MetricItem
from collector.otlp.tally import Tally

_METRICS: Final = "metrics"


class Batch:
    """A request down to its items, still serialised; `points` are of each metric, in order."""

    __slots__ = ("groups", "items", "points")

    def __init__(self, groups: Sequence[wire.Grouped]) -> None:
        self.groups = groups
        self.points: list[tuple[str, int]] = []
        self.items = sum(len(scoped.items) for group in groups for scoped in group.scopes)


class Decoder:
    """Not thread-safe."""

    def __init__(self, attributes: Attributes, origins: Origins) -> None:
        self._attributes = attributes
        self._origins = origins
        self._layouts = Layouts(attributes)

    def split(self, body: bytes, signal: str, max_items: int) -> Batch:
        """
        Changes nothing that is remembered from request to request.

        :raises Undecodable: the containers are broken
        :raises TooMany: more than `max_items`
        """
        try:
            batch = Batch(wire.split(body, max_items))
            if signal == _METRICS:
                self._count_points(batch, max_items)
            for group in batch.groups:
                for scoped in group.scopes:
                    self._origins.serialised(group.resource, scoped.scope, "")
        except wire.Malformed:
            raise refusals.Undecodable(refusals.UNDECODABLE) from None
        except wire.CountExceeded:
            raise refusals.TooMany(refusals.TOO_MANY_ITEMS, f"more than {max_items} items in one request") from None
        return batch

    def spans(self, batch: Batch, tenant: str, tally: Tally) -> Iterator[tuple[Observed, Origin]]:
        attributes, layouts = self._attributes, self._layouts
        read_alike = layouts.read
        for raws, origin in self._scopes(batch, tenant):
            for raw in raws:
                seen = read_alike(raw)
                if seen is None:
                    try:
                        seen = protobuf_items.span(shallow.span(raw), attributes)
                    except refusals.Rejected as why:
                        tally.rejected[why.reason] += 1
                        continue
                    if not attributes.invalid:
                        layouts.learn(raw, seen)
                yield seen, origin

    def logs(self, batch: Batch, tenant: str, tally: Tally) -> Iterator[tuple[Observed, Callable[[], object], Origin]]:
        for raws, origin in self._scopes(batch, tenant):
            for raw in raws:
                try:
                    seen, body = protobuf_items.log(raw, self._attributes)
                except refusals.Rejected as why:
                    tally.rejected[why.reason] += 1
                else:
                    yield seen, partial(protobuf_items.body, body), origin

    def metrics(self, batch: Batch, tenant: str, tally: Tally) -> Iterator[tuple[MetricItem, Origin]]:
        """Those that a row wants; the points of others are ignored, of broken ones rejected."""
        points = iter(batch.points)
        for raws, origin in self._scopes(batch, tenant):
            for raw in raws:
                name, count = next(points)
                if not wanted(name, origin):
                    tally.ignored[refusals.NOT_GENAI] += count
                elif (item := protobuf_metrics.read(raw)) is None:
                    tally.rejected[refusals.UNDECODABLE] += count
                else:
                    yield item, origin

    def _scopes(self, batch: Batch, tenant: str) -> Iterator[tuple[Sequence[bytes], Origin]]:
        for group in batch.groups:
            for scoped in group.scopes:
                yield scoped.items, self._origins.serialised(group.resource, scoped.scope, tenant)

    @staticmethod
    def _count_points(batch: Batch, max_items: int) -> None:
        room = max_items
        for group in batch.groups:
            for scoped in group.scopes:
                for raw in scoped.items:
                    name, count = protobuf_metrics.count_points(raw, room)
                    room -= count
                    batch.points.append((name, count))
        batch.items = sum(count for _, count in batch.points)
