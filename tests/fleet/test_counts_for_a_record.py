"""What a detector judged of sidecars' ticks reaches exporters, such as the store: all of it, once."""

from collections import Counter
from pathlib import Path
from typing import Any

from watchkeeper.core.fleet import Resumed, Told


def test_all_that_sidecars_counted_is_told_with_the_whole_id_of_its_reference(
    kit: Any, made: Any, tmp_path: Path
) -> None:
    alone, sent = kit.Alone(tmp_path / "references"), kit.traffic(made, 5)
    alone.fleet.take([Resumed(alone.place, 0)], kit.START)
    alone.fleet.take([Told(alone.place, at, time, record) for at, (record, time) in enumerate(sent)], kit.START)

    first, second = alone.fleet.tick(kit.START), alone.fleet.tick(kit.START + 10)

    told: Counter[tuple[str, str]] = Counter()
    for one in first.counted:
        told[one.segment, one.signal] += sum(one.counts)
    counted: Counter[tuple[str, str]] = Counter()
    for record, _ in sent:
        for stream in record.streams:
            counted[record.segment, stream.signal] += sum(stream.counts.values())
    assert told == counted
    assert {one.reference for one in first.counted} == {pack.id for packs in made.values() for pack in packs}
    assert second.counted == ()
