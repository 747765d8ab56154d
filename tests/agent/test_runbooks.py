"""Runbooks on the agent's own port: each page that there is, readable, with links that lead on."""

import re

import pytest

from dashboards.findings import OF_SIGNALS
from watchkeeper.agent.runbooks import PATH, page, routes
from watchkeeper.core.interfaces import Request

PAGES = routes()


def shown(path):
    answer = PAGES[path](Request(path, {}, {}))
    return answer, answer.body.decode()


def test_every_runbook_that_a_finding_names_is_served_in_both_languages():
    for alert in OF_SIGNALS.values():
        assert {f"{PATH}{alert}.md", f"{PATH}{alert}.zh-CN.md"} <= PAGES.keys()


@pytest.mark.parametrize("path", sorted(PAGES))
def test_a_runbook_is_read_without_its_markup_and_its_links_lead_on(path):
    answer, text = shown(path)
    words = re.sub(r"<pre>.*?</pre>|<code>.*?</code>", "", text, flags=re.DOTALL)

    assert answer.headers["Content-Language"] == ("zh-CN" if "zh-CN" in path else "en")
    assert not re.search(r"\*\*|```|\]\(|^# ", words, re.MULTILINE)
    assert {f"{PATH}{link}" for link in re.findall(r'<a href="([^"]+)"', text)} <= PAGES.keys()
    assert "<pre><code># " in text


def test_what_stands_in_a_condition_is_no_markup():
    text = page('# A\n\nx\n\n```promql\n# critical\na < 1 and b{c="<i>"} > `2`\n```\n', "en")

    assert 'a &lt; 1 and b{c="&lt;i&gt;"} &gt; `2`</code></pre>' in text


def test_a_runbook_brings_no_script():
    answer, text = shown(f"{PATH}WatchkeeperWatchdog.md")

    assert "<script" not in text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
