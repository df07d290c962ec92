"""The official Kibana accepts the set-up twice, and then has the data view, the searches and the dashboard."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx
import pytest

from tests.docker.images import ROOT, image
from tests.docker.official import official
from tests.fixtures.waiting import eventually

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def kibana(docker: Callable[..., str], request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A Kibana that has been set up twice."""
    reference = official(docker, image("kibana"))
    _, network = request.getfixturevalue("elasticsearch")
    name = f"all-erp-test-{uuid4().hex[:8]}"
    try:
        docker(
            "run", "-d", "--name", name, "--network", network, "--network-alias", "kibana",
            "-p", "127.0.0.1::5601", "-e", "ELASTICSEARCH_HOSTS=http://elasticsearch:9200", reference,
        )  # fmt: skip
        with httpx.Client(base_url=f"http://{docker('port', name, '5601/tcp')}", timeout=30) as client:
            eventually(lambda: client.get("/api/status").is_success, 300, "Kibana is not available")
            for _ in range(2):
                docker(
                    "run", "--rm", "--network", network, "-e", "JAEGER_URL=http://localhost:26686",
                    "-v", f"{ROOT}/dev-environment/kibana:/setup:ro",
                    "--entrypoint", "bash", image("kibana-setup"), "/setup/setup.sh",
                )  # fmt: skip
            yield client
    finally:
        docker("rm", "-f", "-v", name)


def test_the_data_view_is_the_default_and_leads_from_a_line_to_its_trace(kibana):
    view = kibana.get("/api/data_views/data_view/app-logs").raise_for_status().json()["data_view"]
    assert (view["title"], view["timeFieldName"]) == ("logs-*", "@timestamp")
    assert "http://localhost:26686/trace/" in view["fieldFormats"]["trace_id"]["params"]["urlTemplate"]
    assert kibana.get("/api/data_views/default").json() == {"data_view_id": "app-logs"}


def test_the_searches_and_the_dashboard_are_there_once(kibana):
    found = kibana.get("/api/saved_objects/_find", params={"type": ["search", "dashboard"]}).raise_for_status().json()
    assert sorted(each["id"] for each in found["saved_objects"]) == [
        "app-logs",
        "app-logs-errors",
        "app-logs-service-errors",
        "app-logs-trace",
    ]
