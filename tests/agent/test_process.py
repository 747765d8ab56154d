import platform
import subprocess
import sys

import pytest

HEAPS = """
import ctypes, sys, threading
from watchkeeper.agent.process import share_one_heap

if sys.argv[1] == "share":
    share_one_heap()
libc = ctypes.CDLL(None)
together = threading.Barrier(4)

def allocate():
    together.wait()
    libc.malloc(100)
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
stdout = ctypes.c_void_p.in_dll(libc, "stdout")
libc.malloc_info(0, stdout)
libc.fflush(stdout)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have one heap")
def test_threads_share_one_heap_when_told_to():
    heaps = {}
    for how in ("share", "leave"):
        told = subprocess.run([sys.executable, "-c", HEAPS, how], capture_output=True, text=True, check=True).stdout
        heaps[how] = told.count("<heap nr=")

    assert heaps["share"] == 1 < heaps["leave"]
