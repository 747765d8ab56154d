"""The page in a real browser, as an operator sees it."""

from collections.abc import Iterator
from typing import Any

import pytest

from exporters.page.served import Page
from watchkeeper.agent.web import WebServer
from watchkeeper.core.records import Cause, Finding, Severity
from watchkeeper.core.testkit.chromium import Chromium
from watchkeeper.core.testkit.programs import require

SCREENS = [(1440, 900, False), (1024, 768, False), (390, 844, True), (320, 568, True)]
TOO_WIDE = """
[...document.querySelectorAll("body *")]
  .filter((part) => part.getBoundingClientRect().right > innerWidth + 1 && getComputedStyle(part).clipPath === "none")
  .map((part) => part.outerHTML.slice(0, 80))
"""

VISIBLE = """(part) => {
  const box = part.getBoundingClientRect(), seen = getComputedStyle(part).clipPath === "none";
  return box.width && box.height && seen ? part.textContent : "";
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium.start(require("chromium", "chromium")) as running:
        yield running


@pytest.fixture
def address(page: Page) -> Iterator[str]:
    server = WebServer("127.0.0.1", 0, page.routes())
    server.start()
    yield server.url
    server.stop()


def busy(traffic: Any, page: Page) -> None:
    """Two services, three models, an engine down, findings, many of them of a kind, and a name that does not break."""
    for _ in range(60):
        traffic.itself()
        for model, service in (
            ("qwen3", "chat"),
            ("organisation/long-model-name-instruct", "chat"),
            ("x" * 128, "find"),
        ):
            traffic.call(gen_ai__request__model=model, service__name=service, first_token=1.2345)
            traffic.call(gen_ai__request__model=model, service__name=service, outcome="timeout")
        traffic.engine()
        traffic.engine(address="10.0.0.2", up=False, fault="unreachable")
        for index in range(8):
            pod = {"k8s__namespace__name": "ml", "k8s__pod__name": "x" * 63}
            traffic.device(hw__id=f"GPU-{index}", hw__name=str(index), **pod)
        page.write(traffic.batch(seconds=5))
    page.write(
        traffic.batch(
            Finding(
                at=traffic.at, since=traffic.at - 60, severity=Severity.CRITICAL, subject="qwen3" * 20,
                summary="Time to first token p95 is 6.1 s", runbook="https://r.example/", evidence=("y" * 200,),
                causes=(Cause("KV cache full", 0.9, ("z" * 200,), "add a replica", "r" * 100),),
            ),
            *(
                Finding(
                    at=traffic.at - age, since=traffic.at - 9_000 - age, severity=Severity.WARNING, summary="idle",
                    subject=f"idle {age} {is_over}", name="allocated_idle", resolved=is_over,
                    labels=(("k8s.pod.name", f"{'x' * 63}{age}"),),
                )
                for age in range(0, 3_100, 100) for is_over in (False, True)
            ),
        )
    )  # fmt: skip


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(("width", "height", "mobile"), SCREENS, ids=lambda value: str(value))
def test_nothing_is_wider_than_the_screen(
    traffic: Any, page: Page, browser: Chromium, address: str, width: int, height: int, mobile: bool, lang: str
) -> None:
    busy(traffic, page)
    browser.open(f"{address}?lang={lang}", width=width, height=height, mobile=mobile)

    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    browser.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert browser.evaluate(TOO_WIDE) == []
    assert browser.evaluate("innerWidth") == width


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(("width", "height", "mobile"), [(1280, 900, False), SCREENS[2]], ids=["desktop", "phone"])
def test_many_findings_of_a_kind_take_the_room_of_one(
    traffic: Any, page: Page, browser: Chromium, address: str, width: int, height: int, mobile: bool, lang: str
) -> None:
    busy(traffic, page)
    browser.open(f"{address}?lang={lang}", width=width, height=height, mobile=mobile)

    assert browser.evaluate("document.querySelectorAll('#findings article').length") == 3
    assert browser.evaluate("document.querySelectorAll('.alike li').length") == 60
    assert browser.evaluate("document.getElementById('findings').getBoundingClientRect().height") < height

    browser.evaluate("document.getElementById('earlier').open = true")
    ages = browser.evaluate("""[...document.querySelectorAll('.kind > summary')].map((line) =>
      [...line.firstChild.data.matchAll(/[^ ]*\\u00a0[^ ]*/g)].map((age) => {
        const range = document.createRange();
        range.setStart(line.firstChild, age.index);
        range.setEnd(line.firstChild, age.index + age[0].length);
        return range.getClientRects().length;
      }))""")
    assert ages == [[1, 1], [1, 1]]


@pytest.mark.parametrize(("width", "height", "mobile"), [SCREENS[0], SCREENS[2]], ids=["desktop", "phone"])
def test_the_state_is_on_the_first_screen_and_every_part_is_there(
    traffic: Any, page: Page, browser: Chromium, address: str, width: int, height: int, mobile: bool
) -> None:
    busy(traffic, page)
    browser.open(f"{address}?lang=en", width=width, height=height, mobile=mobile)

    shown = """(name) => {
      const box = document.getElementById(name)?.getBoundingClientRect();
      return box && box.height > 0 && box.width > 0;
    }"""
    for part in (
        "status", "findings", "live", "requests", "first-token", "per-token", "tokens", "errors", "in-flight",
        "models", "services", "engines", "devices", "sources", "exporters",
    ):  # fmt: skip
        assert browser.evaluate(f"({shown})('{part}')"), part
    assert browser.evaluate("document.querySelector('#status h2').textContent") == "Bad"
    assert browser.evaluate("document.querySelector('#status').getBoundingClientRect().bottom <= innerHeight / 2")
    assert browser.evaluate("document.querySelectorAll('#live svg path.main').length") >= 6
    assert browser.problems == []
    assert browser.screenshot().startswith(b"\x89PNG")


def test_on_a_desktop_findings_stand_beside_the_numbers(
    traffic: Any, page: Page, browser: Chromium, address: str
) -> None:
    busy(traffic, page)
    browser.open(address, width=1440, height=900)

    top = "document.getElementById('{}').getBoundingClientRect().{}"
    assert browser.evaluate(f"{top.format('findings', 'left')} > {top.format('live', 'right')}")
    assert browser.evaluate(f"{top.format('findings', 'top')} < 400")


@pytest.mark.parametrize(("width", "height", "mobile"), [SCREENS[0], SCREENS[3]], ids=["desktop", "phone"])
def test_charts_tell_their_window_and_reach_from_edge_to_edge_unclipped(
    traffic: Any, page: Page, browser: Chromium, address: str, width: int, height: int, mobile: bool
) -> None:
    busy(traffic, page)
    browser.open(f"{address}?lang=en", width=width, height=height, mobile=mobile)

    heading = browser.evaluate(f"({VISIBLE})(document.querySelector('#live > h2'))")
    captions = browser.evaluate(
        f"[...document.querySelectorAll('figcaption')].map((each) => [...each.children].map({VISIBLE}))"
    )
    ends = browser.evaluate("""[...document.querySelectorAll('#live path.main')].map((line) => {
      const frame = line.parentNode.getBoundingClientRect(), drawn = line.getBoundingClientRect();
      return [Math.round(frame.right - drawn.right), getComputedStyle(line.parentNode).overflow];
    })""")

    assert heading == "Live last minute"
    assert [(first, last) for first, _, last in captions] == [("5 min ago", "now")] * 6
    assert ends == [[0, "visible"]] * 6


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(("width", "height", "mobile"), SCREENS, ids=lambda value: str(value))
def test_nothing_that_belongs_together_is_torn_apart(
    traffic: Any, page: Page, browser: Chromium, address: str, width: int, height: int, mobile: bool, lang: str
) -> None:
    busy(traffic, page)
    browser.open(f"{address}?lang={lang}", width=width, height=height, mobile=mobile)

    rows = browser.evaluate("""[...document.querySelectorAll('.sources dl')].map((list) => {
      const bottoms = [...list.children].map((fact) => Math.round(fact.getBoundingClientRect().bottom));
      return [...new Set(bottoms)].map((bottom) => bottoms.filter((other) => other === bottom).length);
    })""")
    pairs = browser.evaluate("[...document.querySelectorAll('.both')].map((pair) => pair.getClientRects().length)")
    labels = browser.evaluate("[...document.querySelectorAll('.groups td')].map((cell) => cell.dataset.label)")

    assert rows
    assert all(row in ([6], [3, 3]) for row in rows)
    assert pairs
    assert set(pairs) == {1}
    assert not [label for label in labels if "p50 " in label or " p95" in label]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_colour_scheme(page: Page, browser: Chromium, address: str, scheme: str) -> None:
    browser.open(address, width=1440, height=900, scheme=scheme)

    colour = browser.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, colour[4:-1].split(","))) < 200) is (scheme == "dark")


def test_it_updates_itself_and_keeps_what_the_reader_opened(traffic: Any, browser: Chromium) -> None:
    shown_at = traffic.at
    page = Page("", 1.0, clock=lambda: shown_at)

    def tell(*findings: Finding, seconds: float = 2.0) -> None:
        """The clock goes on when all is written: who asks between would be shown for good what was before."""
        nonlocal shown_at
        page.write(traffic.batch(*findings, seconds=seconds))
        shown_at = traffic.at

    server = WebServer("127.0.0.1", 0, page.routes())
    server.start()
    try:
        traffic.itself()
        tell(seconds=0.5)
        browser.open(f"{server.url}?lang=en", width=1440, height=900)
        assert browser.evaluate("document.querySelector('#empty h2').textContent") == "No traffic yet"

        old = Finding(at=1.0, since=1.0, severity=Severity.WARNING, subject="s", summary="t", resolved=True)
        traffic.call()
        tell(old)
        browser.wait_for("document.querySelector('#status h2').textContent === 'Well'")
        assert browser.evaluate("document.title") == "Well · watchkeeper"

        browser.evaluate(
            "document.getElementById('earlier').open = true; document.getElementById('earlier-summary').focus()"
        )
        causes = (Cause("KV cache full", 0.9, ("kv cache 0.99",)),)
        new = Finding(
            at=traffic.at, since=traffic.at, severity=Severity.CRITICAL, subject="qwen3", summary="slow", causes=causes
        )
        tell(new)
        browser.wait_for("document.querySelector('#findings h3').textContent === 'qwen3'")
        browser.evaluate("document.querySelector('.causes details').open = true")
        tell(old)
        browser.wait_for("document.querySelector('#findings time').textContent === 'since 4 s'")
        assert browser.evaluate("document.querySelector('.causes details').open")
        assert browser.evaluate("document.getElementById('earlier').open")
        assert browser.evaluate("document.activeElement.id") == "earlier-summary"
    finally:
        server.stop()

    browser.wait_for("!document.getElementById('lost').hidden")
    assert "does not answer" in browser.evaluate("document.getElementById('lost').textContent")


def test_it_is_readable_without_scripts(traffic: Any, browser: Chromium) -> None:
    page = Page("", 3600.0, clock=lambda: traffic.at)  # it does not reload itself while it is looked at
    server = WebServer("127.0.0.1", 0, page.routes())
    server.start()
    traffic.call()
    page.write(traffic.batch())
    browser.scripts(False)
    try:
        browser.open(f"{server.url}?lang=zh", width=390, height=844, mobile=True)
        text = browser.command("DOM.getOuterHTML", nodeId=browser.command("DOM.getDocument")["root"]["nodeId"])[
            "outerHTML"
        ]
    finally:
        browser.scripts(True)
        server.stop()

    assert "<h2>正常</h2>" in text
    assert 'http-equiv="refresh"' in text
