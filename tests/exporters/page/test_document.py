import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.page import PageConfig
from exporters.page.alike import MAX_ALIKE, MAX_KINDS
from exporters.page.chart import Line, chart, highest_of
from exporters.page.device_table import MAX_DEVICES
from exporters.page.figures import DASH
from exporters.page.finding_list import safe_link
from exporters.page.lists import MAX_MODELS, MAX_SERVICES
from exporters.page.markup import element, fragment
from exporters.page.served import LANGUAGES, Page
from watchkeeper.core.interfaces import Request
from watchkeeper.core.records import Cause, Finding, Outcome, Severity
from watchkeeper.core.vocabulary import health

MAX_BYTES = 60_000
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;{{7*7}}{names}%s"
Html = Callable[..., str]


class Outline(HTMLParser):
    """What a browser would see: tags with attributes, text, and whether everything was closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def text(self) -> str:
        return " ".join(self.words)


def hostile_finding(name: str) -> Finding:
    script = "javascript:alert(1)//" + HOSTILE
    return Finding(
        at=1.0, since=1.0, severity=Severity.CRITICAL, subject=HOSTILE, summary=HOSTILE, action=HOSTILE, runbook=script,
        causes=(Cause(HOSTILE, 1.0, (HOSTILE,), HOSTILE, script),), evidence=(HOSTILE,), name=name,
        labels=tuple((label, HOSTILE) for label in (HOSTILE, "hw.name", "hw.vendor", "reason")),
    )  # fmt: skip


@pytest.mark.parametrize("lang", LANGUAGES)
def test_hostile_names_stay_text(traffic: Any, page: Page, html: Html, lang: str) -> None:
    traffic.itself()
    traffic.call(outcome=HOSTILE, gen_ai__request__model=HOSTILE, gen_ai__provider__name=HOSTILE, service__name=HOSTILE)
    traffic.engine(up=False, address=HOSTILE, model=HOSTILE, fault=HOSTILE)
    traffic.set(health.SOURCE_UP, {"source": HOSTILE}, 0.0)
    traffic.add(health.SOURCE_FAILURES, {"source": HOSTILE, "reason": HOSTILE}, 2)
    traffic.set(health.QUEUE_CAPACITY, {"queue": HOSTILE}, 1.0)
    traffic.set(health.EXPORTER_UP, {"exporter": HOSTILE}, 0.0)
    traffic.set(health.BUILD_INFO, {"version": HOSTILE, "role": HOSTILE}, 1.0)
    traffic.device(hw__id=HOSTILE, hw__name=HOSTILE, hw__vendor=HOSTILE, hw__model=HOSTILE, k8s__pod__name=HOSTILE)
    page.write(traffic.batch(hostile_finding("fault"), hostile_finding(HOSTILE)))

    outline = Outline(html(lang))

    scripts = [attributes for tag, attributes in outline.tags if tag == "script"]
    assert [set(attributes) for attributes in scripts] == [{"src", "defer"}]
    assert [tag for tag, _ in outline.tags if tag in ("img", "iframe", "style", "form")] == []
    assert not [name for _, attributes in outline.tags for name in attributes if name.startswith("on")]
    links = [attributes["href"] or "" for tag, attributes in outline.tags if tag == "a"]
    assert all(link == "metrics" or link.startswith("?lang=") for link in links)
    assert outline.text().count("<script>alert(1)</script>") >= 8


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_operators_title_is_escaped_too(lang: str) -> None:
    outline = Outline(Page(HOSTILE, 2.0).routes()["/"](Request("/", {"lang": lang}, {})).body.decode())

    assert HOSTILE in outline.text()


@given(st.text(), st.text())
@settings(deadline=None)
def test_any_text_comes_back_as_it_went_in(text: str, value: str) -> None:
    clean = str.maketrans({"\r": " ", "\x00": " "})  # which HTML itself replaces
    text, value = text.translate(clean), value.translate(clean)
    outline = Outline(element("p", text, title=value))

    assert ("".join(outline.words), outline.tags) == (text, [("p", {"title": value})])


def test_markup_joined_into_text_is_text_again() -> None:
    assert element("p", f"{element('b', 'x')}") == "<p>&lt;b&gt;x&lt;/b&gt;</p>"
    assert element("p", fragment(element("b", "x"))) == "<p><b>x</b></p>"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_absent_number_is_a_dash_that_says_why(traffic: Any, page: Page, html: Html, lang: str) -> None:
    traffic.engine(up=False, fault="unreachable")
    page.write(traffic.batch())

    words = LANGUAGES[lang]
    dashes = re.findall(r'<span class="none" title="([^"]+)">(.)</span>', html(lang))

    assert {dash for _, dash in dashes} == {DASH}
    assert {words.absent_requests, words.absent_ttft, words.absent_tpot, words.absent_errors} <= {
        why.replace("&#x27;", "'") for why, _ in dashes
    }


def test_no_traffic_says_what_to_do(traffic: Any, page: Page, html: Html) -> None:
    traffic.itself()
    page.write(traffic.batch())

    text = html()

    assert "No traffic yet" in text
    assert "<code>OTEL_EXPORTER_OTLP_ENDPOINT</code>" in text
    assert "<code>watchkeeper doctor</code>" in text
    assert 'id="live"' not in text


def test_a_node_agent_is_not_told_to_be_sent_traffic(traffic: Any, page: Page, html: Html) -> None:
    traffic.set(health.BUILD_INFO, {"version": "1.2.3", "role": "node"}, 1.0)
    page.write(traffic.batch())

    assert "No traffic yet" not in html()


@pytest.mark.parametrize(("devices", "shown"), [({"up": 6, "down": 2}, True), ({"up": 0}, False)])
def test_accelerators_are_counted_on_top_where_there_are_any(
    traffic: Any, page: Page, html: Html, devices: dict[str, int], shown: bool
) -> None:
    traffic.itself()
    traffic.devices(**devices)
    page.write(traffic.batch())

    text = html()

    assert ("<dt>Accelerators</dt><dd>6/8</dd>" in text, "<dt>Accelerators" in text) == (shown, shown)
    assert ('id="devices"' in text) == shown


def test_what_is_watched_and_whether_it_is_well_stands_on_top(traffic: Any, page: Page, html: Html) -> None:
    traffic.itself()
    for _ in range(20):
        traffic.call()
        traffic.engine()
        page.write(traffic.batch())

    text = html()

    assert re.search(r'<section id="status" class="well" [^>]*>.*?<h2>Well</h2>', text)
    assert text.index('id="status"') < text.index('id="findings"') < text.index('id="live"')
    for part in ("sidecar", "1.2.3", "2 h 5 min", "qwen3", "chat-frontend", "10.0.0.1:8000", "measured in the engine"):
        assert part in text
    assert "<title>Well · watchkeeper</title>" in text


def test_a_finding_has_its_severity_age_cause_and_runbook(traffic: Any, page: Page, html: Html) -> None:
    traffic.call()
    traffic.at += 300
    page.write(
        traffic.batch(
            Finding(
                at=traffic.at, since=traffic.at - 119.5, severity=Severity.CRITICAL, subject="qwen3", summary="slow",
                runbook="https://r.example/Slow?a=1&b=2", action="look at `kv_cache` first",
                evidence=("p95 6.1 s (usual 1.2 s)",),
                causes=(
                    Cause("KV cache full", 0.9, ("kv cache 0.61 -> 0.99 (z +9)",), "add a replica", "runbooks/kv.md"),
                    Cause("longer prompts", 0.2), Cause("a new version", 0.1), Cause("the moon", 0.01),
                ),
            )
        )
    )  # fmt: skip

    text = html()

    assert "<h2>Bad</h2>" in text
    assert "since 2 min" in text
    assert 'href="https://r.example/Slow?a=1&amp;b=2"' in text
    assert "</span> look at <code>kv_cache</code> first" in text
    folded = re.findall(r"<details id=\"[ec]\w+(?:-0)?\"><summary id=\"[^\"]+\">(.+?)</summary>(.+?)</details>", text)
    assert [(title, " ".join(re.sub("<.+?>", " ", hidden).split())) for title, hidden in folded] == [
        ("Evidence: 1", "p95 6.1 s (usual 1.2 s)"),
        ("KV cache full", "kv cache 0.61 -&gt; 0.99 (z +9) To do add a replica Runbook: runbooks/kv.md"),
    ]
    assert "<li>longer prompts</li><li>a new version</li></ol>" in text
    assert "the moon" not in text


@pytest.mark.parametrize(
    ("subject", "title"),
    [
        ("drift of error of /chat/qwen", "drift of error of chat/qwen"),
        ("drift of error of //qwen", "drift of error of qwen"),
        ("drift of error of //", "drift of error"),
        ("drift of error of ml/chat/qwen", "drift of error of ml/chat/qwen"),
    ],
)
def test_a_title_names_no_part_that_a_segment_does_not_have(
    traffic: Any, page: Page, html: Html, subject: str, title: str
) -> None:
    page.write(traffic.batch(Finding(at=1.0, since=1.0, severity=Severity.WARNING, subject=subject, summary="s")))

    assert f'<h3 title="{subject}">{title}</h3>' in html()


@pytest.mark.parametrize(
    ("runbooks", "lang", "link"),
    [
        ("runbooks", "en", "runbooks/WatchkeeperDriftDetected.md"),
        ("runbooks", "zh", "runbooks/WatchkeeperDriftDetected.zh-CN.md"),
        ("https://docs.example/ops/", "en", "https://docs.example/ops/WatchkeeperDriftDetected.md"),
    ],
)
def test_a_runbook_of_ours_is_one_click_away_in_the_readers_language(
    traffic: Any, runbooks: str, lang: str, link: str
) -> None:
    page = Page("", 2.0, runbooks, clock=lambda: traffic.at)
    path = "dashboards/runbooks/WatchkeeperDriftDetected.md"
    page.write(
        traffic.batch(
            Finding(at=1.0, since=1.0, severity=Severity.WARNING, subject="s", summary="s", runbook=path),
            Finding(at=1.0, since=1.0, severity=Severity.WARNING, subject="t", summary="t", runbook="../etc/x.md"),
        )
    )
    text = page.routes()["/"](Request("/", {"lang": lang}, {})).body.decode()

    assert re.findall(r'<p class="runbook">(?:<a href="([^"]+)")?', text) == [link, ""]


@pytest.mark.parametrize("address", ["javascript:alert(1)", "", "ftp://x", "/runbooks"])
def test_an_address_of_runbooks_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="neither `runbooks` nor an address"):
        PageConfig(runbooks_url=address)


def idle_finding(at: float) -> Finding:
    return Finding(
        at=at, since=at - 60, severity=Severity.WARNING, name="allocated_idle", summary="all 8 devices have stood idle",
        subject="allocated_idle k8s.namespace.name=ml k8s.pod.name=llama-0",
        labels=(("k8s.namespace.name", "ml"), ("k8s.pod.name", "llama-0")),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lang", "title", "about", "remark"),
    [
        ("en", "Idle accelerators", "pod ml/llama-0", "Idle accelerators: all 8 devices have stood idle"),
        ("zh", "加速卡闲置", "容器组 ml/llama-0", "加速卡闲置：all 8 devices have stood idle"),
    ],
)
def test_a_finding_of_a_signal_says_in_the_readers_words_what_and_about_whom(
    traffic: Any, page: Page, html: Html, lang: str, title: str, about: str, remark: str
) -> None:
    page.write(traffic.batch(idle_finding(traffic.at)))
    text = html(lang)

    assert re.search(rf'<h3 title="allocated_idle [^"]+">{title}</h3><p class="about">{about}</p>', text)
    assert f"<p>{remark}</p>" in text


def idle_findings(now: float, count: int, *, resolved: bool = False) -> list[Finding]:
    """Of pods llama-0, llama-1 ..., begun one minute before the other, the newest 2 minutes ago."""
    return [
        msgspec.structs.replace(
            idle_finding(now), at=now - 60 * number, since=now - 120 - 60 * number, subject=f"idle {number}",
            labels=(("k8s.pod.name", f"llama-{number}"),), resolved=resolved,
        )
        for number in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lang", "resolved", "told"),
    [
        ("en", False, "30 more of this kind, since 3\xa0min to 32\xa0min"),
        ("en", True, "30 more of this kind, 1\xa0min to 30\xa0min ago"),
        ("zh", False, "同类告警另有 30 条，已持续 3\xa0分钟至 32\xa0分钟"),
        ("zh", True, "同类告警另有 30 条，1\xa0分钟至 30\xa0分钟前"),
    ],
)
def test_many_findings_of_one_kind_are_the_newest_and_a_line_for_each_other(
    traffic: Any, page: Page, html: Html, lang: str, resolved: bool, told: str
) -> None:
    other = msgspec.structs.replace(idle_finding(traffic.at), name="fault", resolved=resolved, at=traffic.at - 1e6)
    page.write(traffic.batch(*idle_findings(traffic.at + 0.5, 31, resolved=resolved), other))
    text = html(lang)

    found = re.findall(r'<details id="k\w+" class="kind"><summary[^>]*>(.+?)</summary><ul.+?</ul>', text)
    assert found == [told]
    assert text.count("<article") == 2
    assert [int(number) for number in re.findall(r"<li><b>\S+ llama-(\d+)</b>", text)] == [*range(1, 31)]


def test_two_of_a_kind_and_kinds_that_differ_are_each_told_in_full(traffic: Any, page: Page, html: Html) -> None:
    first, second, third = idle_findings(traffic.at, 3)
    graver = msgspec.structs.replace(third, severity=Severity.CRITICAL)
    elsewhere = msgspec.structs.replace(third, subject="a link", labels=(("link", "a"),))
    page.write(traffic.batch(first, second, graver, elsewhere))

    assert (html().count("<article"), html().count('class="kind"')) == (4, 0)


def test_what_is_listed_of_a_kind_and_how_many_kinds_is_bounded(traffic: Any, page: Page, html: Html) -> None:
    kinds = [msgspec.structs.replace(idle_finding(traffic.at), subject=f"s{n}", name=f"n{n}") for n in range(10)]
    page.write(traffic.batch(*kinds, *idle_findings(traffic.at + 1e4, MAX_ALIKE + 5)))
    text = html()

    assert (text.count("<article"), text.count("<li><b>")) == (MAX_KINDS, MAX_ALIKE)
    assert re.findall(r"and (\d+) more</p>", text) == ["4", "3"]


@pytest.mark.parametrize(
    ("name", "labels", "about"),
    [
        ("fault", {"hw.id": "", "hw.name": "3", "hw.vendor": "nvidia", "reason": "power"}, "设备 nvidia 3 · 原因 供电"),
        ("throttling", {"hw.id": "GPU-1", "reason": "sw_power_cap"}, "设备 GPU-1 · 原因 功耗上限"),
        ("link", {"hw.name": "0", "link": "nvlink"}, "设备 0 · 链路 nvlink"),
        ("fault", {"server.address": "a", "server.port": "80", "x": "y"}, "引擎 a:80 · y"),
        ("nobody", {"hw.name": "0"}, ""),
    ],
)  # fmt: skip
def test_what_a_finding_is_about_is_named_in_words(name: str, labels: dict[str, str], about: str) -> None:
    found = Finding(
        at=1.0, since=1.0, severity=Severity.INFO, subject="s", summary="t", name=name, labels=tuple(labels.items())
    )

    assert LANGUAGES["zh"].about(found) == about


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("https://a.example/x", True), ("http://a.example", True), ("javascript:alert(1)", False),
        ("//a.example", False), ("data:text/html,x", False), ("runbooks/Slow.md", False),
        ("https://", False), ("http://[", False),
    ],
)  # fmt: skip
def test_only_web_addresses_become_links(address: str, allowed: bool) -> None:
    assert (safe_link(address) == address) is allowed


@pytest.mark.parametrize("lang", LANGUAGES)
def test_ten_thousand_series_make_a_page_of_bounded_size(traffic: Any, page: Page, html: Html, lang: str) -> None:
    name = '"&<' * 42
    for step in range(200):
        for number in range(25):
            traffic.call(
                outcome=("ok", "error")[number % 2],
                gen_ai__request__model=f"{name}{step * 25 + number}",
                service__name=f"{name}{number}s{step % 20}",
            )
            traffic.engine(address=f"{name}{number}e{step % 20}", up=bool(number % 2), fault=name)
        traffic.add(health.REJECTED, {"source": f"{name}{step}", "signal": "traces", "reason": name})
        traffic.set(health.SOURCE_UP, {"source": f"{name}{step}"}, 0.0)
        traffic.device(hw__id=f"{name}{step}", hw__name=f"{name}{step}", hw__model=name, k8s__pod__name=name)
        finding = Finding(at=step, since=step, severity=Severity.CRITICAL, subject=name * 2, summary=name * 3)
        page.write(traffic.batch(finding, seconds=5))

    text = html(lang)

    assert _rows(text, "models") == MAX_MODELS
    assert _rows(text, "services") == MAX_SERVICES
    assert _rows(text, "devices") == MAX_DEVICES
    assert LANGUAGES[lang].and_more.format(count=5001 - MAX_MODELS) in text

    assert len(text.encode()) < 4 * MAX_BYTES  # every name is 128 characters that escaping makes four times as long


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_page_full_of_ordinary_names_weighs_little(traffic: Any, page: Page, html: Html, lang: str) -> None:
    traffic.itself()
    for step in range(200):
        for number in range(25):
            model = f"organisation/model-{number}-instruct"
            traffic.call(
                gen_ai__request__model=model, service__name=f"service-{number}", first_token=0.1 + step % 7 / 5
            )
            traffic.engine(address=f"10.0.0.{number}", model=model)
        page.write(traffic.batch(seconds=5))

    assets = sum(len(files("exporters.page").joinpath(name).read_bytes()) for name in ("page.css", "page.js"))

    assert len(html(lang).encode()) + assets < MAX_BYTES


def test_a_chart_leaves_gaps_where_nothing_is_known() -> None:
    drawn = chart([Line([None, 1.0, 2.0, None, None, 4.0], "main")], 5, 4.0, "x")

    assert re.findall(r'class="main" d="([^"]+)"', drawn) == ["M1 75l1-25", "M4 0h1"]


def test_the_newest_value_of_a_chart_stands_on_its_right_edge() -> None:
    drawn = chart([Line([3.0, 1.0, 4.0], "main")], 4, 4.0, "x")

    assert 'viewBox="0 0 4 100"' in drawn
    assert re.findall(r'class="main" d="([^"]+)"', drawn) == ["M2 25l1 50l1-75"]


@pytest.mark.parametrize(
    ("minutes", "span"), [(1, "2 min ago"), (4, "5 min ago"), (8, "15 min ago"), (20, "15 min ago")]
)
def test_a_chart_spans_what_there_is(traffic: Any, page: Page, html: Html, minutes: int, span: str) -> None:
    for _ in range(12 * minutes):
        traffic.call()
        page.write(traffic.batch(seconds=5))

    assert f"<figcaption><span>{span}</span>" in html()


def test_a_chart_keeps_inside_its_frame() -> None:
    drawn = chart([Line([0.0, 50.0, 100.0], "main")], 2, 50.0, "x")

    assert re.findall(r'class="main" d="([^"]+)"', drawn) == ["M0 100l1-100h1"]


def test_the_highest_value_of_a_chart_is_one_of_its_lines() -> None:
    assert highest_of([Line([0.001, None], "main"), Line([0.2], "second")]) == 0.2
    assert highest_of([Line([None, 0.0], "main")]) == 0.0
    assert highest_of([Line([None], "main")]) is None


def test_a_number_above_its_chart_is_in_the_chart_and_in_its_maximum(traffic: Any, page: Page, html: Html) -> None:
    for _ in range(60):
        traffic.call(first_token=0.2)
        page.write(traffic.batch(seconds=5))
    for _ in range(40):
        traffic.call(first_token=6.0)
        traffic.engine()
    page.write(traffic.batch(seconds=5))

    text = html()
    for name in ("requests", "first-token"):
        panel = _panel(text, name)
        [peak] = re.findall(r"<span>max (.+?)</span>", panel)
        assert peak.replace("\u00a0", "") in re.sub(r"<.+?>", "", panel.partition("<figure>")[0]), name
        [(drawn, height)] = re.findall(r'class="main" d="(M\d+ \d+h\d+l1-(\d+))"', panel)
        assert drawn.startswith(f"M0 {height}"), name  # from there up to the edge


def test_small_errors_are_no_mountain_and_none_have_no_maximum_but_zero(traffic: Any, page: Page, html: Html) -> None:
    for _ in range(30):
        for _ in range(50):
            traffic.call()
        page.write(traffic.batch(seconds=5))
    quiet = _panel(html(), "errors")
    for _ in range(12):
        for _ in range(99):
            traffic.call()
        traffic.call("error")
        page.write(traffic.batch(seconds=5))
    small = _panel(html(), "errors")

    assert "<span>max 0%</span>" in quiet
    assert "highest 0%" in quiet
    assert "<span>max 1.0%</span>" in small
    [line] = re.findall(r'class="main" d="M\d+ 100(.+?)"', small)
    assert sum(int(rise) for rise in re.findall(r"l\d+-(\d+)", line)) == 20  # per cent of the frame's height


def test_every_swatch_of_a_legend_has_its_line(traffic: Any, page: Page, html: Html) -> None:
    for _ in range(3):
        traffic.call()
        traffic.engine()
        page.write(traffic.batch(seconds=5))
    text = html()

    for name in ("first-token", "per-token", "tokens", "in-flight"):
        panel = _panel(text, name)
        assert set(re.findall(r'<i class="(\w+)"', panel)) == set(re.findall(r'<path class="(main|second)"', panel)), (
            name
        )


@pytest.mark.parametrize(
    ("lang", "state", "read", "refused"),
    [
        ("en", "down (unreachable)", "Failed reads: unreachable 40", "Requests refused: wrong path 1"),
        ("zh", "不可用（无法连接）", "读取失败：无法连接 40", "拒绝请求：路径错误 1"),
    ],
)
def test_reasons_are_said_in_words(
    traffic: Any, page: Page, html: Html, lang: str, state: str, read: str, refused: str
) -> None:
    traffic.itself()
    traffic.engine(up=False, fault="unreachable")
    traffic.add(health.REJECTED, {"source": "engines", "signal": "pages", "reason": "unreachable"}, 40)
    traffic.add(health.REFUSED_REQUESTS, {"source": "otlp", "reason": "bad_path"})
    page.write(traffic.batch())
    text = html(lang)

    for said in (state, f'<p class="reasons">{read}</p>', f'<p class="reasons">{refused}</p>'):
        assert said in text


def test_the_error_share_says_what_it_is_of_and_what_it_leaves_out(traffic: Any, page: Page, html: Html) -> None:
    for outcome, calls in (("ok", 94), ("timeout", 1), ("error", 2), ("cancelled", 1), ("client_error", 2)):
        for _ in range(calls):
            traffic.call(outcome=outcome)
    page.write(traffic.batch())
    said = " ".join(re.sub(r"<.+?>", " ", _panel(html(), "errors").partition("<figure>")[0]).split())

    assert said.endswith(
        "3.0 % of all calls; caller's errors and cancelled left out 15 min: error 2 timeout 1 "
        "left out: caller's error 2 cancelled 1"
    )


@pytest.mark.parametrize("lang", LANGUAGES)
def test_calls_that_only_their_callers_spoilt_are_no_errors(traffic: Any, page: Page, html: Html, lang: str) -> None:
    words = LANGUAGES[lang]
    traffic.call(outcome="cancelled")
    page.write(traffic.batch())
    panel = _panel(html(lang), "errors")

    assert words.no_failures in panel
    assert f"{words.left_out} <span>{words.outcomes[Outcome.CANCELLED]} <b>1</b></span>" in panel
    assert 'class="warn"' not in panel


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_engine_that_names_no_model_leaves_a_sentence_in_the_list_of_models(
    traffic: Any, page: Page, html: Html, lang: str
) -> None:
    traffic.engine(up=False, model="", fault="unreachable")
    page.write(traffic.batch())
    models = html(lang).partition('<section id="models"')[2].partition("</section>")[0]

    assert LANGUAGES[lang].no_models in models
    assert "<table" not in models


@pytest.mark.parametrize("lang", LANGUAGES)
def test_what_to_set_is_said_where_no_engine_is_watched(traffic: Any, page: Page, html: Html, lang: str) -> None:
    setting = "<code>engines: [{url: http://127.0.0.1:8000}]</code>"
    traffic.itself()
    page.write(traffic.batch())
    empty = html(lang)
    traffic.call()
    page.write(traffic.batch(seconds=2))
    engines = html(lang).partition('<section id="engines"')[2].partition("</section>")[0]

    assert setting in empty
    assert setting in engines
    assert "doctor" not in engines


def test_text_has_the_contrast_that_accessibility_asks_for() -> None:
    style = files("exporters.page").joinpath("page.css").read_text()
    light, dark = (
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", part)) for part in re.findall(r":root \{(.*?)\}", style, re.S)
    )
    pairs = [
        (text, ground) for text in ("text", "quiet", "line", "good", "warn", "bad") for ground in ("card", "ground")
    ]
    pairs += [(f"{state}-text", f"{state}-ground") for state in ("well", "attention", "bad", "unknown")]

    for scheme in (light, light | dark):
        for text, ground in pairs:
            assert _contrast(scheme[text], scheme[ground]) >= 4.5, (text, ground)


def _contrast(one: str, two: str) -> float:
    """WCAG 2 contrast ratio of two colours written #rrggbb."""
    high, low = sorted((_luminance(one), _luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _panel(text: str, name: str) -> str:
    return text.partition(f'<article id="{name}"')[2].partition("</article>")[0]


def _rows(text: str, section: str) -> int:
    return text.partition(f'id="{section}"')[2].partition("</section>")[0].count('<th scope="row">')
