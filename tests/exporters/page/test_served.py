import re
import threading
from typing import Any

from exporters.page import PLUGIN, PageConfig
from exporters.page.english import ENGLISH
from exporters.page.served import Page
from watchkeeper.core.interfaces import Request, Served
from watchkeeper.core.ledger import Ledger


def get(page: Page, path: str = "/", query: dict[str, str] | None = None, accept: str = "") -> Any:
    return page.routes()[path](Request(path, query or {}, {"accept-language": accept}))


def test_it_is_built_from_its_defaults_and_served() -> None:
    page = PLUGIN.build(PageConfig(), Ledger())

    assert isinstance(page, Served)
    assert get(page).status == 200
    page.close()


def test_nothing_but_its_own_files_may_load(page: Page) -> None:
    policy = get(page).headers["Content-Security-Policy"]

    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_a_shared_cache_keeps_languages_apart_and_pages_not_at_all(page: Page) -> None:
    answer = get(page, accept="zh-CN")

    assert answer.headers["Vary"] == "Accept-Language"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Language"] == "zh-CN"
    assert b'<html lang="zh-CN"' in answer.body
    assert b'<html lang="en"' in get(page, query={"lang": "en"}, accept="zh-CN").body


def test_files_are_kept_by_browsers_under_an_address_with_their_hash(page: Page) -> None:
    body = get(page).body.decode()
    for path, content_type in (("/page.css", "text/css"), ("/page.js", "text/javascript")):
        answer = get(page, path)

        assert answer.content_type.startswith(content_type)
        assert "immutable" in answer.headers["Cache-Control"]
        assert f'"{path[1:]}?v=' in body


def test_addresses_are_relative_so_that_a_proxy_may_mount_it_anywhere(page: Page) -> None:
    body = get(page).body.decode()

    assert 'href="/' not in body
    assert 'src="/' not in body
    assert [link for link in re.findall(r'(?:href|src)="([^"]*)"', body) if re.match(r"https?:|//", link)] == []
    assert 'href="metrics"' in body


def test_without_scripts_it_reloads_itself(page: Page) -> None:
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in get(page).body.decode()


def test_many_readers_in_one_second_cost_one_page(traffic: Any, page: Page) -> None:
    traffic.call()
    page.write(traffic.batch(seconds=0.1))

    first = get(page)
    traffic.call()
    page.write(traffic.batch(seconds=0.1))
    second = get(page)
    traffic.at += 1
    third = get(page)

    assert second.body is first.body
    assert third.body != first.body
    assert get(page, query={"lang": "zh"}).body != third.body


def test_reading_and_writing_at_once_harms_neither(traffic: Any) -> None:
    page = Page("", 2.0)
    failures: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                assert page._render(ENGLISH, traffic.at).endswith(b"</html>\n")
            except BaseException as error:  # noqa: BLE001 - carried to the test
                failures.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(300):
        traffic.call(gen_ai__request__model=f"m{number}")
        traffic.engine(address=f"a{number % 40}")
        page.write(traffic.batch())
    stop.set()
    reader.join()

    assert failures == []
