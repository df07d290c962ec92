"""The back ends that may run with the services: where each answers, and whether a silent one is a skip or a failure."""

from dataclasses import dataclass

import httpx
import pytest
from stack.settings import Settings

from tests.fixtures.strict import missing

ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class BackEnd:
    """A back end: its name, the variable of its port, and the path of its health check."""

    name: str
    port_variable: str
    health: str

    def url(self, settings: Settings) -> str:
        """The base URL, whether or not the back end runs."""
        return f"http://127.0.0.1:{settings.port(self.port_variable)}"


PROMETHEUS = BackEnd("Prometheus", "PROMETHEUS_PORT", "/-/ready")
ALERTMANAGER = BackEnd("Alertmanager", "ALERTMANAGER_PORT", "/-/ready")
GRAFANA = BackEnd("Grafana", "GRAFANA_PORT", "/api/health")
JAEGER = BackEnd("Jaeger", "JAEGER_UI_PORT", "/api/v3/services")
ELASTICSEARCH = BackEnd("Elasticsearch", "ELASTICSEARCH_PORT", "/_cluster/health")
LOKI = BackEnd("Loki", "LOKI_PORT", "/ready")
KIBANA = BackEnd("Kibana", "KIBANA_PORT", "/api/status")


def client(back_end: BackEnd, settings: Settings, auth: tuple[str, str] | None = None) -> httpx.Client:
    """Return a client of a back end. If nothing listens, the test is skipped; if the health check fails, the test fails."""
    url = back_end.url(settings)
    state = _state(url + back_end.health)
    if not state:
        missing(f"{back_end.name} does not answer at {url}")
    if state != "200":
        pytest.fail(f"{back_end.name} at {url} is not healthy: {state} from {back_end.health}", pytrace=False)
    return httpx.Client(base_url=url, auth=auth, timeout=30)


def _state(url: str) -> str:
    """The status code of the answer, or the name of the error; empty if nothing listens."""
    try:
        return str(httpx.get(url, timeout=ANSWER_SECONDS).status_code)
    except httpx.ConnectError:
        return ""
    except httpx.TransportError as error:
        return type(error).__name__
