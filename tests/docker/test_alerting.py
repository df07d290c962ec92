"""An alert reaches people: from the real rules through the real Alertmanager into an inbox and to Slack's address."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest

from tests.docker.images import ROOT, image
from tests.fixtures.waiting import eventually

SERVICE = "trial-service"  # a name that no rule fires for
GRAFANA = "https://grafana.example"


@pytest.fixture(scope="module")
def stack(docker: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Prometheus, Alertmanager, Mailpit and our stand-in for Slack on a network of their own: the URL of each.

    None of the services runs there, so Prometheus has something to report.
    """
    network = f"all-erp-test-{uuid4().hex[:8]}"
    webhook = tmp_path_factory.mktemp("secrets") / "slack_webhook_url"
    webhook.write_text("http://slack:8080/services/T0/B0/x")
    webhook.chmod(0o644)
    configs = ROOT / "dev-environment"
    started: list[str] = []

    def run(name: str, port: int, *arguments: str) -> str:
        container = f"{network}-{name}"
        started.append(container)
        docker(
            "run", "-d", "--name", container, "--network", network, "--network-alias", name,
            "-p", f"127.0.0.1::{port}", *arguments,
        )  # fmt: skip
        return f"http://{docker('port', container, f'{port}/tcp')}"

    docker("network", "create", network)
    try:
        yield {
            "mailpit": run("mailpit", 8025, image("mailpit")),
            "slack": run("slack", 8080, "-v", f"{Path(__file__).parent}:/tests:ro", PYTHON, "python", "/tests/slack.py"),
            "alertmanager": run(
                "alertmanager", 9093,
                "-v", f"{configs}/alertmanager:/etc/alertmanager:ro",
                "-v", f"{webhook}:/run/secrets/slack_webhook_url:ro", "-e", f"GRAFANA_URL={GRAFANA}",
                "--entrypoint", "sh", image("alertmanager"),
                "/etc/alertmanager/start.sh", "--web.external-url=http://localhost:9093",
            ),
            "prometheus": run(
                "prometheus", 9090, "-v", f"{configs}/prometheus:/etc/prometheus:ro",
                "-e", f"GRAFANA_URL={GRAFANA}", image("prometheus"),
                "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus",
                "--enable-feature=exemplar-storage", "--web.external-url=http://localhost:9090",
            ),
        }  # fmt: skip
    finally:
        for container in started:
            docker("rm", "-f", "-v", container)
        docker("network", "rm", network)


PYTHON = next(
    line.split()[1]
    for line in (ROOT / "services/Dockerfile").read_text().splitlines()
    if line.startswith("FROM python:")
)


def mail(stack: dict[str, str], subject: str) -> str:
    """The body of the mail with this subject, empty while there is none."""
    for message in httpx.get(f"{stack['mailpit']}/api/v1/messages").json()["messages"]:
        if message["Subject"] == subject:
            assert [to["Address"] for to in message["To"]] == ["operators@all-erp.example"]
            return httpx.get(f"{stack['mailpit']}/api/v1/message/{message['ID']}").json()["Text"]
    return ""


def slack_message(stack: dict[str, str], title: str) -> str:
    """The message that Slack has received under this title, empty while there is none."""
    posts = httpx.get(stack["slack"]).json()
    return next((part["text"] for post in posts for part in post["attachments"] if part["title"] == title), "")


def opened(text: str, page: str) -> dict[str, list[str]]:
    """What the link to this page chooses there; it begins an hour before the alert that the text is about."""
    url = next(word for word in text.split() if word.startswith(f"{GRAFANA}/d/{page}?"))
    chosen = parse_qs(urlsplit(url).query)
    since = re.search(r"Since: +(\S+ \S+) UTC", text)
    assert since
    start = datetime.strptime(since[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) - timedelta(hours=1)
    assert datetime.fromtimestamp(int(chosen.pop("from")[0]) // 1000, UTC) == start
    return chosen


@pytest.fixture(scope="module")
def fire(stack: dict[str, str]) -> Callable[..., None]:
    """Send Alertmanager an alert, as Prometheus does."""

    def send(alertname: str, summary: str, severity: str = "warning", **labels: str) -> None:
        alert = {
            "labels": {"alertname": alertname, "severity": severity, "service": SERVICE, **labels},
            "annotations": {
                "summary": summary,
                "description": "Sent by a test.",
                "dashboard": "overview",
                "runbook_url": f"{GRAFANA}/d/runbook-watchdog",
            },
        }
        url = f"{stack['alertmanager']}/api/v2/alerts"
        assert eventually(lambda: httpx.post(url, json=[alert])).status_code == 200

    return send


def test_an_alert_arrives_in_the_inbox_and_at_slack(stack, fire):
    fire("Trial", "Something is on trial")
    texts = (
        eventually(lambda: mail(stack, "[warning] Something is on trial")),
        eventually(lambda: slack_message(stack, "[warning] Something is on trial")),
    )
    for text in texts:
        assert "Sent by a test." in text
        for page in ("runbook-watchdog", "overview"):
            assert opened(text, page) == {"var-job": [SERVICE], "to": ["now"]}
        assert "http://localhost:9093" in text


def test_an_alert_about_the_probe_shows_the_overview_of_all_services(stack, fire):
    fire("ProbeSilent", "The trial is silent", service="probe", job="probe")
    text = eventually(lambda: mail(stack, "[warning] The trial is silent"))
    assert opened(text, "runbook-watchdog")["var-job"] == ["probe"]
    assert opened(text, "overview") == {"to": ["now"]}


def test_what_follows_from_a_service_that_is_down_stays_quiet(stack, fire):
    fire("ServiceDown", "The trial is down", "critical")
    fire("HighErrorRatio", "The trial fails")
    eventually(lambda: mail(stack, "[critical] The trial is down"))

    eventually(lambda: inhibited(stack, "The trial fails"))
    assert mail(stack, "[warning] The trial fails") == ""


def inhibited(stack: dict[str, str], summary: str) -> bool:
    alerts = httpx.get(f"{stack['alertmanager']}/api/v2/alerts").json()
    return any(alert["status"]["inhibitedBy"] for alert in alerts if alert["annotations"]["summary"] == summary)


def test_one_missing_instance_silences_no_other_alert(stack, fire):
    other = {"service": "other-service", "job": "other-service"}
    fire("ReplicaDown", "An instance is missing", **other)
    fire("EventLoopLagging", "Another one lags", instance="other-2:3010", **other)
    fire("ErrorBudgetBurnsFast", "All of it fails", "critical", slo="availability", **other)
    assert eventually(lambda: mail(stack, "[critical] All of it fails"))
    assert not inhibited(stack, "Another one lags")
    assert not inhibited(stack, "All of it fails")


@pytest.mark.timeout(300)
def test_prometheus_reports_a_service_that_is_down(stack):
    text = eventually(lambda: mail(stack, "[critical] budget-service is down"), 200)
    assert "Prometheus has had no metrics from it for a minute." in text
    for page in ("runbook-service-down", "service"):
        assert opened(text, page) == {"var-job": ["budget-service"], "to": ["now"]}
    assert "http://localhost:9090/graph" in text
    assert eventually(lambda: slack_message(stack, "[critical] budget-service is down")).startswith("<!channel> ")
    alerts = httpx.get(f"{stack['alertmanager']}/api/v2/alerts").json()
    assert not any("grafana_url" in alert["labels"] for alert in alerts)


def test_the_watchdog_notifies_nobody(stack):
    """The alert fires from the first evaluation on, so a mail would have arrived by now."""
    shown = httpx.get(f"{stack['alertmanager']}/api/v2/alerts").json()
    assert [alert["receivers"] for alert in shown if alert["labels"]["alertname"] == "Watchdog"] == [
        [{"name": "nobody"}]
    ]
    assert mail(stack, "[none] Alerting works") == ""
