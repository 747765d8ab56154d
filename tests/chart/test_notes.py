"""What the chart says once it is installed: what runs, the next commands, where things are, what to know."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

CHART: Final = Path(__file__).resolve().parents[2] / "deploy/helm/watchkeeper"
FLEET: Final = "detector.enabled=true,kafka.servers={kafka:9092},references.existingConfigMap=approved"
RULES: Final = "metrics.prometheusRule.enabled=true"
ASKS: Final = "tls.existingSecret=a,tls.web.clientCertificates=true"


@pytest.fixture(scope="module")
def notes(helm4: str) -> Any:
    def notes(*sets: str, given: dict[str, Any] | None = None) -> str:
        command = [helm4, "install", "wk", str(CHART), "--namespace", "obs", "--dry-run=client", "--values", "-"]
        command += [f"--set={each}" for each in sets]
        done = subprocess.run(command, input=json.dumps(given or {}), capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        return done.stdout.partition("NOTES:\n")[2]

    return notes


def test_notes_tell_the_next_three_commands(notes: Any) -> None:
    said = notes()

    assert re.findall(r"^([123])\. ", said, re.MULTILINE) == ["1", "2", "3"]
    assert "helm test wk --namespace obs" in said
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://wk-watchkeeper-gateway.obs.svc:4318" in said
    assert "kubectl -n obs port-forward statefulset/wk-watchkeeper-gateway 9464" in said
    assert max(map(len, said.splitlines())) <= 120


def test_notes_ask_for_metrics_as_they_may_be_asked_for(notes: Any) -> None:
    said = notes("auth.web.existingSecret=web", "auth.web.tokenKey=a.b", "tls.existingSecret=certificate")

    assert "token=$(kubectl -n obs get secret web -o 'jsonpath={.data.a\\.b}' | base64 -d)\n" in said
    assert 'curl -H "Authorization: Bearer $token" -k https://localhost:9464/metrics' in said


@pytest.mark.parametrize(
    ("sets", "warns"),
    [
        ("metrics.podMonitor.enabled=true", "No monitor was made: this cluster does not know"),
        (RULES, "No alert was made: this cluster does not know"),
        ("metrics.podMonitor.enabled=true", "set\n  metrics.podMonitor.additionalLabels.release"),
        ("node.enabled=true", "Nobody is told to scrape these pods."),
        ("node.config.engines[0].url=http://vllm:8000", "counted as often as there are\n  nodes, unless"),
        (f"{ASKS},metrics.podMonitor.enabled=true", "name it in metrics.podMonitor.tlsConfig.cert"),
        ("node.enabled=true", "The image is watchkeeper:0.1.0, which nodes look for at Docker Hub unless they have it"),
        ("gateway.autoscaling.enabled=true,gateway.resources.requests=null", "set gateway.resources.requests.cpu."),
        ("store.url=postgresql://watchkeeper@db/watchkeeper", "no store is kept: set store.enabled=true."),
        ("gateway.resources.limits=null", "gateway: has no limit of memory."),
        ("kafka.servers={kafka:9092}", "Kafka is spoken to in plain text"),
        ("gateway.service.type=LoadBalancer", "from outside the cluster in plain text"),
        ("tls.existingSecret=a", "Applications know the gateway by OTEL_EXPORTER_OTLP_CERTIFICATE"),
        ("auth.otlp.existingSecret=a", 'OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer%20TOKEN"'),
        ("gateway.replicas=2", "Several gateways judge drift apart from each other"),
        ("store.enabled=true", "The store is a file in the pod of the gateway and is gone with it"),
        ("node.enabled=true", "What the gateway learns (references, evidence of drift) is gone with its pod"),
        ("node.podResources.enabled=true", "reads /var/lib/kubelet/pod-resources of the host, read-only"),
        ("node.podResources.enabled=true", "runs as user 0, without any capability: the kubelet answers nobody else."),
        ("node.privileged=true", "runs as user 0, privileged: the driver tells nobody else of all devices."),
        ("node.hostPID=true", "kubectl label namespace obs pod-security.kubernetes.io/enforce=privileged"),
        ("node.enabled=true", "that takes node.podResources.enabled=true"),
        ("node.enabled=true", "Prompts and answers are looked at in memory and leave it as numbers and marks only"),
    ],
)  # fmt: skip
def test_notes_warn_of_what_an_operator_should_know(sets: str, warns: str, notes: Any) -> None:
    assert warns in notes(sets)


def test_notes_say_who_reads_engines(notes: Any) -> None:
    said = notes(
        "engines.enabled=true", *(f"engines.config.engines[{one}].url=http://vllm-{one}.vllm" for one in (0, 1))
    )

    assert "  wk-watchkeeper-engines, reads 2 engines by address\n" in said


def test_notes_tell_where_the_control_api_is(notes: Any) -> None:
    store = "store.enabled=true,store.url=postgresql://watchkeeper@db/watchkeeper"
    control = f"{store},control.enabled=true,control.existingSecret=tokens"

    assert "the control API of the gateway:\n    http://wk-watchkeeper-control.obs.svc:9465/v1/health\n" in notes(
        control
    )
    said = notes(FLEET, control, "tls.existingSecret=a", "config.control.port=9999")
    assert "the control API of the detector:\n    https://wk-watchkeeper-control.obs.svc:9999/v1/health\n" in said
    assert "control API" not in notes()


def test_notes_name_the_topics_that_have_to_be_there(notes: Any) -> None:
    def topics(*sets: str) -> list[str]:
        part = notes(*sets).partition("Topics of Kafka")[2].partition("\n\n")[0]
        return [line.strip().partition(",")[0] for line in part.splitlines()[1:]]

    fleet = [f"watchkeeper.{name}" for name in ("ticks", "findings", "state", "dead")]
    assert topics(FLEET) == fleet
    assert topics("kafka.servers={kafka:9092}") == ["watchkeeper.findings"]
    assert topics() == []
    eu = "config.exporters.kafka.findings_topic=eu.findings,detector.config.kafka.state_topic=eu.state"
    assert topics(FLEET, eu) == ["watchkeeper.ticks", "eu.findings", "eu.state", "watchkeeper.dead"]


def test_notes_of_a_fleet_with_everything_set_warn_of_little(notes: Any) -> None:
    sets = (FLEET, "kafka.tls.enabled=true", "metrics.scrapeAnnotations=true", "node.enabled=false", "image.registry=r")

    [line] = [line for line in notes(*sets).partition("To know:")[2].splitlines() if line.startswith("- ")]
    assert line.startswith("- Prompts and answers are looked at in memory")


def test_notes_say_where_prompts_are_written(notes: Any) -> None:
    said = notes(given={"gateway": {"config": {"capture": {"share": 0.1, "path": "/var/lib/watchkeeper/calls"}}}})

    assert "- The gateway writes prompts and answers, redacted, to /var/lib/watchkeeper/calls (capture.share)." in said


def test_notes_ask_for_logs_only_where_helm_looks_for_them(notes: Any) -> None:
    """It looks for the pod of a test in the release's namespace, wherever the pod is."""
    assert "helm test wk --namespace obs --logs\n" in notes()
    assert "helm test wk --namespace obs\n" in notes("namespaceOverride=elsewhere")


def test_notes_name_no_job_of_a_report_that_is_off(notes: Any) -> None:
    assert "create job" not in notes("sidecars.inject=true,node.enabled=false,gateway.enabled=false")
