"""
GPM (Hopper and later): activity of SMs, tensor cores, pipes and memory between two samples, without privileges.

Each device has two sample buffers, filled in turn, so that nobody waits between them. GPM is not thread-safe across
devices: one lock for all, waited for with a timeout, because the device that holds it may hang.
"""

import ctypes
import struct
import threading
from typing import Any, Final

from collector.accelerators.driver import DriverError, Meaning, Measured
from collector.accelerators.nvidia import codes
from collector.accelerators.nvidia.library import Library
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels
from watchkeeper.core.vocabulary import devices as vocabulary

LEAST_SECONDS: Final = 0.1
"""two samples must be so far apart"""
_LOCK_SECONDS: Final = 0.25
METRICS: Final[tuple[tuple[int, Metric, Labels], ...]] = (
    (2, vocabulary.COMPUTE_ACTIVE, ()),
    (3, vocabulary.COMPUTE_OCCUPANCY, ()),
    (5, vocabulary.MATRIX_ACTIVE, ()),
    (10, vocabulary.MEMORY_BANDWIDTH, ()),
    (4, vocabulary.PIPE_ACTIVE, (("pipe", "integer"),)),
    (11, vocabulary.PIPE_ACTIVE, (("pipe", "fp64"),)),
    (12, vocabulary.PIPE_ACTIVE, (("pipe", "fp32"),)),
    (13, vocabulary.PIPE_ACTIVE, (("pipe", "fp16"),)),
)
"""GPM's number, and what it fills; all in percent"""
_HEAD_BYTES: Final = 24
_ELEMENT: Final = "4xId24x"
"""of c_nvmlGpmMetric_t: its return code and value; the structure's own fields cost ten times as much to read"""
BUSY: Final = 1
"""of a partition, which has no utilization rates: the share of time in which anything ran"""
_GENERAL: Final = (("hw.gpu.task", "general"),)


class Gpm:
    """One device's samples. `partition` is the GPU instance, and `handle` then that of its parent."""

    def __init__(self, library: Library, lock: threading.Lock, handle: Any, partition: int | None = None) -> None:
        self._library = library
        self._lock = lock
        self._handle = handle
        self._partition = partition
        self._metrics = METRICS if partition is None else (*METRICS, (BUSY, vocabulary.UTILIZATION, _GENERAL))
        self._older: Any = None
        self._newer: Any = None
        self._newer_at = 0.0
        self._is_free = False
        self._request: Any = None
        self._whole = struct.Struct(f"={len(self._metrics) * _ELEMENT}")
        self._measured = [Measured(metric, -1.0, labels) for _, metric, labels in self._metrics]

    def read(self, now: float) -> list[Measured]:
        """
        What happened since the last call; nothing the first time.

        :raises DriverError: UNSUPPORTED where the device has no GPM
        """
        if not self._lock.acquire(timeout=_LOCK_SECONDS):
            raise DriverError(Meaning.FAILING, "LOCKED", "nvmlGpmSampleGet")
        try:
            if self._is_free:  # between the listing that misses it and the next sample
                return []
            if self._request is None:
                self._prepare()
            if self._newer_at and 0 <= now - self._newer_at < LEAST_SECONDS:
                return []
            self._take()
            was, self._newer_at = self._newer_at, now
            return self._metrics_between() if was else []
        finally:
            self._lock.release()

    def free(self) -> None:
        """The driver's buffers, unless somebody hangs with the lock held; then they are left to the process's end."""
        if not self._lock.acquire(timeout=_LOCK_SECONDS):
            return
        try:
            for sample in (self._older, self._newer):
                if sample is not None:
                    self._library.call("nvmlGpmSampleFree", sample)
        except DriverError:
            pass  # shut down already: they went with it
        finally:
            self._older = self._newer = None
            self._is_free = True
            self._lock.release()

    def _prepare(self) -> None:
        if not self._library.call("nvmlGpmQueryDeviceSupport", self._handle).isSupportedDevice:
            raise codes.error(3, "nvmlGpmQueryDeviceSupport")
        self._older = self._library.call("nvmlGpmSampleAlloc")
        self._newer = self._library.call("nvmlGpmSampleAlloc")
        request = self._library.binding.c_nvmlGpmMetricsGet_t()
        request.version = 1
        request.numMetrics = len(self._metrics)
        for place, (number, _, _) in enumerate(self._metrics):
            request.metrics[place].metricId = number
        self._request = request

    def _take(self) -> None:
        """Into the older buffer, which then is the newer one."""
        if self._partition is None:
            self._call("nvmlGpmSampleGet", self._handle, self._older)
        else:
            self._call("nvmlGpmMigSampleGet", self._handle, self._partition, self._older)
        self._older, self._newer = self._newer, self._older

    def _metrics_between(self) -> list[Measured]:
        request, measured = self._request, self._measured
        request.sample1, request.sample2 = self._older, self._newer
        self._call("nvmlGpmMetricsGet", ctypes.byref(request))
        told = self._whole.unpack_from(request, _HEAD_BYTES)
        for place, value in enumerate(told[1::2]):
            one = measured[place]
            if one.value != value / 100:
                measured[place] = Measured(one.metric, value / 100, one.labels)
        return [
            one for one, status in zip(measured, told[::2], strict=True) if status == 0 and one.value >= 0
        ]  # no NaN

    def _call(self, name: str, *arguments: Any) -> None:
        code = self._library.raw(name)(*arguments)
        if code:
            raise codes.error(code, name)
