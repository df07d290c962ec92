"""The link of every alert leads to the text of its runbook where no Grafana runs, and to no other file."""

import pytest
from fastapi import FastAPI
from page import runbooks
from stack.settings import ROOT
from starlette.testclient import TestClient

from tests.configs.test_prometheus import ALERTS


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    app.include_router(runbooks.router)
    return TestClient(app)


def test_the_link_of_every_alert_leads_to_the_text_of_its_runbook(client):
    for rule in ALERTS.values():
        path = rule["annotations"]["runbook_url"].partition("}}")[2]
        answer = client.get(path)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        name = path.removeprefix("/d/runbook-")
        assert answer.text == (ROOT / f"dev-environment/runbooks/{name}.md").read_text()


@pytest.mark.parametrize("name", ["no-such", "..%2FREADME", "..%2f..%2FREADME", ""])
def test_no_other_file_is_shown(client, name):
    assert client.get(f"/d/runbook-{name}").status_code == 404
