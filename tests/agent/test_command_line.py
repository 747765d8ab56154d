import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from watchkeeper import __version__
from watchkeeper.agent.command_line import main
from watchkeeper.core.vocabulary import METRICS


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_metrics_prints_the_whole_vocabulary(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--format", "json"]) == 0

    printed = json.loads(capsys.readouterr().out)
    assert [entry["prometheus_name"] for entry in printed] == [metric.prometheus_name for metric in METRICS]


def test_metrics_as_text_names_every_family(capsys: pytest.CaptureFixture[str]) -> None:
    main(["metrics"])

    out = capsys.readouterr().out
    assert all(metric.prometheus_name in out for metric in METRICS)


def test_the_schema_is_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config-schema"]) == 0

    assert json.loads(capsys.readouterr().out)["$schema"].endswith("2020-12/schema")


def test_a_good_file_is_ok_and_a_bad_one_lists_every_mistake_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("log_level: debug\n")
    good = main(["check-config", str(file)])
    file.write_text("log_lvl: debug\nwebb: {}\n")
    bad = main(["check-config", str(file)])

    err = capsys.readouterr().err.splitlines()
    assert (good, bad) == (0, 2)
    assert err == [
        "watchkeeper: log_lvl: unknown setting; did you mean 'log_level'?",
        "watchkeeper: webb: unknown setting; did you mean 'web'?",
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            "limits: {max_series: 30000}",
            "limits.max_series: 30000 series may be held, and exporters.prometheus.max_series takes 20000 of them; "
            "raise that, or lower this",
        ),
        (
            "state_folder: FILE/state",
            "state_folder: 'FILE/state' cannot be made: 'FILE' is not a folder; give another; without it, what must "
            "survive a restart is lost. Do so where watchkeeper is to run",
        ),
        (
            "state_folder: ~/state",
            "state_folder: '~/state': nobody's home is put in place of '~', which is a folder here; write it out",
        ),
    ],
    ids=["series", "folder", "home"],
)
def test_what_run_would_go_on_with_is_a_note_and_no_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str, told: str
) -> None:
    config = tmp_path / "watchkeeper.yaml"
    config.write_text(given.replace("FILE", str(config)))

    assert main(["check-config", str(config)]) == 0
    told = told.replace("FILE", str(config))
    assert capsys.readouterr() == (f"{config}: ok\n", f"watchkeeper: note: {told}\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["version", "metrics", "config-schema"])
def test_output_that_cannot_be_written_is_one_line_and_exit_1(command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run([sys.executable, "-m", "watchkeeper", command], stdout=full, stderr=subprocess.PIPE)

    words = b"watchkeeper: the output cannot be written: No space left on device; make room or send it elsewhere\n"
    assert (ended.returncode, ended.stderr) == (1, words)


def test_without_standard_output_nothing_is_said_and_nothing_fails() -> None:
    command = [sys.executable, "-m", "watchkeeper", "version"]
    ended = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE)

    assert (ended.returncode, ended.stderr) == (0, b"")


def test_hosts_that_no_resolver_takes_are_refused_wherever_they_stand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "watchkeeper.yaml"
    targets = "".join(f"{section}: [{{url: 'http://a..b:1'}}]\n" for section in ("engines", "vendor_exporter"))
    listeners = (
        "otlp: {host: a..b}\nweb: {host: a..b}\nchecks: {classifier: {enabled: true, url: 'http://a..b:1/v1'}}\n"
    )
    exporters = (
        "{otlp: {enabled: true, endpoint: 'http://a..b:4'}, kafka: {enabled: true, connection: {servers: ['a..b:9']}}}"
    )
    said = []
    for text in (targets, f"{listeners}exporters: {exporters}\n"):
        config.write_text(text)
        assert main(["check-config", str(config)]) == 2
        said += [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()]

    assert sorted(said) == [
        "checks.classifier.url", "engines[0].url", "exporters.kafka.connection.servers", "exporters.otlp.endpoint",
        "otlp.host", "vendor_exporter[0].url", "web.host",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["chek-config", "a.yaml"], "no command 'chek-config'; did you mean 'check-config'? (see watchkeeper --help)"),
        (["frobnicate"], "no command 'frobnicate' (see watchkeeper --help)"),
        (["reference", "aprove"], "no command 'aprove'; did you mean 'approve'? (see watchkeeper reference --help)"),
        (
            ["metrics", "--format", "markdwon"],
            "argument --format: expected one of text, json, markdown, got 'markdwon'; did you mean 'markdown'? "
            "(see watchkeeper metrics --help)",
        ),
        (["run", "--cofnig", "a"], "no option '--cofnig'; did you mean '--config'? (see watchkeeper run --help)"),
        (["run", "--rloe=node"], "no option '--rloe'; did you mean '--role'? (see watchkeeper run --help)"),
        (["--versoin", "version"], "no option '--versoin'; did you mean '--version'? (see watchkeeper --help)"),
        (["version", "now"], "'now' is one argument too many (see watchkeeper version --help)"),
        (["check-config"], "the following arguments are required: FILE (see watchkeeper check-config --help)"),
        ([], "the following arguments are required: COMMAND (see watchkeeper --help)"),
        (
            ["ping", "--seconds", "soon"],
            "argument --seconds: expected a number, got 'soon' (see watchkeeper ping --help)",
        ),
        (
            ["ping", "--seconds", "nan"],
            "argument --seconds: expected a number >= 0, got 'nan' (see watchkeeper ping --help)",
        ),
        (
            ["run", "--retry-seconds", "-5"],
            "argument --retry-seconds: expected a number > 0, got '-5' (see watchkeeper run --help)",
        ),
        (
            ["findings", "list", "--limit", "1.5"],
            "argument --limit: expected a number, got '1.5' (see watchkeeper findings list --help)",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_line_that_is_none_is_one_line_with_the_nearest_that_is(
    given: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(given)

    assert (ended.value.code, capsys.readouterr().err) == (2, f"watchkeeper: {told}\n")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Who is started in the background by a shell ignores Ctrl-C, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_who_interrupts_a_command_is_told_nothing_more() -> None:
    """By Ctrl-C at a terminal; a shell tells such an end by 130."""
    with socket.create_server(("127.0.0.1", 0)) as asked:
        command = [sys.executable, "-m", "watchkeeper", "ping", f"--metrics=http://127.0.0.1:{asked.getsockname()[1]}"]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as running:
            asked.accept()[0].close()
            running.send_signal(signal.SIGINT)
            said = running.communicate(timeout=30)[1]

    assert (running.returncode, said) == (130, b"")
