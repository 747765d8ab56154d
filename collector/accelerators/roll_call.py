"""Which devices a vendor has: each is asked who it is in a thread aside, so that one that hangs hides no other."""

import time
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

from collector.accelerators.crew import Crew
from collector.accelerators.driver import CountError, DriverError, Meaning

Found = TypeVar("Found")

LOOK_SECONDS: Final = 2.0
"""a device that takes longer to say who it is hangs"""
NOT_NOW: Final = (Meaning.RESTARTED, Meaning.NOT_LOADED, Meaning.ABSENT)
"""what an error of one device says of the whole library"""


class RollCall(Generic[Found]):
    """
    Only the thread that lists devices calls this. What is asked about two devices runs at the same time: it has its
    own room for answers.

    :param name: of the call by which devices are found; those that never answered are counted for it
    """

    def __init__(self, vendor: str, name: str, count_error: CountError) -> None:
        self._name = name
        self._count_error = count_error
        self._crew: Crew[Found] = Crew(f"{vendor}-lister")
        self._found: Mapping[str, Found] = {}

    def of(self, who: Mapping[str, Callable[[], Found]]) -> dict[str, Found]:
        """
        Those that answered, in the order asked. One that hangs is there as it answered last time; one that fails, or
        hangs and never answered, is counted and left out.

        :raises DriverError: of the whole library, which then has to be opened anew
        """
        asked = {key: ask for key, ask in who.items() if not self._is_late(key)}
        answers = self._crew.run(asked, time.monotonic() + LOOK_SECONDS)
        found: dict[str, Found] = {}
        for key in who:
            answer = answers.get(key)
            if isinstance(answer, DriverError) and answer.meaning not in NOT_NOW:
                self._count_error(answer.call, answer.code)
            elif isinstance(answer, BaseException):
                raise answer
            elif answer is not None:
                found[key] = answer
            elif key in self._found:
                found[key] = self._found[key]
            else:
                self._count_error(self._name, "HUNG")
        self._found = found
        return found

    def forget(self) -> None:
        """The library was opened anew: what was found before is no more."""
        self._found = {}

    def stop(self) -> None:
        """Nothing is asked any more."""
        self._crew.stop()

    def _is_late(self, key: str) -> bool:
        """Whether it still hangs in an earlier question; the answer of one that came back is not of now."""
        return self._crew.busy_since(key) is not None and self._crew.late(key) is None
