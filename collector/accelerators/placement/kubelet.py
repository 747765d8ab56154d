"""What the kubelet told last, asked for in a thread aside."""

import logging
import socket
import stat
from pathlib import Path
from typing import Final

from collector.accelerators.placement.allocation import Given, KubeletError, Trouble
from collector.accelerators.worker import Worker
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import devices as vocabulary

ASK_SECONDS: Final = 5.0
"""an answer takes milliseconds; the kubelet that has not given one by then is stuck"""
KEEP_INTERVALS: Final = 6
"""an answer is good for so many intervals; a kubelet that is gone longer places no pods"""
_FIRST_SECONDS: Final = 0.5
"""the first answer is waited for, so that counters do not begin on nobody and go on with a pod"""


class Kubelet:
    """Only the source's thread calls this. `given` is the last answer, `changes` counts how often it was another."""

    def __init__(self, socket_path: str, interval_seconds: float, ledger: Ledger) -> None:
        self.given: tuple[Given, ...] = ()
        self.changes = 0
        self._path = socket_path
        self._interval_seconds = interval_seconds
        self._ledger = ledger
        self._worker: Worker[tuple[Given, ...]] = Worker("kubelet")
        self._log = logging.getLogger("watchkeeper.accelerators.placement")
        self._asked_at = float("-inf")
        self._answered_at: float | None = None
        self._trouble: Trouble | None = None

    def refresh(self, now: float) -> None:
        """Take an answer that has come, ask again when it is time, forget what is too old."""
        self._take(now, 0.0)
        if not 0 <= now - self._asked_at < self._interval_seconds:
            is_first = self._asked_at == float("-inf")
            self._asked_at = now
            if not self._worker.ask(lambda: ask(self._path, ASK_SECONDS)):
                self._failed(KubeletError(Trouble.TIMED_OUT))
            self._take(now, _FIRST_SECONDS if is_first else 0.0)
        self._forget_old(now)

    def close(self) -> None:
        self._worker.stop()

    def _take(self, now: float, timeout_seconds: float) -> None:
        try:
            given = self._worker.answer(timeout_seconds)
        except KubeletError as error:
            self._failed(error)
            return
        if given is not None:
            self._answered(given, now)

    def _answered(self, given: tuple[Given, ...], now: float) -> None:
        self._answered_at = now
        self._keep(given)
        self._ledger.set(vocabulary.PLACEMENT_UP, 1.0)
        if self._trouble is not None:
            self._log.info("the kubelet answers again: devices are placed on pods")
        self._trouble = None

    def _failed(self, error: KubeletError) -> None:
        self._ledger.set(vocabulary.PLACEMENT_UP, 0.0)
        self._ledger.add(vocabulary.PLACEMENT_ERRORS, 1, (("reason", error.trouble.value),))
        if error.trouble is not self._trouble:
            level = logging.INFO if error.trouble is Trouble.MISSING and self._answered_at is None else logging.WARNING
            self._log.log(level, "devices are not placed on pods: %s: %s", self._path, error)
        self._trouble = error.trouble

    def _forget_old(self, now: float) -> None:
        if (
            self._answered_at is not None
            and not 0 <= now - self._answered_at <= KEEP_INTERVALS * self._interval_seconds
        ):
            self._keep(())

    def _keep(self, given: tuple[Given, ...]) -> None:
        if given != self.given:
            self.given = given
            self.changes += 1


def ask(path: str, timeout_seconds: float) -> tuple[Given, ...]:
    """
    What containers of this node have. HTTP/2 is loaded when there is somebody to talk to: a plain host does without.
    Each question has a connection of its own: a kubelet that is restarted makes a new socket, and a connection is
    cheap beside the seconds between two questions.

    :raises KubeletError: in every case of no answer
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        connect(peer, path, timeout_seconds)
        from collector.accelerators.placement import pod_resources

        return pod_resources.ask(peer, timeout_seconds)


def connect(peer: socket.socket, path: str, timeout_seconds: float) -> None:
    """:raises KubeletError: it cannot be connected to"""
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            raise KubeletError(Trouble.NOT_A_SOCKET)
        peer.settimeout(timeout_seconds)
        peer.connect(path)
    except (FileNotFoundError, NotADirectoryError):
        raise KubeletError(Trouble.MISSING) from None
    except PermissionError:
        raise KubeletError(Trouble.NOT_PERMITTED) from None
    except (TimeoutError, BlockingIOError):  # its queue of connections is full
        raise KubeletError(Trouble.TIMED_OUT) from None
    except ConnectionError:
        raise KubeletError(Trouble.REFUSED) from None
    except (OSError, ValueError) as error:  # a path that is too long, or none
        raise KubeletError(Trouble.FAILING, getattr(error, "strerror", None) or str(error)) from None
