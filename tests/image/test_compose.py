"""deploy/compose.yaml and what it mounts, as Docker Compose, Prometheus, Alertmanager and watchkeeper read it."""

import json
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from watchkeeper.agent.command_line import main
from watchkeeper.core.testkit import require
from watchkeeper.core.tokens import read

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "compose.yaml"
FOLDER = ROOT / "deploy" / "compose"
OURS = ("watchkeeper", "detector")


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """As Docker Compose reads them: references followed, defaults put in, paths made absolute."""
    return dict(read_by_compose(FILE)["services"])


def read_by_compose(path: Path) -> dict[str, Any]:
    compose = Path(sys.executable).with_name("docker-compose")
    done = subprocess.run(
        [compose, "--file", path, "config", "--format", "json"], capture_output=True, text=True, env={}
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Source by destination."""
    return {one["target"]: one["source"] for one in service.get("volumes", [])}


def ours(service: str) -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / f"{service}.yaml").read_text()))


def test_what_the_specification_does_not_have_is_refused(tmp_path):
    """So that the fixture above says something."""
    (tmp_path / "compose.yaml").write_text("services: {a: {image: b, read-only: true}}")

    with pytest.raises(AssertionError, match="read-only"):
        read_by_compose(tmp_path / "compose.yaml")


def test_no_service_may_do_more_than_it_needs(services):
    assert {name for name, one in services.items() if one.get("cap_drop") != ["ALL"]} == set()
    assert {name for name, one in services.items() if one.get("security_opt") != ["no-new-privileges:true"]} == set()
    assert {name for name, one in services.items() if not one.get("read_only")} == {"kafka"}
    assert {name for name, one in services.items() if one.get("privileged") or one.get("network_mode")} == set()


def test_ports_are_of_this_host_alone(services):
    published = [port for one in services.values() for port in one.get("ports", [])]

    assert len(published) == 7
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}


def test_images_are_pinned_and_ours_is_of_this_version(services):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert {one["image"] for one in services.values() if not re.search(r":v?\d+\.\d+", one["image"])} == set()
    assert {services[name]["image"] for name in OURS} == {f"watchkeeper:{version}"}


def test_whoever_stays_is_asked_for_its_health(services):
    unasked = {name for name, one in services.items() if "healthcheck" not in one}

    assert unasked == {*OURS, "topics"}, "our image has a health check of its own, and topics ends"
    assert services["topics"]["restart"] == "no"
    assert {one["restart"] for name, one in services.items() if name != "topics"} == {"unless-stopped"}


def test_everything_that_is_mounted_is_there_and_cannot_be_written(services):
    bound = [one for each in services.values() for one in each.get("volumes", []) if one["type"] == "bind"]

    assert len(bound) == 9
    assert [one["source"] for one in bound if not Path(one["source"]).exists()] == []
    assert [one["source"] for one in bound if not one.get("read_only")] == []


@pytest.mark.parametrize("service", OURS)
def test_watchkeeper_takes_its_configuration_where_the_image_looks_for_it(service, services):
    assert mounts(services[service])["/etc/watchkeeper/watchkeeper.yaml"] == str(FOLDER / f"{service}.yaml")
    assert main(["check-config", str(FOLDER / f"{service}.yaml")]) == 0


def test_every_address_in_a_configuration_is_a_service_and_a_port_on_which_it_listens(services):
    heard = {
        *("watchkeeper:9464", "detector:9464"),
        *("prometheus:9090", "alertmanager:9093", "kafka:9092", "grafana:3000"),
    }
    files = [*FOLDER.glob("*.y*ml")]
    addresses = {one for path in files for one in re.findall(r"\b([a-z]+:\d{4})\b", told(path))}
    advertised = services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]

    assert addresses == heard - {"grafana:3000"} | {"localhost:9090"}
    assert {address.partition(":")[0] for address in heard} < services.keys()
    assert advertised == "PLAINTEXT://kafka:9092"
    assert services["topics"]["command"] == ["kafka:9092"]
    assert ours("detector")["exporters"]["store"]["url"].partition("@")[2] == "postgres/watchkeeper"


def told(path: Path) -> str:
    return re.sub(r"#.*", "", path.read_text())


def test_what_watchkeeper_may_reach_is_published(services):
    """It listens on all of the container's addresses on just the ports that are published."""
    listening = {"watchkeeper": {4317, 4318, 9464}, "detector": {9465}}

    assert {name: {port["target"] for port in services[name]["ports"]} for name in OURS} == listening
    assert ours("watchkeeper")["web"] == ours("watchkeeper")["otlp"] == {"host": "0.0.0.0"}
    assert ours("detector")["control"]["host"] == "0.0.0.0"


def test_secrets_are_made_once_and_only_their_owner_gets_at_them(tmp_path):
    def made() -> dict[str, str]:
        subprocess.run(["sh", tmp_path / "secrets"], check=True, stdout=subprocess.DEVNULL)
        return {path.name: path.read_text() for path in (tmp_path / "secrets.d").iterdir()}

    shutil.copy(FOLDER / "secrets", tmp_path)
    first = made()

    assert made() == first
    assert {Path(one["file"]).name for one in read_by_compose(FILE)["secrets"].values()} == first.keys()
    assert stat.S_IMODE((tmp_path / "secrets.d").stat().st_mode) == 0o700
    assert len(set(first.values())) == 3
    assert list(read(str(tmp_path / "secrets.d" / "control-tokens"), "control.token_file", named=True)) == ["operator"]


def test_secrets_are_read_where_they_are_put(services):
    given = {f"{name}: /run/secrets/{one['source']}" for name in services for one in services[name].get("secrets", [])}
    taken = {
        f"detector: {ours('detector')['exporters']['store']['password_file']}",
        f"detector: {ours('detector')['control']['token_file']}",
        f"postgres: {services['postgres']['environment']['POSTGRES_PASSWORD_FILE']}",
        f"grafana: {services['grafana']['environment']['GF_SECURITY_ADMIN_PASSWORD__FILE']}",
    }

    assert given == taken


def test_the_topics_are_those_of_the_fleet_and_the_partitions_fit():
    made = dict(re.findall(r"^make (\S+) --partitions (\d+)", (FOLDER / "topics").read_text(), re.MULTILINE))
    documented = re.findall(r"--topic (\S+)", (ROOT / "docs" / "fleet.md").read_text())

    assert sorted(made) == sorted(documented)
    assert int(made["watchkeeper.state"]) >= int(made["watchkeeper.ticks"])


def laid_out(service: dict[str, Any], folder: Path, place: str) -> Path:
    """What is mounted below `place`, in a folder."""
    for destination, source in mounts(service).items():
        if destination.startswith(place):
            link = folder / destination.removeprefix("/")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source)
    return folder / place.removeprefix("/")


def test_prometheus_takes_its_configuration_and_the_rules(services, tmp_path):
    prometheus = services["prometheus"]
    folder = laid_out(prometheus, tmp_path, "/etc/prometheus")
    checked = [require("promtool", "prometheus"), "check", "config", folder / "prometheus.yml"]
    done = subprocess.run(checked, capture_output=True, text=True)
    rules = len(list((ROOT / "dashboards" / "generated" / "rules").glob("*.yaml")))

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("rules found") == rules
    assert "--config.file=/etc/prometheus/prometheus.yml" in prometheus["command"]


def test_alertmanager_takes_the_generated_routing(services, tmp_path):
    folder = laid_out(services["alertmanager"], tmp_path, "/etc/alertmanager")
    checked = [require("amtool", "prometheus-alertmanager"), "check-config", folder / "alertmanager.yml"]
    done = subprocess.run(checked, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "--config.file=/etc/alertmanager/alertmanager.yml" in services["alertmanager"]["command"]


def test_grafana_finds_the_dashboards_where_the_provisioning_says_in_either_language(services):
    mounted = mounts(services["grafana"])
    for language in ("en", "zh"):
        folder = ROOT / "dashboards" / "generated" / "grafana" / language
        [provider] = yaml.safe_load((folder / "provisioning.yaml").read_text())["providers"]

        assert mounted[provider["options"]["path"]].replace("/en", f"/{language}") == str(folder)
    assert mounted["/etc/grafana/provisioning/dashboards/watchkeeper.yaml"].endswith("/en/provisioning.yaml")


def test_the_script_that_makes_topics_is_what_its_shell_understands():
    """The other one is run above."""
    assert subprocess.run(["bash", "-n", FOLDER / "topics"], capture_output=True).returncode == 0
