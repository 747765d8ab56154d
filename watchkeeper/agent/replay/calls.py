"""
Files of calls to Completions: CSV, JSON lines and Parquet by the names of their fields, OTLP by its own rules.

A field is found by one of its usual names, in whatever case, or where `--field` says. What cannot be read is counted.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from watchkeeper.agent.references.files import records
from watchkeeper.core.call_fields import NUMBERS, TIME_NAMES, WHOLE, CallReader, Places, Record, has_call
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.records import Completion

_BEGINS_AT: Final = 1_000_000_000.0
"""unix seconds: of a file without times"""


class Calls:
    """
    The calls of a file, one at a time, in its order. Once they were read, `unread` counts what could not be.

    :param paths: of fields, by name, in place of the usual ones
    :param service: of calls that tell none
    :param rate: calls a second where the file has no times; they begin at unix second 10^9
    """

    def __init__(self, path: Path, paths: Mapping[str, str], service: str, rate: float) -> None:
        self._path = path
        self._reader = CallReader(paths, service)
        self._rate = rate
        self.unread = self._reader.unread
        self.has_times = True

    def read(self) -> Iterator[Completion]:
        """:raises ConfigError: the file cannot be read, or has nothing that is known"""
        first: Record | None = None
        has_calls = False
        for place, record in enumerate(records(self._path)):
            if record is None:
                self.unread["whole lines"] += 1
                continue
            found = self._reader.places(record)
            if first is None:
                first = record
                self.has_times = found["time"] is not None or any(str(name).lower() in TIME_NAMES for name in record)
            has_calls = has_calls or has_call(found)
            call = self._call(record, place, found)
            if call is not None:
                yield call
        if first is not None and not has_calls:
            raise ConfigError(
                f"{self._path}: no field of a call is found in it ({', '.join(sorted(map(str, first))[:8])}); "
                "say where they are: --field input_tokens=PATH --field answer=PATH"
            )

    def _call(self, record: Record, place: int, found: Places) -> Completion | None:
        at = self._reader.time(record, found) if self.has_times else _BEGINS_AT + place / self._rate
        return None if at is None else self._reader.call(record, found, at)


Change = Callable[[Completion], Completion]


def changed(factors: Mapping[str, float]) -> Change:
    """What --what-if asks for. :raises ConfigError: a name that is no number of a call"""
    known = [field.name for field in NUMBERS]
    if unknown := factors.keys() - set(known):
        raise ConfigError(f"--what-if {min(unknown)}: expected one of {', '.join(known)}")

    def change(call: Completion) -> Completion:
        scaled: dict[str, Any] = {}
        for name, factor in factors.items():
            number = getattr(call, name)
            if number is not None:
                scaled[name] = round(number * factor) if name in WHOLE else number * factor
        return msgspec.structs.replace(call, **scaled)

    return change
