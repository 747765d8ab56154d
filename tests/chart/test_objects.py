"""What the chart makes when, and what survives: monitors, rules, dashboards, scaling, claims."""

import base64
import gzip
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from watchkeeper.core.vocabulary import METRICS

CHART: Final = Path(__file__).resolve().parents[2] / "deploy/helm/watchkeeper"
GENERATED: Final = CHART.parents[2] / "dashboards/generated"
COMPONENT: Final = "app.kubernetes.io/component"
FLEET: Final = "detector.enabled=true,kafka.servers={kafka:9092},references.existingConfigMap=approved"
RULES: Final = "metrics.prometheusRule.enabled=true"

Manifest = dict[str, Any]


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def one(manifests: Sequence[Manifest], kind: str, component: str) -> Manifest:
    [found] = [each for each in of_kind(manifests, kind) if each["metadata"]["labels"].get(COMPONENT) == component]
    return found


def alerts(manifests: Sequence[Manifest]) -> list[Manifest]:
    groups = [group for each in of_kind(manifests, "PrometheusRule") for group in each["spec"]["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_what_upgrade_and_rollback_must_find_unchanged_is_the_same_for_every_version(
    render: Any, tmp_path: Path
) -> None:
    """Names, selectors, claims: Kubernetes refuses a change of them, or makes another object with nothing in it."""
    shutil.copytree(CHART, tmp_path / "chart", ignore=shutil.ignore_patterns("grafana", "tests.yaml"))
    about = tmp_path / "chart/Chart.yaml"
    about.write_text(
        about.read_text(encoding="utf-8").replace("0.1.0", "7.8.9"), encoding="utf-8"
    )  # both the chart's and the program's
    before, after = (render(presets=("production",), **chart) for chart in ({}, {"chart": tmp_path / "chart"}))
    before, after = ([each for each in all_of if "grafana_dashboard" not in labels(each)] for all_of in (before, after))

    assert [fixed(each) for each in before] == [fixed(each) for each in after]
    assert before != after


def labels(manifest: Manifest) -> dict[str, str]:
    return dict(manifest["metadata"]["labels"])


def fixed(manifest: Manifest) -> tuple[Any, ...]:
    spec = manifest.get("spec", {})
    held = ("selector", "serviceName", "volumeClaimTemplates", "podManagementPolicy", "clusterIP", "accessModes")
    return manifest["kind"], manifest["metadata"]["name"], {key: spec.get(key) for key in held}


def test_state_survives_an_uninstallation_unless_told_otherwise(render: Any) -> None:
    manifests = render(presets=("production",))
    told = render("gateway.persistence.whenDeleted=Delete", presets=("production",))

    for component in ("gateway", "detector"):
        policy = one(manifests, "StatefulSet", component)["spec"]["persistentVolumeClaimRetentionPolicy"]
        assert policy == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert one(manifests, "PersistentVolumeClaim", "report")["metadata"]["annotations"] == {
        "helm.sh/resource-policy": "keep"
    }
    policy = one(told, "StatefulSet", "gateway")["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert policy["whenDeleted"] == "Delete"


def test_a_change_of_the_configuration_restarts_the_pods_that_read_it_and_no_others(render: Any) -> None:
    def checksum(manifests: Sequence[Manifest], kind: str, component: str) -> str:
        metadata = one(manifests, kind, component)["spec"]["template"]["metadata"]
        return str(metadata["annotations"]["checksum/config"])

    before, after = render(), render("gateway.config.limits.max_series=9000")

    assert checksum(before, "StatefulSet", "gateway") != checksum(after, "StatefulSet", "gateway")
    assert checksum(before, "DaemonSet", "node") == checksum(after, "DaemonSet", "node")


def test_a_component_s_own_settings_win_over_all_s_and_those_over_the_chart_s(render: Any) -> None:
    manifests = render(
        given={
            "config": {"web": {"port": 9000}, "limits": {"max_series": 7000}, "log_level": "debug"},
            "gateway": {"config": {"limits": {"max_series": 123456789}}},
        }
    )
    config = yaml.safe_load(one(manifests, "ConfigMap", "gateway")["data"]["watchkeeper.yaml"])

    assert config["web"] == {"host": "0.0.0.0", "port": 9000}
    assert config["limits"] == {"max_series": 123456789}
    assert config["log_level"] == "debug"
    ports = one(manifests, "StatefulSet", "gateway")["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert {"name": "metrics", "containerPort": 9000, "protocol": "TCP"} in ports


@pytest.mark.parametrize(
    ("sets", "made"),
    [
        ("gateway.replicas=1", False),
        ("gateway.replicas=2", True),
        ("gateway.autoscaling.enabled=true", True),
        ("gateway.autoscaling.enabled=true,gateway.autoscaling.minReplicas=1", False),
        ("gateway.replicas=2,gateway.pdb.enabled=false", False),
    ],
)
def test_a_disruption_budget_is_made_only_where_there_is_more_than_one_pod(sets: str, made: bool, render: Any) -> None:
    assert bool(of_kind(render(sets), "PodDisruptionBudget")) is made


def test_who_scales_says_how_many_pods_there_are(render: Any) -> None:
    by_cpu = render(f"{FLEET},detector.autoscaling.enabled=true")
    by_lag = render(f"{FLEET},detector.keda.enabled=true")
    by_other = render(f"{FLEET},detector.autoscaling.external=true")

    assert one(render(FLEET), "StatefulSet", "detector")["spec"]["replicas"] == 2
    for manifests in (by_cpu, by_lag, by_other):
        assert "replicas" not in one(manifests, "StatefulSet", "detector")["spec"]
    target = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "wk-watchkeeper-detector"}
    assert one(by_cpu, "HorizontalPodAutoscaler", "detector")["spec"]["scaleTargetRef"] == target
    scaled = one(by_lag, "ScaledObject", "detector")["spec"]
    assert scaled["scaleTargetRef"] == target
    [trigger] = scaled["triggers"]
    assert trigger["metadata"] == {
        "bootstrapServers": "kafka:9092",
        "consumerGroup": "watchkeeper",
        "topic": "watchkeeper.ticks",
        "lagThreshold": "5000",
        "activationLagThreshold": "500",
        "offsetResetPolicy": "earliest",
        "allowIdleConsumers": "false",
        "excludePersistentLag": "true",
    }


def test_engines_are_read_by_one_pod_however_many_gateways_and_nodes_there_are(render: Any) -> None:
    """And by a StatefulSet's, of which Kubernetes runs no second one beside the first."""
    read = "engines.enabled=true,engines.config.engines[0].url=http://vllm-0.vllm.models.svc:8000"
    manifests = render(f"{FLEET},{read},gateway.replicas=5")
    told = {
        each["metadata"]["labels"][COMPONENT]: "vllm-0" in each["data"]["watchkeeper.yaml"]
        for each in of_kind(manifests, "ConfigMap")
    }

    assert told == {"node": False, "gateway": False, "detector": False, "engines": True}
    assert one(manifests, "StatefulSet", "engines")["spec"]["replicas"] == 1


def test_keda_asks_for_the_group_and_topic_that_the_detector_reads(render: Any) -> None:
    sets = "detector.keda.enabled=true,detector.config.kafka.group=eu,detector.config.kafka.ticks_topic=eu.ticks"
    [trigger] = one(render(f"{FLEET},{sets}"), "ScaledObject", "detector")["spec"]["triggers"]

    assert (trigger["metadata"]["consumerGroup"], trigger["metadata"]["topic"]) == ("eu", "eu.ticks")


def test_pods_are_spread_over_nodes_and_over_zones_where_that_is_said(render: Any) -> None:
    zone = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
    selector = {f"app.kubernetes.io/{key}": value for key, value in (
        ("name", "watchkeeper"), ("instance", "wk"), ("component", "gateway"),
    )}  # fmt: skip
    spread = [
        one(render(given=given), "StatefulSet", "gateway")["spec"]["template"]["spec"]["topologySpreadConstraints"]
        for given in ({}, {"gateway": {"topologySpreadConstraints": [zone]}})
    ]

    assert [[one["topologyKey"] for one in each] for each in spread] == [
        ["kubernetes.io/hostname"],
        [zone["topologyKey"]],
    ]
    assert all(one["labelSelector"] == {"matchLabels": selector} for each in spread for one in each)


def test_monitors_and_rules_wait_for_a_cluster_that_knows_them(render: Any) -> None:
    asked = f"metrics.podMonitor.enabled=true,{RULES}"
    kinds = ("PodMonitor", "ServiceMonitor", "PrometheusRule")

    assert of_kind(render(asked, apis=()), *kinds) == []
    assert of_kind(render(f"{asked},metrics.podMonitor.force=true", apis=()), "PodMonitor")
    assert {each["kind"] for each in of_kind(render(asked), *kinds)} == {"PodMonitor", "PrometheusRule"}
    by_service = render(f"metrics.serviceMonitor.enabled=true,{RULES}")
    assert {each["kind"] for each in of_kind(by_service, *kinds)} == {"ServiceMonitor", "PrometheusRule"}


def test_a_service_monitor_finds_one_service_of_each_component(render: Any) -> None:
    manifests = render("metrics.serviceMonitor.enabled=true")
    for monitor in of_kind(manifests, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        found = [each for each in of_kind(manifests, "Service") if wanted.items() <= labels(each).items()]

        assert len(found) == 1, monitor["metadata"]["name"]
        assert "metrics" in [port["name"] for port in found[0]["spec"]["ports"]]


def test_what_is_scraped_has_the_job_and_node_that_the_rules_ask_for(render: Any) -> None:
    shipped = "".join(path.read_text(encoding="utf-8") for path in (GENERATED / "rules").glob("*.yaml"))
    for monitor in of_kind(render("metrics.podMonitor.enabled=true"), "PodMonitor"):
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        set_to = {rule["targetLabel"]: rule for rule in endpoint["relabelings"]}

        assert f'job="{set_to["job"]["replacement"]}"' in shipped
        assert set_to["node"]["sourceLabels"] == ["__meta_kubernetes_pod_node_name"]
    assert "by (node" in shipped


def test_no_series_has_a_label_that_the_operator_sets() -> None:
    """It would be renamed to exported_… by Prometheus, and no rule would find it."""
    ours = {label for metric in METRICS for label in metric.prometheus_labels}

    assert not ours & {"job", "instance", "namespace", "pod", "container", "endpoint", "service", "node", "prometheus"}


def test_tls_and_token_of_a_port_are_those_of_its_monitor(render: Any) -> None:
    sets = "metrics.podMonitor.enabled=true,metrics.podMonitor.tlsConfig.serverName=wk.internal"
    manifests = render(f"{sets},tls.existingSecret=certificate,auth.web.existingSecret=token")
    [endpoint] = one(manifests, "PodMonitor", "gateway")["spec"]["podMetricsEndpoints"]

    assert endpoint["scheme"] == "https"
    assert endpoint["tlsConfig"] == {
        "serverName": "wk.internal",
        "ca": {"secret": {"name": "certificate", "key": "ca.crt"}},
    }
    assert endpoint["authorization"] == {"type": "Bearer", "credentials": {"name": "token", "key": "token"}}


def test_the_rules_are_the_shipped_ones(render: Any) -> None:
    made = [group for each in of_kind(render(RULES), "PrometheusRule") for group in each["spec"]["groups"]]
    shipped = [
        group
        for path in sorted((GENERATED / "rules").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    ]

    assert sorted(made, key=lambda group: group["name"]) == sorted(shipped, key=lambda group: group["name"])


def test_an_alert_can_be_left_out_and_all_others_stay(render: Any) -> None:
    everything, less = render(RULES), render(f"{RULES},metrics.prometheusRule.disabled={{WatchkeeperWatchdog}}")

    assert [rule for rule in alerts(everything) if rule["alert"] != "WatchkeeperWatchdog"] == alerts(less)
    assert len(alerts(less)) == len(alerts(everything)) - 1


def test_a_name_that_no_alert_has_is_refused(refusal: Any) -> None:
    said = refusal(f"{RULES},metrics.prometheusRule.disabled={{WatchkeeperWachdog}}")

    assert "metrics.prometheusRule.disabled: there is no alert 'WatchkeeperWachdog'; docs/alerts.md lists them" in said


def test_alerts_lead_to_the_grafana_and_the_runbooks_of_the_values(render: Any) -> None:
    at = "metrics.prometheusRule.grafanaUrl=https://grafana.internal/,metrics.prometheusRule.runbooksUrl=https://docs.internal"
    [watchdog] = [
        rule
        for rule in alerts(render(f"{RULES},{at},metrics.prometheusRule.alertLabels.team=ml"))
        if rule["alert"] == "WatchkeeperWatchdog"
    ]
    annotations = watchdog["annotations"]

    assert annotations["runbook_url"] == "https://docs.internal/WatchkeeperWatchdog.md"
    assert annotations["runbook_url_zh"] == "https://docs.internal/WatchkeeperWatchdog.zh-CN.md"
    assert annotations["dashboard_url"].startswith("https://grafana.internal/d/wk-")
    assert watchdog["labels"]["team"] == "ml"


def test_rules_with_thresholds_of_one_s_own_take_the_place_of_the_shipped(render: Any) -> None:
    own = {
        "groups": [
            {"name": "own", "rules": [{"alert": "WatchkeeperOwn", "expr": "up == 0", "labels": {}, "annotations": {}}]}
        ]
    }
    given = {"metrics": {"prometheusRule": {"enabled": True, "files": {"slo": json.dumps(own)}}}}
    made = {each["metadata"]["name"]: each["spec"]["groups"] for each in of_kind(render(given=given), "PrometheusRule")}

    assert [group["name"] for group in made["wk-watchkeeper-rules-slo"]] == ["own"]
    assert [group["name"] for group in made["wk-watchkeeper-rules-saturation"]] == ["watchkeeper-saturation"]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"slo": "groups: ["}, "metrics.prometheusRule.files.slo: is no file of rules: error converting YAML"),
        ({"slo": ""}, "metrics.prometheusRule.files.slo: is no file of rules: it has no groups"),
        ({"slos": "groups: []"}, "metrics.prometheusRule.files.slos: takes the place of none; there are accelerator,"),
    ],
)
def test_a_file_of_rules_that_would_leave_alerts_out_is_refused(files: dict[str, str], says: str, refusal: Any) -> None:
    assert says in refusal(given={"metrics": {"prometheusRule": {"enabled": True, "files": files}}})


@pytest.mark.parametrize("language", ["en", "zh"])
def test_dashboards_are_the_shipped_ones_to_the_letter(language: str, render: Any) -> None:
    manifests = render(f"dashboards.enabled=true,dashboards.language={language},dashboards.namespace=grafana")
    boards = [each for each in of_kind(manifests, "ConfigMap") if labels(each).get("grafana_dashboard") == "1"]
    made = {name: text for each in boards for name, text in each["data"].items()}

    shipped = sorted((GENERATED / "grafana" / language).glob("*.json"))
    assert {name: json.loads(text) for name, text in made.items()} == {
        path.name: json.loads(path.read_text(encoding="utf-8")) for path in shipped
    }
    for each in boards:
        assert each["metadata"]["namespace"] == "grafana"
        assert each["metadata"]["annotations"] == {"grafana_folder": "watchkeeper"}
        assert len(each["metadata"]["name"]) <= 63
        assert len(json.dumps(each)) < 1 << 20


def test_in_a_namespace_of_grafanas_dashboards_of_two_releases_have_names_of_their_own(render: Any) -> None:
    """Releases are told apart by name and namespace; in their own namespace by name alone."""

    def names(*sets: str) -> set[str]:
        manifests = render("dashboards.enabled=true", *sets)
        return {each["metadata"]["name"] for each in manifests if "grafana_dashboard" in labels(each)}

    here = names("dashboards.namespace=grafana")
    there = names("dashboards.namespace=grafana", "namespaceOverride=shop")

    assert here & there == set()
    assert "wk-watchkeeper-obs-wk-fleet" in here
    assert "wk-watchkeeper-wk-fleet" in names() & names("dashboards.namespace=obs")


def test_the_routing_of_the_example_is_the_shipped_one(render: Any) -> None:
    example = one(render("alertmanagerExample.enabled=true"), "ConfigMap", "alertmanager-example")

    shipped = (GENERATED / "alertmanager.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(example["data"]["alertmanager.yaml"]) == yaml.safe_load(shipped)


def test_who_sends_records_reaches_neither_metrics_nor_the_control_api_by_the_same_service(render: Any) -> None:
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind(render(presets=("production",)), "Service")}
    ports = {name: [port["name"] for port in spec["ports"]] for name, spec in services.items()}

    assert ports["wk-watchkeeper-gateway"] == ["otlp-grpc", "otlp-http"]
    assert ports["wk-watchkeeper-control"] == ["control"]
    assert services["wk-watchkeeper-control"]["selector"][COMPONENT] == "detector"


def test_a_very_long_name_of_a_release_gives_names_that_kubernetes_takes(render: Any) -> None:
    manifests = render(f"fullnameOverride={'a' * 42}", presets=("production",))

    for each in manifests:
        assert len(each["metadata"]["name"]) <= (52 if each["kind"] in ("StatefulSet", "CronJob") else 63), each["kind"]


def test_a_label_or_annotation_of_the_values_takes_the_place_of_the_chart_s(helm4: str) -> None:
    """What stands twice is the later one to helm, and refused by what reads strictly, as Kustomize does."""
    given = {
        "commonLabels": {"app.kubernetes.io/part-of": "shop"},
        "gateway": {"podLabels": {"app.kubernetes.io/version": "7"}, "podAnnotations": {"prometheus.io/path": "/m"}},
        "metrics": {"scrapeAnnotations": True},
    }
    command = [helm4, "template", "wk", str(CHART), "--show-only=templates/gateway-statefulset.yaml", "--values=-"]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=240, check=True)

    pod = done.stdout.partition("  template:")[2].partition("    spec:")[0]
    keys = [line.strip().partition(": ")[0] for line in pod.splitlines()]
    assert len(keys) == len(set(keys))
    assert "app.kubernetes.io/part-of: shop" in pod
    assert 'app.kubernetes.io/version: "7"' in pod
    assert "prometheus.io/path: /m" in pod


def test_extra_manifests_are_templates(render: Any) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-text', labels: {}}"
    whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-whole", "labels": {}}}
    names = {each["metadata"]["name"] for each in render(given={"extraManifests": [text, whole]})}

    assert {"wk-text", "wk-whole"} <= names


@pytest.mark.parametrize(("helm", "kube"), [("helm3", "1.27"), ("helm4", "1.27"), ("helm3", "1.26"), ("helm4", "1.26")])
def test_a_kubernetes_older_than_what_was_tried_is_refused(helm: str, kube: str, refusal: Any) -> None:
    assert re.search(r"requires kubeVersion.* >=1\.28\.0-0", refusal(helm=helm, kube=kube))


def test_before_kubernetes_1_30_no_pod_has_a_sleep_that_it_does_not_know(render: Any) -> None:
    containers = [
        one(render(kube=kube), "StatefulSet", "gateway")["spec"]["template"]["spec"]["containers"][0]
        for kube in ("1.29", "1.30")
    ]

    assert ["lifecycle" in container for container in containers] == [False, True]


def test_the_log_of_helm_test_is_there_when_helm_asks_for_it(render: Any) -> None:
    """helm deletes what succeeded first, and asks for its log after that: `--logs` would fail where all went well."""
    annotations = one(render(), "Pod", "test")["metadata"]["annotations"]

    assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation"


def test_a_gateway_that_takes_no_records_has_no_service_without_ports(render: Any) -> None:
    names = [each["metadata"]["name"] for each in of_kind(render("gateway.config.otlp.enabled=false"), "Service")]

    assert names == ["wk-watchkeeper-gateway-headless"]


def test_a_certificate_of_a_public_authority_needs_none_in_the_secret(render: Any) -> None:
    manifests = render("tls.existingSecret=certificate,tls.authorityKey=,metrics.podMonitor.enabled=true")
    [endpoint] = one(manifests, "PodMonitor", "gateway")["spec"]["podMetricsEndpoints"]
    [test] = one(manifests, "Pod", "test")["spec"]["containers"]

    assert endpoint["tlsConfig"] == {"serverName": "wk-watchkeeper-gateway.obs.svc"}
    assert "--server-name=wk-watchkeeper-gateway.obs.svc" in test["args"]
    assert not any(argument.startswith("--ca-file") for argument in test["args"])


def test_a_release_fits_into_the_secret_that_helm_keeps_it_in(render: Any, helm4: str, tmp_path: Path) -> None:
    """A mebibyte is all that Kubernetes lets a Secret have; chart and manifests are in it, compressed, as base64."""
    subprocess.run([helm4, "package", str(CHART), "-d", str(tmp_path)], check=True, capture_output=True, timeout=240)
    [package] = tmp_path.glob("*.tgz")
    with tarfile.open(package) as opened:
        chart = [base64.b64encode(file.read()).decode() for name in opened if (file := opened.extractfile(name))]
    manifests = json.dumps(render(presets=("production",)))

    assert len(base64.b64encode(gzip.compress(json.dumps([chart, manifests]).encode()))) < 700_000
