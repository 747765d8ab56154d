"""A limit for the whole of an action. Sockets have one for each of their waits alone, which who drips never exceeds."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, action: Callable[[], T]) -> T:
    """
    What `action` returns or raises. One that takes longer is left behind in a thread, which ends with the process: for
    commands that end soon.

    :raises TimeoutError: it did not end in time
    """
    ended: Future[T] = Future()

    def run() -> None:
        try:
            ended.set_result(action())
        except BaseException as error:  # noqa: BLE001 - raised where it is asked for
            ended.set_exception(error)

    threading.Thread(target=run, name="within", daemon=True).start()
    try:
        return ended.result(seconds)
    except TimeoutError as error:
        raise (error if ended.done() else TimeoutError(f"no whole answer within {seconds:g} s")) from None
