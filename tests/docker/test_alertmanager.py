"""The real amtool accepts and follows the configuration that start.sh builds from variables and secrets."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.docker.images import ROOT, image

FOLDER = ROOT / "dev-environment/alertmanager"
RENDERED = "/alertmanager/alertmanager.yml"
WEBHOOK = "https://hooks.slack.example/services/T0/B0/x"
LOGIN = {"SMTP_USERNAME": "alerts", "SMTP_SMARTHOST": "mail.example:587", "SMTP_REQUIRE_TLS": "true"}


@pytest.fixture
def after_start(docker: Callable[..., str], tmp_path: Path) -> Callable[..., str]:
    """Run a shell command in a container after start.sh has filled in the configuration there."""

    def run(command: str, *, mode: int = 0o644, slack: str = "", **variables: str) -> str:
        options: list[str] = []
        for name, secret in (("slack_webhook_url", slack), ("smtp_password", "not-a-real-one")):
            file = tmp_path / name
            file.write_text(secret)
            file.chmod(mode)
            options += ["-v", f"{file}:/run/secrets/{name}:ro"]
        for name, value in variables.items():
            options += ["-e", f"{name}={value}"]
        script = f"sh /etc/alertmanager/start.sh --version >/dev/null && {command}"
        mount = f"{FOLDER}:/etc/alertmanager:ro"
        return docker("run", "--rm", "-v", mount, *options, "--entrypoint", "sh", image("alertmanager"), "-c", script)

    return run


@pytest.mark.parametrize("slack", ["", WEBHOOK], ids=["without Slack", "with Slack"])
@pytest.mark.parametrize("variables", [{}, LOGIN], ids=["without login", "with login"])
def test_the_configuration_is_valid(after_start, slack, variables):
    rendered = after_start(f"amtool check-config {RENDERED} >&2 && cat {RENDERED}", slack=slack, **variables)
    assert "@" not in rendered.replace("operators@all-erp.example", "").replace("alerts@all-erp.example", "")
    assert ("slack" in rendered, "smtp_auth" in rendered) == (bool(slack), bool(variables))
    assert WEBHOOK not in rendered


@pytest.mark.parametrize("slack", ["", WEBHOOK], ids=["without Slack", "with Slack"])
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=ServiceDown severity=critical service=auth-service", "critical"),
        ("alertname=HighCpuUsage severity=warning service=host", "warning"),
        ("alertname=Watchdog severity=none service=prometheus", "nobody"),
    ],
)
def test_an_alert_goes_to_the_receiver_of_its_severity(after_start, slack, labels, receiver):
    after_start(
        f"amtool config routes test --config.file={RENDERED} --verify.receivers={receiver} {labels}", slack=slack
    )


@pytest.mark.parametrize(
    ("variables", "addresses"),
    [
        ({}, {"critical": "operators@all-erp.example", "warning": "operators@all-erp.example"}),
        ({"ALERT_EMAIL_TO": "a@mail.example"}, {"critical": "a@mail.example", "warning": "a@mail.example"}),
        (
            {"ALERT_CRITICAL_EMAIL_TO": "pager@mail.example"},
            {"critical": "pager@mail.example", "warning": "operators@all-erp.example"},
        ),
    ],
)
def test_what_is_critical_may_go_to_an_address_of_its_own(after_start, variables, addresses):
    config = yaml.safe_load(after_start(f"cat {RENDERED}", **variables))
    assert addresses == {
        each["name"]: each["email_configs"][0]["to"] for each in config["receivers"] if "email_configs" in each
    }


def test_values_are_taken_as_they_are(after_start):
    odd = r"o'brien&a|b\c@mail.example"
    rendered = after_start(f"amtool check-config {RENDERED} >&2 && cat {RENDERED}", ALERT_EMAIL_TO=odd)
    assert [
        to["to"] for receiver in yaml.safe_load(rendered)["receivers"] for to in receiver.get("email_configs", [])
    ] == [odd, odd]


def test_a_secret_that_cannot_be_read_is_named(after_start):
    with pytest.raises(subprocess.CalledProcessError) as refused:
        after_start("true", slack=WEBHOOK, mode=0o600)
    assert refused.value.returncode == 1
    assert "cannot read the secret /run/secrets/slack_webhook_url" in refused.value.stderr
