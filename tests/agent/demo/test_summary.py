from watchkeeper.agent.demo.promised import Page
from watchkeeper.agent.demo.summary import PROGRESS_HEAD, progress, table

PAGE = """\
# TYPE watchkeeper_requests_total counter
watchkeeper_requests_total{gen_ai_request_model="m",outcome="ok"} 7
watchkeeper_requests_total{gen_ai_request_model="m",outcome="client_error"} 2
watchkeeper_requests_total{gen_ai_request_model="m",outcome="timeout"} 1
watchkeeper_requests_total{gen_ai_request_model="m",outcome="rejected"} 0
# TYPE watchkeeper_tokens_total counter
watchkeeper_tokens_total{gen_ai_request_model="m",gen_ai_token_type="input"} 300
watchkeeper_tokens_total{gen_ai_request_model="m",gen_ai_token_type="output"} 120
# TYPE watchkeeper_engine_up gauge
watchkeeper_engine_up{server_port="8080"} 1
# TYPE watchkeeper_engine_tokens_total counter
watchkeeper_engine_tokens_total{server_port="8080",gen_ai_token_type="input"} 200
watchkeeper_engine_tokens_total{server_port="8080",gen_ai_token_type="output"} 130
# TYPE watchkeeper_engine_tokens_cached_total counter
watchkeeper_engine_tokens_cached_total{server_port="8080"} 150
# TYPE watchkeeper_pipeline_accepted_total counter
watchkeeper_pipeline_accepted_total{source="otlp"} 20
# TYPE watchkeeper_pipeline_exported_total counter
watchkeeper_pipeline_exported_total{source="otlp"} 20
"""


def test_a_line_of_progress_names_what_was_not_ok_under_its_heading():
    line = progress(Page(PAGE), 20.0)

    assert line[PROGRESS_HEAD.index("not ok") :] == "2 client_error, 1 timeout"
    assert line.split()[:2] == ["0:20", "10"]
    assert len(line) <= 80


def test_a_line_of_progress_ends_where_all_went_well():
    well = "\n".join(line for line in PAGE.splitlines() if "client_error" not in line and "timeout" not in line)

    assert progress(Page(f"{well}\n"), 20.0).endswith(" 0")


def test_the_table_counts_tokens_over_the_time_of_the_calls():
    assert "tokens             300 in, 120 out (6.0 out a second)" in table(Page(PAGE), 20.0)


def test_the_table_says_why_an_engine_works_more_tokens_than_the_calls_have():
    shown = table(Page(PAGE), 20.0)
    alike = table(Page(PAGE.replace("} 150", "} 100")), 20.0)

    assert "tokens worked      350 in (150 of them from its cache), 130 out" in shown
    assert "callers that hang up" in shown
    assert "callers that hang up" not in alike


def test_the_table_calls_the_terms_of_the_ledger_by_their_metrics_names():
    assert "20 accepted = 20 exported + 0 ignored + 0 dropped + 0 held" in table(Page(PAGE), 20.0)


def test_a_latency_above_the_highest_bound_is_known_to_be_that_at_least():
    labels = 'gen_ai_request_model="m",watchkeeper_vantage="client"'
    bounds = "\n".join(
        f'gen_ai_server_time_to_first_token_seconds_bucket{{{labels},le="{le}"}} {count}'
        for le, count in (("5.0", 5), ("10.0", 6), ("+Inf", 9))
    )
    page = f"# TYPE gen_ai_server_time_to_first_token_seconds histogram\n{bounds}\n{PAGE}"
    [line] = [line for line in table(Page(page), 20.0).splitlines() if line.startswith("  first token")]

    assert line.split()[2:-1] == ["4.50", "s", "≥", "10.00", "s"]
