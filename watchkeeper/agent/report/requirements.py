"""What texts ask of a running system, and which parts of a record are evidence for it: see `requirements.json`."""

from collections.abc import Collection
from importlib.resources import files

import msgspec

from watchkeeper.agent.report.record import Requirement


def requirements(held: Collection[str]) -> tuple[Requirement, ...]:
    """:param held: parts of the record that hold something"""
    data = files("watchkeeper.agent.report").joinpath("requirements.json").read_bytes()
    table = msgspec.json.decode(data, type=tuple[Requirement, ...])
    return tuple(msgspec.structs.replace(one, held=tuple(part for part in one.parts if part in held)) for one in table)
