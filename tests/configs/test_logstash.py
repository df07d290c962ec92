"""The pipelines parse, name their steps, and turn every kind of line into the document that the back ends expect."""

import fnmatch
import json
import logging
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.observability import files as log_files
from libs.observability.logs.lines import Line, LineFormatter
from libs.observability.settings import TelemetrySettings

if sys.version_info >= (3, 14):
    pytest.skip("logstash-pipeline-parser is not made for this Python", allow_module_level=True)

from tests.fixtures import pipeline
from tests.fixtures.golden_lines import FILE, GOLDEN, line

FOLDER = Path(__file__).parents[2] / "dev-environment/logstash"
FILES = ("logstash.conf", "dead-letters.conf")
ROTATED = f"{FILE}.20261124T081500.123456.17"


def plugins(steps: list[Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every plugin of a section, those within conditions included, with its options."""
    found = []
    for name, options in steps:
        if name in ("if", "else if", "else"):
            found += plugins(pipeline.steps_of(options[-1] if name != "else" else options))
        else:
            found.append((name, {option: values[0] for option, values in options}))
    return found


def all_plugins(file: str) -> list[tuple[str, dict[str, Any]]]:
    return [plugin for steps in pipeline.sections(FOLDER / file).values() for plugin in plugins(steps)]


def plugin(name: str, file: str = "logstash.conf") -> dict[str, Any]:
    return next(options for kind, options in all_plugins(file) if kind == name)


@pytest.mark.parametrize("file", FILES)
def test_a_pipeline_parses_and_each_step_has_an_id_of_its_own(file):
    ids = [options.get("id") for _, options in all_plugins(file)]
    assert None not in ids
    assert len(ids) == len(set(ids))


def test_pipelines_yml_names_each_pipeline_file():
    declared = {each["pipeline.id"]: each for each in yaml.safe_load((FOLDER / "pipelines.yml").read_text())}
    assert {Path(each["path.config"]).name for each in declared.values()} == set(FILES)
    source = plugin("dead_letter_queue", "dead-letters.conf")["pipeline_id"]
    assert declared[source]["dead_letter_queue.enable"] is True
    assert declared[source]["queue.type"] == "persisted"


def test_events_go_to_the_index_of_their_service_and_day_and_never_to_a_data_stream():
    indices = {file: plugin("elasticsearch", file)["index"] for file in FILES}
    assert indices == {
        "logstash.conf": "logs-%{service}-%{+YYYY.MM.dd}",
        "dead-letters.conf": "logs-dead-letter-%{+YYYY.MM.dd}",
    }
    for file in FILES:
        output = plugin("elasticsearch", file)
        assert (output["data_stream"], output["manage_template"], output["ilm_enabled"]) == ("false", False, "false")


def test_the_inputs_are_those_that_were_specified():
    files, tcp = plugin("file"), plugin("tcp")
    assert "/var/log/app/*.log" in files["path"]
    assert files["start_position"] == "beginning"
    assert tcp["port"] == 5000
    assert (files["codec"][0], tcp["codec"][0]) == ("json", "json_lines")


@pytest.mark.parametrize(
    ("path", "is_read"),
    [
        ("/var/log/app/combined.log", True),
        (FILE, True),
        (ROTATED, True),
        ("/var/log/app/auth-service/combined.log.1", True),
        ("/var/log/app/auth-service/combined.log-20261124", True),
        ("/var/log/app/auth-service/combined.log.20261124T081500.123456.17.gz", False),
        ("/var/log/app/auth-service/error.log", False),
        ("/var/log/app/auth-service/error.log.20261124T081500.123456.17", False),
    ],
)
def test_logstash_reads_what_the_services_write_and_no_error_twice(path, is_read):
    options = plugin("file")
    # Logstash's asterisk, unlike Python's, does not cross a slash.
    patterns = [re.compile(fnmatch.translate(glob).replace(".*", "[^/]*")) for glob in options["path"]]
    taken = any(pattern.match(path) for pattern in patterns)
    left_out = any(fnmatch.fnmatch(Path(path).name, glob) for glob in options["exclude"])
    assert (taken and not left_out) == is_read


def test_a_full_file_gets_a_name_that_is_read(tmp_path):
    file = log_files.RotatingFile(tmp_path / "combined.log", 10, 5)
    for _ in range(2):
        file.write(b"a line that is longer\n")
    file.close()
    (renamed,) = log_files.rotated(tmp_path / "combined.log")
    name = Path(plugin("file")["path"][-1]).name
    assert fnmatch.fnmatch(renamed.name, name)


@pytest.mark.parametrize(
    ("golden", "way"), [pytest.param(each, way, id=f"{each.what}, {way}") for each in GOLDEN for way in each.by]
)
def test_a_line_becomes_its_document_in_the_model(golden, way):
    ((index, _, document),) = pipeline.documents(golden.line, FILE if way == "file" else None)
    assert golden.matches(index, document, f"{pipeline.RECEIVED:%Y.%m.%d}"), (index, document)


def test_the_service_of_a_line_that_names_none_is_its_folder_or_its_file():
    services = {
        path: pipeline.documents("plain text", path)[0][2]["service"]
        for path in (FILE, ROTATED, "/var/log/app/billing.log", "/var/log/app/billing.log.1")
    }
    assert list(services.values()) == ["auth-service", "auth-service", "billing", "billing"]


def test_a_line_that_comes_twice_has_one_id_and_two_lines_have_two():
    by_file, by_tcp = (pipeline.documents(line("once"), way)[0][1] for way in (FILE, None))
    assert by_file == by_tcp
    assert pipeline.documents(line("twice"), FILE)[0][1] != by_file
    assert pipeline.documents(line("once", timestamp="2026-11-23T05:37:21.123457Z"), FILE)[0][1] != by_file
    assert pipeline.documents("plain", FILE)[0][1] != pipeline.documents("plain", FILE)[0][1]


def test_what_the_shared_layer_writes_passes_unchanged():
    settings = TelemetrySettings.for_service("budget-service")
    formatter = LineFormatter(settings)
    made = Line(1795412241.123456, logging.WARNING, "allocation made", "budget", {"amount": "10.00"})
    line = formatter.encode(made).decode()
    fields = json.loads(line)
    ((index, _, document),) = pipeline.documents(line.rstrip(), FILE)
    assert index == "logs-budget-service-2026.11.23"
    assert {name: document[name] for name in fields} == fields
    assert set(document) - set(fields) == {"@timestamp", "tags"}
    assert abs(datetime.fromisoformat(document["@timestamp"]).timestamp() - 1795412241.123) < 1e-6
