"""Fixtures for an Elasticsearch in a container of the tests, and for its set-up."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx
import pytest

from tests.docker.images import ROOT, image
from tests.fixtures.waiting import eventually


@pytest.fixture(scope="module")
def elasticsearch(docker: Callable[..., str]) -> Iterator[tuple[httpx.Client, str]]:
    """An empty Elasticsearch: a client of it, and the name of its network, on which its host name is elasticsearch."""
    name = f"all-erp-test-{uuid4().hex[:8]}"
    docker("network", "create", name)
    try:
        docker(
            "run", "-d", "--name", name, "--network", name, "--network-alias", "elasticsearch",
            "-p", "127.0.0.1::9200", "-e", "discovery.type=single-node", "-e", "xpack.security.enabled=false",
            "-e", "ES_JAVA_OPTS=-Xms384m -Xmx384m", image("elasticsearch"),
        )  # fmt: skip
        with httpx.Client(base_url=f"http://{docker('port', name, '9200/tcp')}", timeout=30) as client:
            eventually(
                lambda: client.get("/_cluster/health?wait_for_status=yellow&timeout=5s").is_success,
                120,
                "Elasticsearch does not start",
            )
            yield client, name
    finally:
        docker("rm", "-f", "-v", name)
        docker("network", "rm", name)


@pytest.fixture(scope="module")
def set_up_elasticsearch(docker: Callable[..., str], elasticsearch: tuple[httpx.Client, str]) -> Callable[..., str]:
    """Run the set-up and return its output."""
    _, network = elasticsearch

    def run(*options: str) -> str:
        return docker(
            "run", "--rm", "--network", network, "-v", f"{ROOT}/dev-environment/elasticsearch:/setup:ro", *options,
            "--entrypoint", "bash", image("elasticsearch-setup"), "/setup/setup.sh",
        )  # fmt: skip

    return run
