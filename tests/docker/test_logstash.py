"""The official Logstash turns every golden line, by file and by TCP, into the document that the model predicts."""

import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.docker.images import ROOT, compose_service, image
from tests.docker.official import official
from tests.fixtures.golden_lines import DAY, GOLDEN, line
from tests.fixtures.waiting import eventually

CONFIG = ROOT / "dev-environment/logstash"
HOME = "/usr/share/logstash"

pytestmark = pytest.mark.timeout(900)


class Logstash:
    """A Logstash that reads a folder of the tests and a port, and the documents that it has stored."""

    def __init__(self, logs: Path, address: tuple[str, int], client: httpx.Client, restart: Callable[[], None]) -> None:
        self.file = logs / "auth-service/combined.log"
        self.file.parent.mkdir()
        self._address = address
        self._client = client
        self.restart = restart

    def write(self, *lines: str) -> None:
        with self.file.open("a") as file:
            file.writelines(f"{each}\n" for each in lines)

    def send(self, *lines: str) -> None:
        with socket.create_connection(self._address) as connection:
            connection.sendall("".join(f"{each}\n" for each in lines).encode())

    def documents(self) -> list[tuple[str, dict[str, Any]]]:
        self._client.post("/logs-*/_refresh")
        hits = self._client.get("/logs-*/_search?size=1000").raise_for_status().json()["hits"]["hits"]
        return [(hit["_index"], hit["_source"]) for hit in hits]

    def forbid(self, index: str) -> None:
        """Make an index that rejects every document."""
        self._client.put(f"/{index}", json={"mappings": {"dynamic": "strict", "properties": {}}}).raise_for_status()

    def saying(self, message: str) -> list[dict[str, Any]]:
        return [document for _, document in self.documents() if document.get("message") == message]


@pytest.fixture(scope="module")
def mounts() -> list[str]:
    """The pipelines and settings, mounted where the compose file mounts them."""
    return [
        "-v", f"{CONFIG}:{HOME}/pipeline:ro",
        "-v", f"{CONFIG.parent}/elasticsearch:{HOME}/elasticsearch:ro",
        "-v", f"{CONFIG}/logstash.yml:{HOME}/config/logstash.yml:ro",
        "-v", f"{CONFIG}/pipelines.yml:{HOME}/config/pipelines.yml:ro",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def logstash(
    docker: Callable[..., str],
    mounts: list[str],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Logstash]:
    """The official Logstash, ready, on the network of an Elasticsearch that has been set up."""
    reference = official(docker, image("logstash"))
    client, network = request.getfixturevalue("elasticsearch")
    request.getfixturevalue("set_up_elasticsearch")()
    logs = tmp_path_factory.mktemp("logs")
    logs.chmod(0o755)
    name = f"all-erp-test-{uuid4().hex[:8]}"
    options = compose_service("logstash")["environment"]["LS_JAVA_OPTS"]
    try:
        docker(
            "run", "-d", "--name", name, "--network", network, "-e", f"LS_JAVA_OPTS={options}",
            "-p", "127.0.0.1::5000", "-p", "127.0.0.1::9600", "-v", f"{logs}:/var/log/app:ro", *mounts, reference,
            "bash", "-c", "mkdir -p data/dead_letter_queue/app-logs && exec logstash",
        )  # fmt: skip

        def ready() -> bool:
            address = docker("port", name, "9600/tcp")
            return httpx.get(f"http://{address}/?wait_for_status=green&timeout=5s", timeout=10).is_success

        def restart() -> None:
            docker("restart", "-t", "60", name)
            eventually(ready, 300, "Logstash is not ready after its restart")

        eventually(ready, 300, "Logstash is not ready")
        host, _, port = docker("port", name, "5000/tcp").rpartition(":")
        yield Logstash(logs, (host, int(port)), client, restart)
    finally:
        docker("rm", "-f", "-v", name)


@pytest.fixture(scope="module")
def golden_documents(logstash: Logstash) -> list[tuple[str, dict[str, Any]]]:
    """The documents of all golden lines, once the last line by file and the last by TCP have arrived."""
    logstash.write(*(each.line for each in GOLDEN if "file" in each.by), line("the last by file"))
    logstash.send(*(each.line for each in GOLDEN if "tcp" in each.by), line("the last by TCP"))
    for last in ("the last by file", "the last by TCP"):
        eventually(lambda last=last: logstash.saying(last), 120, f"{last} has not arrived")
    return logstash.documents()


@pytest.mark.parametrize("file", ["logstash.conf", "dead-letters.conf"])
def test_logstash_accepts_the_pipeline(docker, mounts, file):
    said = docker("run", "--rm", *mounts, official(docker, image("logstash")), "-t", "-f", f"{HOME}/pipeline/{file}")
    assert "Configuration OK" in said


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.what)
def test_a_line_becomes_its_document_once(golden, golden_documents):
    today = f"{datetime.now(UTC):%Y.%m.%d}"
    found = [document for index, document in golden_documents if golden.matches(index, document, today)]
    assert len(found) == 1, f"{len(found)} documents match {golden.what}"


def test_what_elasticsearch_refuses_becomes_a_dead_letter(logstash):
    logstash.forbid("logs-narrow-service-" + DAY)
    logstash.write(line("refused", service="narrow-service", **{"a[b]": {"c": 1}, "order_id": 7}))

    def letter() -> dict[str, Any] | None:
        letters = [document for index, document in logstash.documents() if index.startswith("logs-dead-letter-")]
        return next((each for each in letters if json.loads(each["message"])["message"] == "refused"), None)

    found = eventually(letter, 120, "no dead letter holds the refused line")
    assert (found["service"], found["level"]) == ("dead-letter", "error")
    assert "strict" in found["error"]["message"]
    assert json.loads(found["message"])["a[b]"] == {"c": 1}


def test_a_renamed_file_is_read_to_its_end(logstash):
    logstash.write(line("before the rename"))
    eventually(lambda: logstash.saying("before the rename"), 60)
    logstash.write(line("just before the rename"))
    logstash.file.rename(logstash.file.with_name("combined.log.20261124T081500.123456.17"))
    logstash.write(line("after the rename"))
    for message in ("just before the rename", "after the rename"):
        assert len(eventually(lambda message=message: logstash.saying(message), 60)) == 1


def test_nothing_is_read_twice_or_lost_over_a_restart(logstash, golden_documents):
    before = len(logstash.documents())
    logstash.restart()
    logstash.write(line("after the restart"))
    eventually(lambda: logstash.saying("after the restart"), 120)
    assert len(logstash.documents()) == before + 1
