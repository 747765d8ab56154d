"""Each mistake that is easily made is one line: where, what, and what was meant."""

from pathlib import Path

import pytest

from watchkeeper.agent.command_line import main

TOLD = {
    "limits: {max_serie: 100}": "limits.max_serie: unknown setting; did you mean 'max_series'?",
    "limits: {max_series: 10}": "limits.max_series: expected a whole number >= 100, got 10",
    "limits: {max_series: 5k}": "limits.max_series: expected a whole number, got '5k' (write the plain number)",
    "limits: {max_series: 5000.5}": "limits.max_series: expected a whole number, got 5000.5",
    "limits: {max_series: yes}": "limits.max_series: expected a whole number, got true",
    "limits: {max_series: '500'}": "limits.max_series: expected a whole number, got text: remove the quotes from '500'",
    "limits: 5000": "limits: expected settings (key: value), got a number",
    "web: {port: 94640}": "web.port: expected a whole number <= 65535, got 94640",
    "web: {host: '0.0.0.0:80'}": "web.host: '0.0.0.0:80' is not an address or a name; the port is a key of its own",
    "web.port: 9464": "web.port: unknown setting; a dot is no section: write web: {port: ...}",
    "port: 9464": "port: unknown setting; did you mean 'web.port' or 'control.port'?",
    "Web: {port: 9464}": "Web: unknown setting; did you mean 'web'?",
    "log_level: INFO": "log_level: expected one of debug, info, warning, error, got 'INFO'; did you mean 'info'?",
    "log_level: |\n  war\n  n\n": "log_level: expected one of debug, info, warning, error, got 'war n '; did you mean "
    "'warning'?",
    "tick_seconds: -1": "tick_seconds: expected a number > 0.0, got -1",
    "drift: {false_alarm_days: 30d}": "drift.false_alarm_days: expected a number of days, got '30d' (write the plain "
    "number, the unit is in the name)",
    "checks: {language: {enabled: maybe}}": "checks.language.enabled: expected true or false, got text ('maybe')",
    "state_folder: [a]": "state_folder: expected text, got a list",
    "engines: [{url: 'localhost:8000'}]": "engines[0].url: must be like http://host:8000, got 'localhost:8000'",
    "engines: [{url: 'geheim@localhost:8000'}]": "engines[0].url: must be like http://host:8000",
    "tap: [{port: 1, upstream: an.example}]": "tap[0].upstream: must be like http://127.0.0.1:8000, without user, "
    "query or fragment, got 'an.example'",
    "exporters: {kafka: {servers: ['a:9092']}}": "exporters.kafka.servers: unknown setting; did you mean "
    "'connection.servers'?",
    "otlp: {grpc_port: 4318}": "otlp: grpc_port and http_port must differ",
    f"role: {'x' * 200}": f"role: expected one of run, node, sidecar, gateway, detector, got '{'x' * 80}...'",
}


@pytest.mark.parametrize(("text", "told"), TOLD.items(), ids=lambda text: text.partition("\n")[0][:50])
def test_a_mistake_is_one_line_with_its_path_what_was_given_and_what_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    file = tmp_path / "watchkeeper.yaml"
    file.write_text(text)

    assert main(["check-config", str(file)]) == 2
    assert capsys.readouterr().err == f"watchkeeper: {told}\n"
