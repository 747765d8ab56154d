"""
Wrong values stop the install, by helm 3 as by helm 4, with a sentence that names the key: what one value may be is said
by values.schema.json, how values go together by templates/_validations.tpl.
"""

import re
from pathlib import Path
from typing import Any, Final

import pytest

UNKNOWN: Final = r"Additional property {0} is not allowed|additional properties '{0}' not allowed"
NO_MATCH: Final = r"[Dd]oes not match pattern '\^"
ONE_OF: Final = r"must be one of"
AT_LEAST: Final = r"Must be greater than or equal to {0}|minimum: got \S+, want {0}"
NO_PORT: Final = r"Must be less than or equal to 65535|maximum: got \S+, want 65,535"

SHAPES: Final = [
    ("gatewy.enabled=false", "", UNKNOWN.format("gatewy")),
    ("gateway.replicaCount=2", "gateway", UNKNOWN.format("replicaCount")),
    ("gateway.replicas=-1", "gateway.replicas", AT_LEAST.format(0)),
    ("detector.replicas=two", "detector.replicas", "integer"),
    ("image.repository=", "image.repository", "greater than or equal to 1|minLength"),
    ("image.registry=https://registry.example.com", "image.registry", NO_MATCH),
    ("image.digest=sha256:0f1e", "image.digest", NO_MATCH),
    ("image.pullPolicy=Sometimes", "image.pullPolicy", ONE_OF),
    ("gateway.resources.limits.memory=2GB", "gateway.resources.limits.memory", NO_MATCH),
    ("gateway.persistence.size=10GiB", "gateway.persistence.size", NO_MATCH),
    ("gateway.pdb.minAvailable=1", "gateway.pdb", UNKNOWN.format("minAvailable")),  # nor with maxUnavailable, therefore
    ("gateway.pdb.maxUnavailable=quarter", "gateway.pdb.maxUnavailable", NO_MATCH),
    ("gateway.service.nodePorts.otlp-http=99999", "gateway.service.nodePorts.otlp-http", NO_PORT),
    ("metrics.podMonitor.interval=half a minute", "metrics.podMonitor.interval", NO_MATCH),
    ("metrics.prometheusRule.disabled={KubePodCrashLooping}", "metrics.prometheusRule.disabled.0", NO_MATCH),
    ("node.podResources.path=kubelet/pod-resources", "node.podResources.path", NO_MATCH),
    ("node.tolerations[0].opertor=Exists", "node.tolerations.0", UNKNOWN.format("opertor")),
    ("securityContext.runAsNonroot=true", "securityContext", UNKNOWN.format("runAsNonroot")),
    ("dashboards.language=fr", "dashboards.language", ONE_OF),
    ("kafka.servers={kafka}", "kafka.servers.0", NO_MATCH),
    ("kafka.sasl.mechanism=GSSAPI", "kafka.sasl.mechanism", ONE_OF),
    ("store.url=mysql://db/watchkeeper", "store.url", NO_MATCH),
    ("report.schedule=0 6 * *", "report.schedule", NO_MATCH),
    ("config.log_levl=debug", "config", UNKNOWN.format("log_levl")),
    ("config.tick_seconds=500ms", "config.tick_seconds", "number"),
    ("node.config.role=gateway", "node.config", UNKNOWN.format("role")),
    ("gateway.config.otlp.http_port=70000", "gateway.config.otlp.http_port", NO_PORT),
    ("gateway.config.tap[0].port=8080", "gateway.config.tap.0", "upstream is required|missing property 'upstream'"),
]
"""As after --set; the key that the refusal names; how helm 3 or helm 4 puts it."""

FLEET: Final = "detector.enabled=true,kafka.servers={kafka:9092},references.existingConfigMap=approved"
ENGINES: Final = "engines.enabled=true,engines.config.engines[0].url=http://vllm:8000"
STORE: Final = "store.enabled=true,store.url=postgresql://watchkeeper@db/watchkeeper"

RELATIONS: Final = [
    ("gateway=null", "gateway", "leave the key out"),
    ("metrics.podMonitor=null", "metrics.podMonitor", "leave the key out"),
    ("node.enabled=false,gateway.enabled=false", "node, gateway, detector, engines, report", "enable one"),
    ("detector.enabled=true,references.existingConfigMap=approved", "kafka.servers", "name brokers"),
    ("detector.enabled=true,kafka.servers={kafka:9092}", "references.existingConfigMap", "name the ConfigMap"),
    (
        f"{FLEET},detector.keda.enabled=true,detector.autoscaling.enabled=true",
        "detector.keda.enabled",
        "one thing alone",
    ),
    (
        f"{FLEET},detector.keda.enabled=true,detector.keda.minReplicaCount=9",
        "detector.keda.maxReplicaCount",
        "raise it",
    ),
    (
        f"{FLEET},detector.keda.enabled=true,kafka.sasl.mechanism=PLAIN,kafka.sasl.username=a,kafka.sasl.existingSecret=b",
        "detector.keda.authenticationRef",
        "name a TriggerAuthentication",
    ),
    (
        "gateway.autoscaling.enabled=true,gateway.autoscaling.maxReplicas=1",
        "gateway.autoscaling.maxReplicas",
        "raise it",
    ),
    ("gateway.autoscaling.enabled=true,gateway.autoscaling.external=true", "gateway.autoscaling", "set one of them"),
    (
        "metrics.podMonitor.enabled=true,metrics.serviceMonitor.enabled=true",
        "metrics.serviceMonitor.enabled",
        "scraped twice; set one of them",
    ),
    ("kafka.sasl.mechanism=PLAIN", "kafka.sasl", "needs username and existingSecret"),
    ("kafka.sasl.username=watchkeeper", "kafka.sasl.mechanism", "would not be used; set PLAIN"),
    ("kafka.tls.existingSecret=brokers", "kafka.tls.enabled", "would not be used; set it to true"),
    ("kafka.tls.enabled=true,kafka.tls.certificateKey=tls.crt", "kafka.tls", "set both"),
    ("otlpExport.tls.certificateKey=tls.crt", "otlpExport.tls", "set both"),
    ("otlpExport.tls.existingSecret=a,otlpExport.endpoint=http://b:4318", "otlpExport.tls.existingSecret", "https://"),
    ("store.url=postgresql://watchkeeper:hunter2@db/watchkeeper", "store.url", "put it into a Secret"),
    ("store.url=postgresql://db/watchkeeper?user=watchkeeper&password=hunter2", "store.url", "put it into a Secret"),
    ("store.existingSecret=password", "store.url", "set store.url"),
    ("control.enabled=true,control.existingSecret=tokens", "control.enabled", "set store.enabled=true"),
    (f"{STORE},control.enabled=true", "control.existingSecret", "name a Secret"),
    ("report.enabled=true", "report.enabled", "set store.enabled=true and store.url"),
    ("tls.otlp.clientCertificates=true", "tls.otlp.clientCertificates", "set tls.existingSecret"),
    ("otlpExport.existingSecret=headers", "otlpExport.endpoint", "set it"),
    ("gateway.terminationGracePeriodSeconds=10", "gateway.terminationGracePeriodSeconds", "raise it"),
    ("gateway.config.web.port=0", "gateway.config", "give it a number"),
    ("node.hostLibraries={/etc/}", "node.hostLibraries", "name the folder of the vendor's library"),
    ("gateway.config.web.port=4318", "gateway.config", "give one of them another"),
    ("gateway.config.drift.judged=fleet", "gateway.config.drift.judged", "or leave it out"),
    (
        "gateway.service.nodePorts.otlp-htp=30001",
        "gateway.service.nodePorts",
        "it has otlp-grpc, otlp-http",
    ),
    ("metrics.podMonitor.scrapeTimeout=60s", "metrics.podMonitor.scrapeTimeout", "shorten it"),
    ("gateway.config.web.host=127.0.0.1", "gateway.config.web.host", "leave it out"),
    (r"commonLabels.app\.kubernetes\.io/name=shop", "commonLabels", "take another key"),
    (r"gateway.podLabels.app\.kubernetes\.io/component=shop", "gateway.podLabels", "take another key"),
    ("node.extraEnv[0].name=POD_NAME", "node.extraEnv", "leave it out"),
    ("gateway.extraEnv[0].name=WATCHKEEPER__WEB__PORT", "gateway.extraEnv", "gateway.config; set it there"),
    ("gateway.resources.limits.memory=512m", "gateway.resources.limits.memory", "write Mi"),
    ("fullnameOverride=1st", "fullnameOverride", "set one"),
    (
        "gateway.resources.requests.memory=1Gi",
        "gateway.resources.requests.memory",
        "is above the limit, 768Mi; lower it",
    ),
    (
        "test.resources.requests.cpu=1.5,test.resources.limits.cpu=1400m",
        "test.resources.requests.cpu",
        "1.5 is above the limit, 1400m; lower it",
    ),
    ("gateway.config.kafka.enabled=true", "gateway.config.kafka.enabled", "set kafka.servers, or leave it out"),
    (
        "gateway.config.kafka.enabled=true,gateway.config.kafka.connection.servers={kafka:9092}",
        "gateway.config.kafka.ticks",
        "set it to false",
    ),
    ("kafka.servers={kafka:9092},gateway.config.kafka.enabled=true", "gateway.config.kafka.calls", "name one"),
    (f"{FLEET},detector.config.kafka.enabled=false", "detector.config.kafka.enabled", "leave it out"),
    ("config.exporters.kafka.enabled=true", "gateway.config.exporters.kafka.enabled", "set kafka.servers"),
    ("gateway.config.kafka.connection.servers={kafka:65536}", "kafka.servers", "the port from 1 to 65535"),
    ("config.state_folder=/data", "config.state_folder", "/data is on no volume"),
    ("config.state_folder=/var/lib/watchkeeper/../data", "config.state_folder", "is on no volume"),
    ("gateway.config.state_folder=state", "gateway.config.state_folder", "take a place below /var/lib/watchkeeper"),
    (
        "gateway.config.control.enabled=true,gateway.config.control.socket=/s",
        "gateway.config.control.socket",
        "on no volume",
    ),
    ("config.checks.secrets.canaries_file=/run/c", "gateway.config", "canaries_file, /run/c, is on no volume"),
    ("node.hostLibraries={/opt/a,/opt/a/}", "node.hostLibraries", "is mounted at /opt/a already"),
    ("node.hostLibraries={/tmp}", "node.hostLibraries", "is mounted at /tmp already"),
    ("gateway.extraVolumes[0].name=state", "gateway.extraVolumes", "the name state is the chart's own"),
    (
        "node.hostLibraries={/opt/a},node.extraVolumes[0].name=library-0",
        "node.extraVolumes",
        "the name library-0 is the chart's own",
    ),
    (
        "gateway.extraVolumes[0].name=a,gateway.extraVolumeMounts[0].name=a,gateway.extraVolumeMounts[0].mountPath=/tmp/",
        "gateway.extraVolumeMounts",
        "is mounted at /tmp already",
    ),
    (
        "gateway.extraVolumeMounts[0].name=a,gateway.extraVolumeMounts[0].mountPath=/a",
        "gateway.extraVolumeMounts",
        "is no volume of the pod; add it to gateway.extraVolumes",
    ),
    (
        "gateway.extraInitContainers[0].name=watchkeeper",
        "gateway.extraContainers, extraInitContainers",
        "the name watchkeeper is the chart's own",
    ),
    (
        "gateway.extraContainers[0].name=a,gateway.extraContainers[0].ports[0].containerPort=4317",
        "gateway.extraContainers",
        "a has port 4317, which the program has",
    ),
    ("commonLabels.a b=x", "commonLabels", "'a b' is no key of a label"),
    (r"gateway.podLabels.Shop\.com/a=x", "gateway.podLabels", "is no key of a label"),
    ("gateway.podLabels.a=x y", "gateway.podLabels.a", "'x y' is no value of a label"),
    ("node.nodeSelector.-a=x", "node.nodeSelector", "is no key of a label"),
    ("node.podAnnotations.a/b/c=x", "node.podAnnotations", "'a/b/c' is no key of an annotation"),
    ("gateway.persistence.annotations.a_=x", "gateway.persistence.annotations", "is no key of an annotation"),
    ("dashboards.label=grafana dashboard", "dashboards.label", "is no key of a label"),
    ("metrics.prometheusRule.alertLabels.on-call=ml", "metrics.prometheusRule.alertLabels", "'on-call' is no label"),
    ("store.url=postgresql://a%zz@db/watchkeeper", "store.url", "write %25 for the sign itself"),
    ("store.url=postgresql://a@db/watchkeeper%", "store.url", "write %25 for the sign itself"),
    ("store.url=postgresql://a@db:65536/watchkeeper", "store.url", "65536 is no port"),
    ("store.url=postgresql://a@db:pg/watchkeeper", "store.url", "its host and port cannot be read"),
    ("otlpExport.endpoint=http://[::1", "otlpExport.endpoint", "an IPv6 address in [ ]"),
    (
        "gateway.config.tap[0].port=80,gateway.config.tap[0].upstream=http://vllm:0",
        "gateway.config.tap[0].upstream",
        "0 is no port; write one from 1 to 65535",
    ),
    (
        "node.serviceAccount.name=wk-watchkeeper-gateway",
        "gateway.serviceAccount.name",
        "is made for node, too; set gateway.serviceAccount.create=false",
    ),
    (
        "gateway.service.nodePorts.otlp-http=30001,gateway.service.nodePorts.otlp-grpc=30001",
        "gateway.service.nodePorts",
        "otlp-grpc and otlp-http have the same port of the node, 30001",
    ),
    ("report.schedule=61 5 1 * *", "report.schedule", "'61' is no minute; write numbers from 0 to 59"),
    ("report.schedule=1 5 0 * *", "report.schedule", "'0' is no day of the month"),
    ("report.schedule=1 5 1 JUNE *", "report.schedule", "'JUNE' is no month"),
    ("report.schedule=1 5 1 * 7", "report.schedule", "'7' is no day of the week; write numbers from 0 to 6"),
    ("report.schedule=*/0 5 1 * *", "report.schedule", "'*/0' is no minute"),
    ("report.schedule=1 5 28-2 * *", "report.schedule", "'28-2' ends before it begins"),
    ("report.schedule=@never", "report.schedule", "is none of @yearly"),
    ("report.timeZone=Local", "report.timeZone", "there is no 'Local'"),
    ("config.engines[0].url=http://vllm:8000", "config.engines", "name them in engines.config.engines"),
    ("gateway.config.engines[0].url=http://vllm:8000", "gateway.config.engines", "name them in engines.config.engines"),
    ("detector.config.engines[0].url=http://vllm:8000", "detector.config.engines", "where each is read once"),
    ("engines.enabled=true", "engines.config.engines", "name an engine"),
    ("engines.config.engines[0].url=http://vllm:8000", "engines.enabled", "set it to true"),
    (f"{ENGINES},engines.config.otlp.enabled=true", "engines.config.otlp", "write it into gateway.config"),
    ("node.config.engines[0].find=true", "node.config.engines[0].url", "write http://host:port"),
    ("node.config.engines[0].url=vllm:8000", "node.config.engines[0].url", "is no address; write http://host:port"),
    (
        "node.config.engines[0].url=http://a:hunter2@vllm",
        "node.config.engines[0].url",
        "a password into bearer_token_file",
    ),
    (f"{ENGINES},engines.config.engines[1].url=http://[::1]:1", "engines.config.engines[1].url", "is this very pod"),
    (f"{ENGINES},node.config.engines[0].url=http://vllm:8000/", "node.config.engines[0].url", "would be counted twice"),
]
"""As after --set; the key that the refusal begins with; what it says to do."""


@pytest.fixture(scope="module", params=["helm3", "helm4"])
def told(request: pytest.FixtureRequest, refusal: Any) -> tuple[str, list[str]]:
    """By which helm, and what it says to all of these values at once."""
    said = refusal(*(values for values, _, _ in SHAPES), helm=request.param)
    return request.param, [line.strip() for line in said.splitlines()]


@pytest.mark.parametrize(("values", "key", "says"), SHAPES, ids=[values for values, _, _ in SHAPES])
def test_a_value_that_cannot_be_is_refused_by_its_name(
    values: str, key: str, says: str, told: tuple[str, list[str]]
) -> None:
    helm, lines = told

    by_helm4 = "/" + key.replace(".", "/") if key else ""
    begins = f"- {key or '(root)'}: " if helm == "helm3" else f"- at '{by_helm4}': "
    assert any(line.startswith(begins) and re.search(says, line) for line in lines), lines


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
@pytest.mark.parametrize(("values", "key", "says"), RELATIONS, ids=[values for values, _, _ in RELATIONS])
def test_values_that_contradict_each_other_are_refused_with_the_way_out(
    values: str, key: str, says: str, helm: str, refusal: Any
) -> None:
    said = refusal(values, helm=helm)

    [line] = [line for line in said.splitlines() if line.startswith(f"{key}: ")]
    assert says in line
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "given",
    [
        {"config": {"state_folder": "/data/of/it"}, "gateway": {
            "extraVolumes": [{"name": "data", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "data", "mountPath": "/data/"}],
        }, "node": {"enabled": False}},
        {"config": {"capture": {"share": 0.1, "path": "/var/lib/watchkeeper/calls"}, "state_folder": ""}},
        {"config": {"checks": {"secrets": {"canaries_file": "/run/canaries/list"}}}, "gateway": {
            "extraVolumes": [{"name": "canaries", "secret": {"secretName": "{{ .Release.Name }}-canaries"}}],
            "extraVolumeMounts": [{"name": "canaries", "mountPath": "/var/run/canaries", "readOnly": True}],
        }},
        {"node": {"config": {"engines": [{"url": "https://vllm:8000", "ca_file": "/etc/ssl/certs/ca.pem"}]}}},
        {"gateway": {"resources": {"requests": {"memory": "768Mi"}, "limits": {"cpu": 2, "ephemeral-storage": "1G"}}}},
        {"gateway": {"resources": {"requests": {"cpu": 0.5, "memory": 805306368}, "limits": {"cpu": "500m"}}}},
        {"commonLabels": {"a.b/C_d": "{{ .Release.Name }}", "e": ""}, "commonAnnotations": {"Shop.com/a": "a / b"}},
        {"store": {"url": "postgresql://a%40b@[fd00::1]:5432,db-1:5432/watchkeeper?sslmode=verify-full"}},
        {"store": {"url": "postgresql:///watchkeeper?host=db"}, "otlpExport": {"endpoint": "https://a.b/otlp%20in"}},
        {"report": {"schedule": "*/15,08-9/2 ? 08 jan,Feb-MAR mon-FRI", "timeZone": "Asia/Kolkata"}},
        {"report": {"schedule": "@daily", "timeZone": "UTC"}},
        {"node": {"serviceAccount": {"name": "a"}}, "gateway": {"serviceAccount": {"name": "a", "create": False}}},
        {"gateway": {"service": {"annotations": {"dns": "{{ of another }}"}}}},
        {"config": {"cost": {"prices_file": "/opt/prices.yaml"}}},
        {"auth": {"web": {"existingSecret": "web"}},
            "config": {"web": {"token_file": "/var/run/secrets/watchkeeper/auth-web/token"}}},
        {"gateway": {"extraContainers": [{"name": "side", "image": "a:1", "ports": [{"containerPort": 8080}]}]}},
    ],
)  # fmt: skip
def test_values_that_go_together_are_taken(given: dict[str, Any], render: Any) -> None:
    assert render(given=given)


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_a_time_zone_that_this_machine_does_not_know_is_refused_where_it_knows_any(helm: str, refusal: Any) -> None:
    if not Path("/usr/share/zoneinfo/Asia/Tokyo").exists():
        pytest.skip("this machine has no list of time zones; install tzdata")

    assert "report.timeZone: there is no 'Mars/Olympus'; write a name" in refusal(
        "report.timeZone=Mars/Olympus", helm=helm
    )


def test_no_address_is_shown_when_it_is_refused(refusal: Any) -> None:
    assert "hunter2" not in refusal("store.url=postgresql://a@db/x?password=hunter2%")


def test_all_that_contradicts_is_told_at_once(refusal: Any) -> None:
    said = refusal("detector.enabled=true,report.enabled=true")

    keys = ["kafka.servers", "references.existingConfigMap", "report.enabled"]
    assert [line.partition(": ")[0] for line in said.splitlines() if line.startswith(tuple(keys))] == keys
