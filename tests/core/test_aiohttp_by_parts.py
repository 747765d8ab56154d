"""In processes of their own: what is loaded stays loaded."""

import subprocess
import sys

TAKE = """
import sys
from watchkeeper.core.aiohttp_by_parts import take_aiohttp_by_parts
take_aiohttp_by_parts()
"""


def says(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", TAKE + program], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_an_agent_that_reads_no_pages_does_not_load_the_client() -> None:
    program = """
import watchkeeper.agent.agent
from watchkeeper.agent import registry
registry.sources(), registry.exporters(), registry.signals(), registry.checks()
print("aiohttp.web_server" in sys.modules, "aiohttp.client" in sys.modules)
"""
    assert says(program) == ["True", "False"]


def test_whoever_asks_for_the_client_gets_all_of_aiohttp() -> None:
    program = """
import aiohttp
from aiohttp import web, web_exceptions
print("aiohttp.client" in sys.modules, aiohttp.web is web)
from aiohttp import ClientSession
import aiohttp.client
print(ClientSession is aiohttp.client.ClientSession, aiohttp.web is web, set(aiohttp.__all__) <= set(dir(aiohttp)))
"""
    assert says(program) == ["False", "True", "True", "True", "True"]


def test_threads_that_ask_for_it_at_once_all_get_all_of_it() -> None:
    program = """
import threading
sys.setswitchinterval(1e-6)
got, start = [], threading.Barrier(8)
asked = ["from aiohttp import ClientSession", "import aiohttp; aiohttp.TCPConnector", "from aiohttp import web",
         "import aiohttp.client; aiohttp.ClientTimeout"]
def ask(words):
    start.wait()
    exec(words)
    got.append(words)
threads = [threading.Thread(target=ask, args=(words,)) for words in asked * 2]
for one in threads: one.start()
for one in threads: one.join(250)
import aiohttp, aiohttp.client
print(len(got), aiohttp.ClientSession is aiohttp.client.ClientSession, set(aiohttp.__all__) <= set(dir(aiohttp)))
"""
    assert says(program) == ["8", "True", "True"]


def test_threads_that_take_it_by_parts_at_once_take_it_once() -> None:
    program = """
import threading
sys.setswitchinterval(1e-6)
taken = []
for _ in range(40):
    del sys.modules["aiohttp"]
    got, start = [], threading.Barrier(8)
    def take():
        start.wait()
        take_aiohttp_by_parts()
        got.append(sys.modules["aiohttp"])
    threads = [threading.Thread(target=take) for _ in range(8)]
    for one in threads: one.start()
    for one in threads: one.join(250)
    taken.append((len(got), len({id(one) for one in got})))
print(len(taken), *set(taken))
"""
    assert says(program) == ["40", "(8,", "1)"]


def test_its_version_is_known_before_all_of_it_is_loaded() -> None:
    program = """
import aiohttp
early = aiohttp.__version__
aiohttp.ClientSession
print(early == aiohttp.__version__)
"""
    assert says(program) == ["True"]


def test_a_name_that_aiohttp_does_not_have_is_an_error() -> None:
    program = """
import aiohttp
try:
    aiohttp.nonsense
except AttributeError:
    print("refused")
"""
    assert says(program) == ["refused"]


def test_one_that_is_loaded_already_stays_as_it_is() -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import aiohttp{TAKE}print(aiohttp is sys.modules['aiohttp'], aiohttp.ClientSession)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("True")
