"""A copy of the folder works under any name, with the packages that its README lists and nothing else of this repository.

`make test-versions` runs this with `COPY_PYTHON`, the Python of an empty environment that holds only those packages.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from stack.ports import free_port

from tests.fixtures.telemetry import read_lines
from tests.fixtures.waiting import eventually
from tests.libs.observability.conftest import ROOT
from tests.libs.observability.receivers import decode_otlp, http_collector

LAYER = ROOT / "libs" / "observability"
README = (LAYER / "README.md").read_text()
[SNIPPET] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
[INSTALL] = re.findall(r"```sh\n(pip install .*)\n```", README)
PYTHON = os.environ.get("COPY_PYTHON", sys.executable)

Serve = Callable[..., AbstractContextManager[str]]


def copy(folder: Path, name: str) -> None:
    """Copies the layer to be the package `name`, and the snippet of its README to be `app.py`, which imports that."""
    target = folder.joinpath(*name.split("."))
    shutil.copytree(LAYER, target, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "app.py").write_text(SNIPPET.replace("from observability import", f"from {name} import"))


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """`with serve() as url:` the copied app runs under uvicorn; afterwards it has stopped by itself."""

    @contextmanager
    def run(**given: str) -> Iterator[str]:
        port = free_port()
        environment = {"PATH": os.environ["PATH"], "LOG_DIR": str(tmp_path / "logs"), **given}
        command = [PYTHON, "-m", "uvicorn", "app:app", "--port", str(port)]
        with (tmp_path / "console").open("w") as console:
            process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=console, stderr=console)
        try:
            url = f"http://127.0.0.1:{port}"
            eventually(lambda: answers(process, url), 30, (tmp_path / "console").read_text)
            yield url
        finally:
            process.terminate()
            process.wait(20)

    return run


def answers(process: subprocess.Popen[bytes], url: str) -> bool:
    """Whether the app answers; no longer asked once it has ended."""
    assert process.poll() is None
    try:
        return bool(get(url + "/metrics"))
    except urllib.error.URLError:
        return False


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def spans_in(file: Path) -> list[dict[str, Any]]:
    batches = [json.loads(line) for line in file.read_text().splitlines()]
    return [span for batch in batches for each in batch["resourceSpans"] for span in each["scopeSpans"][0]["spans"]]


@pytest.mark.parametrize("name", ["observability", "signals", "shop.common.telemetry"])
def test_the_readmes_snippet_leaves_a_line_a_count_and_a_span(serve, tmp_path, name):
    copy(tmp_path, name)
    with serve(TRACES_DIR=str(tmp_path / "traces")) as url:
        assert json.loads(get(url + "/orders/7")) == {"id": 7}
        counted = 'http_requests_total{handler="/orders/{id}",method="GET",status="2xx"} 1.0'
        assert counted in get(url + "/metrics")
    ours = [line for line in read_lines(tmp_path / "logs") if "trace_id" in line]
    assert [line["message"] for line in ours] == ["order read", "request handled"]
    assert {line["service"] for line in ours} == {"order-service"}
    assert (ours[0]["order_id"], ours[1]["http"]["route"]) == (7, "/orders/{id}")
    [span] = spans_in(tmp_path / "traces" / "spans.jsonl")
    assert (span["name"], span["traceId"]) == ("GET /orders/{id}", ours[0]["trace_id"])
    assert {line["level"] for line in read_lines(tmp_path / "logs")} == {"info"}


@pytest.mark.parametrize("is_there", [True, False])
def test_without_the_folder_fast_the_spans_still_arrive_by_otlp(serve, tmp_path, is_there):
    copy(tmp_path, "signals")
    if not is_there:
        shutil.rmtree(tmp_path / "signals" / "fast")
    with http_collector() as collector, serve(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as url:
        get(url + "/orders/7")
        get(url + "/orders/8")
        eventually(lambda: collector.requests, 20)
    assert [name for _, _, body in collector.requests for name in decode_otlp(body)] == ["GET /orders/{id}"] * 2
    assert {line["level"] for line in read_lines(tmp_path / "logs")} == {"info"}


def test_a_copy_finds_nothing_of_this_repository(tmp_path):
    program = "import importlib.util as u, sys; sys.exit(any(map(u.find_spec, ('libs', 'services', 'stack'))))"
    assert subprocess.run([PYTHON, "-c", program], cwd=tmp_path, env={"PATH": os.environ["PATH"]}).returncode == 0


def test_the_readme_lists_the_packages_of_the_dependency_groups():
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert shlex.split(INSTALL)[2:] == groups["observability"]
    named = [each for code in re.findall(r"`('[^`]*')`", README) for each in shlex.split(code)]
    assert named == groups["observability-optional"]
