"""The overlay `production`: what the operators are told is what compose and Prometheus's own files say."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from stack import __main__ as command_line
from stack.kubernetes import overlay
from stack.local import compose
from stack.services import SERVICES
from stack.settings import DEFAULTS, ROOT, Settings

from tests.configs.exporters import targets
from tests.configs.test_compose import CONTAINERS
from tests.configs.test_kubernetes import ALONE, SETTINGS, rendered_overlay
from tests.fixtures import yaml_files

Object = dict[str, Any]

README = (ROOT / "dev-environment/kubernetes/README.md").read_text()
PROMETHEUS = ROOT / "dev-environment/prometheus"
DATA_SOURCES = ROOT / "dev-environment/grafana/provisioning/datasources/all.yml"
CONFIG = yaml_files.load(PROMETHEUS / "prometheus.yml")
# What runs in no overlay.
ABSENT = {"loki"}
# The Services that an operator makes: the cluster operator of RabbitMQ, internal/resource/service.go.
MADE = [
    {
        "metadata": {
            "name": "rabbitmq",
            "labels": {"app.kubernetes.io/name": "rabbitmq", "app.kubernetes.io/component": "rabbitmq"},
        },
        "spec": {"ports": [{"name": "amqp", "port": 5672}, {"name": "prometheus", "port": 15692}]},
    }
]


@pytest.fixture(scope="module")
def production() -> list[Object]:
    return rendered_overlay("production")


def of_kind(kind: str, objects: list[Object]) -> list[Object]:
    return [each for each in objects if each["kind"] == kind]


def is_selected(service: Object, selector: Object) -> bool:
    labels = service["metadata"].get("labels", {})
    assert {each["operator"] for each in selector.get("matchExpressions", ())} <= {"In"}
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", ())
    )


def scraped(objects: list[Object]) -> Iterator[Object]:
    """The jobs that the monitors make of the Services, in the words of prometheus.yml."""
    for monitor in of_kind("ServiceMonitor", objects):
        assert monitor["spec"].keys() == {"selector", "endpoints"}
        services = [
            each for each in (*of_kind("Service", objects), *MADE) if is_selected(each, monitor["spec"]["selector"])
        ]
        assert services, monitor
        for service, endpoint in ((service, each) for service in services for each in monitor["spec"]["endpoints"]):
            assert endpoint.keys() <= {"port", "path", "params", "relabelings", "metricRelabelings", "basicAuth"}
            name, relabelings = service["metadata"]["name"], endpoint.get("relabelings", ())
            assert {len(each) for each in relabelings} <= {2}
            labels = {"job": name} | {
                each["targetLabel"]: each.get("replacement") or each["sourceLabels"] for each in relabelings
            }
            (port,) = (each["port"] for each in service["spec"]["ports"] if each["name"] == endpoint["port"])
            yield {
                "labels": labels,
                "target": f"{name}:{port}",
                "path": endpoint.get("path", "/metrics"),
                "params": endpoint.get("params", {}),
                "metric relabelings": [
                    {"source_labels" if key == "sourceLabels" else key: value for key, value in each.items()}
                    for each in endpoint.get("metricRelabelings", ())
                ],
            }


def test_the_monitors_are_the_jobs_of_prometheus_yml(production):
    """A target that has one name for all its time has it as `instance`, or an address, as where there are several."""
    written = {}
    for job in CONFIG["scrape_configs"]:
        if (name := job["job_name"]) not in ABSENT:
            (target,) = targets(job)
            written[name] = {
                "labels": {"job": name, **({"instance": target} if "static_configs" in job else {})},
                "target": target,
                "path": job.get("metrics_path", "/metrics"),
                "params": job.get("params", {}),
                "metric relabelings": job.get("metric_relabel_configs", []),
            }
    for several in ("rabbitmq", "rabbitmq-queues"):
        del written[several]["labels"]["instance"]
    written["node-exporter"]["labels"]["instance"] = ["__meta_kubernetes_pod_node_name"]
    found = list(scraped(production))
    assert {each["labels"]["job"]: each for each in found} == written
    assert len(found) == len(written)


def test_the_operator_adds_no_label_and_changes_no_interval(production):
    (prometheus,) = of_kind("Prometheus", production)
    spec, every = prometheus["spec"], CONFIG["global"]
    assert (spec["scrapeInterval"], spec["evaluationInterval"]) == (
        every["scrape_interval"],
        every["evaluation_interval"],
    )
    assert spec["sampleLimit"] == every["sample_limit"]
    assert spec["exemplars"]["maxSize"] == CONFIG["storage"]["exemplars"]["max_exemplars"]
    (own,) = spec["scrapeClasses"]
    # The operator's relabelings set these (pkg/prometheus/promcfg.go), and `job`.
    added = {"namespace", "service", "pod", "container", "endpoint", "node"}
    (relabeling,) = own["relabelings"]
    assert (own["default"], relabeling["action"], set(relabeling["regex"].split("|"))) == (True, "labeldrop", added)


def test_alertmanager_gets_alerts_as_from_prometheus_yml(production):
    (prometheus,) = of_kind("Prometheus", production)
    spec = prometheus["spec"]
    environment = next(
        each
        for each in of_kind("ConfigMap", production)
        if each["metadata"]["name"].startswith("alertmanager-environment")
    )
    labels = {**spec["externalLabels"], spec["replicaExternalLabelName"]: "", spec["prometheusExternalLabelName"]: ""}
    assert labels.keys() - {""} == CONFIG["global"]["external_labels"].keys()
    assert spec["externalLabels"]["grafana_url"] == environment["data"]["GRAFANA_URL"]
    (to,) = spec["alerting"]["alertmanagers"]
    (dropped,) = CONFIG["alerting"]["alert_relabel_configs"]
    (relabeling,) = to["alertRelabelings"]
    # The operator drops the name of the replica itself.
    assert {relabeling["regex"], spec["replicaExternalLabelName"]} == set(dropped["regex"].split("|"))
    (service,) = (each for each in of_kind("Service", production) if each["metadata"]["name"] == to["name"])
    (found,) = CONFIG["alerting"]["alertmanagers"][0]["dns_sd_configs"]
    assert ([to["name"]], found["port"]) == (
        found["names"],
        next(each["port"] for each in service["spec"]["ports"] if each["name"] == to["port"]),
    )


def test_prometheus_runs_as_under_compose(production):
    (prometheus,) = of_kind("Prometheus", production)
    spec = prometheus["spec"]
    (container,) = ALONE["prometheus"]["spec"]["template"]["spec"]["containers"]
    assert (spec["image"], spec["version"]) == (container["image"], container["image"].partition(":v")[2])
    assert spec["resources"] == container["resources"]
    arguments = dict(each.partition("=")[::2] for each in compose.arguments("prometheus", SETTINGS))
    assert arguments == {
        "--config.file": "/etc/prometheus/prometheus.yml",
        "--storage.tsdb.path": "/prometheus",
        "--storage.tsdb.retention.time": spec["retention"],
        "--storage.tsdb.retention.size": spec["retentionSize"],
        "--enable-feature": ",".join(spec["enableFeatures"]),
        "--web.external-url": spec["externalUrl"],
    }
    assert CONTAINERS["prometheus"]["image"] == spec["image"]


def test_the_service_of_prometheus_and_its_doors_are_those_of_the_operators_pods(production):
    (prometheus,) = of_kind("Prometheus", production)
    (service,) = (
        each for each in of_kind("Service", production) if each["metadata"]["name"] == prometheus["spec"]["serviceName"]
    )
    # The operator sets this label, and it can be no other.
    assert service["spec"]["selector"] == {"app.kubernetes.io/name": "prometheus"}
    assert {each["targetPort"] for each in service["spec"]["ports"]} == {prometheus["spec"]["portName"]}
    assert not [
        each for each in production if each["kind"] == "StatefulSet" and each["metadata"]["name"] == "prometheus"
    ]


def test_the_verb_prints_all_of_it(production, capsys, monkeypatch):
    monkeypatch.setattr(command_line, "read", lambda: Settings(DEFAULTS, {}))
    assert command_line.main(["manifests"]) == 0
    assert overlay.objects(capsys.readouterr().out) == production


def test_the_rules_are_those_of_the_files(production):
    files = {file.stem: yaml_files.load(file) for file in (PROMETHEUS / "rules").glob("*.yml")}
    found = {each["metadata"]["name"]: each["spec"] for each in of_kind("PrometheusRule", production)}
    assert {name: spec for name, spec in found.items() if name != "stated"} == files


def test_elasticsearch_and_kibana_have_the_version_of_compose(production):
    for name in ("elasticsearch", "kibana"):
        (own,) = of_kind(name.title(), production)
        image = f"docker.elastic.co/{name}/{name}:{own['spec']['version']}"
        assert (image, CONTAINERS[name]["image"]) == (CONTAINERS[name]["image"], image)


def test_the_watermarks_of_elasticsearch_are_bytes_of_which_its_exporter_tells(production):
    (own,) = of_kind("Elasticsearch", production)
    config = own["spec"]["nodeSets"][0]["config"]
    marks = {name.rpartition(".")[2]: value for name, value in config.items() if ".watermark." in name}
    assert marks.keys() == {"low", "high", "flood_stage"}
    assert all(re.fullmatch(r"\d+gb", each) for each in marks.values())


def test_an_autoscaler_looks_at_the_container_of_the_service(production):
    for each in of_kind("HorizontalPodAutoscaler", production):
        (target,) = (
            it for it in of_kind("Deployment", production) if it["metadata"]["name"] == each["metadata"]["name"]
        )
        containers = [it["name"] for it in target["spec"]["template"]["spec"]["containers"]]
        assert [it["containerResource"]["container"] for it in each["spec"]["metrics"]] == containers


def test_what_an_operator_runs_takes_the_place_of_ours(production):
    ours = {each["metadata"]["name"] for kind in ("StatefulSet", "Deployment") for each in of_kind(kind, production)}
    assert ours & {"elasticsearch", "kibana", "postgres", "prometheus", "rabbitmq"} == set()
    assert "http://elasticsearch:" not in str([each for each in production if each["kind"] != "ConfigMap"])


def secrets_of(value: object) -> Iterator[str]:
    """The Secrets that an object refers to."""
    if isinstance(value, list):
        for each in value:
            yield from secrets_of(each)
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "secretName":
                yield each
            elif key in ("secretRef", "secretKeyRef", "superuserSecret"):
                yield each["name"]
            elif key == "basicAuth":
                yield from (reference["name"] for reference in each.values())
            elif key == "certificateRefs":
                yield from (reference["name"] for reference in each)
            else:
                yield from secrets_of(each)


def test_the_readme_names_every_secret_that_nobody_makes(production):
    table = README.partition("\n| Secret | keys |\n")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    of_services = {f"{each.short}-logins" for each in SERVICES}
    # ECK makes these.
    made = {"elasticsearch-es-elastic-user", "elasticsearch-es-http-certs-public", "kibana-kb-http-certs-public"}
    assert set(secrets_of(production)) - made == named - {"<service>-logins"} | of_services


def test_grafana_asks_elasticsearch_by_the_same_file_as_under_compose(production):
    (source,) = (each for each in yaml_files.load(DATA_SOURCES)["datasources"] if each["uid"] == "elasticsearch")
    (stateful_set,) = (it for it in of_kind("StatefulSet", production) if it["metadata"]["name"] == "grafana")
    (container,) = stateful_set["spec"]["template"]["spec"]["containers"]
    (given,) = (
        it["data"] for it in of_kind("ConfigMap", production) if "grafana-environment" in it["metadata"]["name"]
    )
    of_secrets = {each["name"]: tuple(each["valueFrom"]["secretKeyRef"].values()) for each in container["env"]}
    of_secrets = {name: secret for name, secret in of_secrets.items() if name.startswith("ES_")}
    assert of_secrets == {
        "ES_USERNAME": ("username", "elasticsearch-log-reader"),
        "ES_PASSWORD": ("password", "elasticsearch-log-reader"),
        "ES_CA_CERTIFICATE": ("ca.crt", "elasticsearch-es-http-certs-public"),
    }
    wanted = {each[1:] for each in (source["url"], source["basicAuth"], source["basicAuthUser"])}
    wanted |= {each[1:] for each in source["secureJsonData"].values()}
    assert wanted == of_secrets.keys() | {"ES_HOSTS", "ES_BASIC_AUTH"}
    assert (given["ES_HOSTS"], given["ES_BASIC_AUTH"]) == ("https://elasticsearch-es-http:9200", "true")
    # Grafana starts with neither an empty one nor with what is no boolean.
    assert CONTAINERS["grafana"]["environment"]["ES_BASIC_AUTH"] == "false"
    assert source["jsonData"]["tlsAuthWithCACert"] is True, "no variable can be a boolean there"


def test_the_links_in_messages_lead_through_the_gateway_to_grafana(production):
    (route,) = (each["spec"] for each in of_kind("HTTPRoute", production) if each["metadata"]["name"] == "grafana")
    address = f"https://{route['hostnames'][0]}"
    variables = {"grafana-environment": "GF_SERVER_ROOT_URL", "alertmanager-environment": "GRAFANA_URL"}
    for each in of_kind("ConfigMap", production):
        if variable := variables.pop(each["metadata"]["name"].rpartition("-")[0], ""):
            assert each["data"][variable] == address
    assert variables == {}
    (service,) = (each for each in of_kind("Service", production) if each["metadata"]["name"] == "grafana")
    assert route["rules"] == [
        {"backendRefs": [{"name": "grafana", "port": each["port"]}]} for each in service["spec"]["ports"]
    ]
    (door,) = (
        each["spec"]
        for each in of_kind("NetworkPolicy", production)
        if each["metadata"]["name"] == "from-the-gateway-to-grafana"
    )
    assert door["podSelector"]["matchLabels"] == service["spec"]["selector"]


def test_the_gateway_leads_to_no_page_of_a_service_that_asks_for_no_login(production):
    """Those for Prometheus and for the cluster, /metrics and /health, are not under /api."""
    routes = {each["metadata"]["name"]: each["spec"]["rules"] for each in of_kind("HTTPRoute", production)}
    for service in SERVICES:
        backend = {"name": f"{service.short}-api", "port": service.port}
        api = {"path": {"type": "PathPrefix", "value": "/api"}}
        assert routes.pop(service.name) == [{"matches": [api], "backendRefs": [backend]}]
    assert routes.keys() == {"grafana"}


def test_grafana_asks_for_a_login_before_it_shows_its_metrics_and_prometheus_has_it(production):
    (stateful_set,) = (it for it in of_kind("StatefulSet", production) if it["metadata"]["name"] == "grafana")
    (container,) = stateful_set["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in container["env"]}
    (monitor,) = (it for it in of_kind("ServiceMonitor", production) if it["metadata"]["name"] == "grafana")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["basicAuth"] == {
        key: given[f"GF_METRICS_BASIC_AUTH_{key.upper()}"] for key in ("username", "password")
    }
