"""The pipelines parse, name their steps, and turn every kind of line into the document that the back ends expect."""

import fnmatch
import json
import logging
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.observability import files as log_files
from libs.observability.logs.lines import Line, LineFormatter
from libs.observability.settings import TelemetrySettings

if sys.version_info >= (3, 14):
    pytest.skip("logstash-pipeline-parser is not made for this Python", allow_module_level=True)

from tests.fixtures import pipeline, pipeline_scripts
from tests.fixtures.golden_lines import DAY, EPOCH, FILE, GOLDEN, at, line
from tests.fixtures.strict import missing

FOLDER = Path(__file__).parents[2] / "dev-environment/logstash"
FILES = ("logstash.conf", "dead-letters.conf")
DEEP = "nested too deep for Python to write it"
ROTATED = f"{FILE}.20261124T081500.123456.17"
SECOND = FILE.replace("/combined", "/2/combined")


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
        ("/var/log/app/auth-service/2/combined.log", True),
        ("/var/log/app/auth-service/2/combined.log.00000001.20261124T081500.17", True),
        ("/var/log/app/auth-service/2/error.log", False),
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
        for path in (FILE, ROTATED, SECOND, "/var/log/app/billing.log", "/var/log/app/billing.log.1")
    }
    assert list(services.values()) == ["auth-service", "auth-service", "auth-service", "billing", "billing"]


def ids(text: str, file: str | None = FILE) -> list[str]:
    return [identity for _, identity, _ in pipeline.documents(text, file)]


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.what)
def test_a_line_that_comes_twice_or_by_another_way_has_one_short_id(golden):
    (once,) = ids(golden.line)
    assert ids(golden.line) == ids(golden.line, None) == [once]
    assert re.fullmatch("[0-9a-f]{64}", once)


def test_lines_that_differ_in_anything_have_ids_of_their_own():
    http = {"method": "GET", "path": "/", "status_code": 200}
    lines = [
        *(line("done", allocation_id=each, log_id="the same") for each in range(10)),
        *(line("done", http={**http, **change}) for change in ({}, {"path": "/a"}, {"status_code": 500})),
        *(line("done", **{name: "x"}) for name in ("user_id", "error", "a.b", "a[b]", "", "x" * 300, "x" * 301)),
        *(line("done", user_id=value) for value in (None, "", 0, "0", False, [], {}, [None])),
        *("plain", "plain ", '{"a": 1', '{"a": [1, 2]}', '{"a": [2, 1]}'),
    ]
    assert len({identity for each in lines for identity in ids(each)}) == len(lines)
    assert len(set(ids('[{"a": 1}, {"a": 2}]'))) == 2


@pytest.mark.parametrize(
    ("days", "own_day"), [(-8, False), (-6, True), (-1, True), (0, True), (0.9, True), (2, False), (40_000, False)]
)
def test_a_time_near_the_arrival_chooses_the_index_and_no_other(days, own_day):
    when = pipeline.RECEIVED + timedelta(days=days)
    ((index, _, document),) = pipeline.documents(line("near or far", timestamp=when.isoformat()), FILE)
    assert index.endswith(f"{when if own_day else pipeline.RECEIVED:%Y.%m.%d}")
    assert ("_timestamp_out_of_bounds" in document["tags"]) == (not own_day)


def test_no_time_is_kept_longer_than_the_retention():
    phases = json.loads((FOLDER.parent / "elasticsearch/ilm.json").read_text())["policy"]["phases"]
    assert f"{limits()['days_back']}d" == phases["delete"]["min_age"]


def limits() -> dict[str, Any]:
    (options,) = (options for kind, options in all_plugins("logstash.conf") if options.get("id") == "limits")
    return {name: values[0] for name, values in options["script_params"]}


def test_services_without_end_share_one_index_and_leave_room_for_ours():
    pipeline_scripts.forget()
    indices = set()
    for number in range(500):
        ((index, _, document),) = pipeline.documents(line("flood", service=f"s{number}"), None)
        indices.add(index)
    assert (document["service"], document["extra"]["service"], document["tags"]) == ("other", "s499", ["other"])
    assert len(indices) == limits()["services"] + 1
    assert pipeline.documents(line("ours", service="budget-service"))[0][2]["service"] == "budget-service"
    assert pipeline.documents(line("first", service="s3"))[0][2]["service"] == "s3"
    pipeline_scripts.forget()


def test_names_without_end_do_not_keep_a_field_from_being_found():
    pipeline_scripts.forget()
    for number in range(50):
        pipeline.documents(line("names", **{f"n{number}_{each}": each for each in range(40)}), FILE)
    ((_, _, document),) = pipeline.documents(line("late", order_id="A-1", n0_0=1), FILE)
    assert (document["extra"], document["n0_0"]) == ({"order_id": "A-1"}, 1)
    limit = json.loads((FOLDER.parent / "elasticsearch/template.json").read_text())["template"]["settings"]["index"]
    assert 2 * limits()["fields"] + 100 <= limit["mapping"]["total_fields"]["limit"]
    pipeline_scripts.forget()


def run_in_ruby(script: str, parameters: dict[str, Any], events: list[Any]) -> list[Any]:
    if not shutil.which("ruby"):
        missing("there is no Ruby, which shows that the scripts do what their model does")
    texts = [json.dumps(each).replace(": Infinity", ": 1e999") for each in events]
    texts = [each.replace(f'"{DEEP}"', '{"a":' * 5000 + "1" + "}" * 5000) for each in texts]
    done = subprocess.run(
        ["ruby", "tests/fixtures/scripts.rb", FOLDER / script, json.dumps(parameters)],
        input="\n".join(texts),
        capture_output=True, text=True, check=True, cwd=FOLDER.parents[1],
    )  # fmt: skip
    return [json.loads(each)[0] for each in done.stdout.splitlines()]


@pytest.mark.parametrize("script", ["fields.rb", "limits.rb"])
def test_a_script_does_in_ruby_what_it_does_in_the_model(script, monkeypatch):
    parameters = limits() | {"template": str(FOLDER.parent / "elasticsearch/template.json")}
    parameters["ours"] = parameters["ours"].partition(":")[2].rstrip("}")
    modelled = pipeline_scripts.SCRIPTS[script]
    events, wanted = [], []

    def record(event: dict[str, Any], options: dict[str, Any]) -> None:
        events.append(deepcopy(event))
        modelled(event, options)
        wanted.append(deepcopy(event))

    pipeline_scripts.forget()
    monkeypatch.setitem(pipeline.SCRIPTS, script, record)
    for golden in GOLDEN:
        pipeline.documents(golden.line, FILE)
    for given, found, expected in zip(events, run_in_ruby(script, parameters, events), wanted, strict=True):
        # The order of fields in a text is each language's own where a number has no end.
        assert found == expected, str(given)[:1000]


def test_a_line_that_a_script_fails_at_is_kept_as_text(tmp_path):
    template = tmp_path / "template.json"
    template.write_text('{"template": {"mappings": {"properties": {"order": 7}}}}')
    lines = [{"message": "failing", "order": {"a": 1}}, {"message": "fine"}, {"message": DEEP}]
    events = [{"line": each, "message_json": {}, "@metadata": {}} for each in lines]
    failing, fine, deepest = run_in_ruby("fields.rb", {"template": str(template)}, events)
    assert fine["@metadata"]["line"] == '{"message":"fine"}'
    for event, kind, part in ((failing, "TypeError", '"failing"'), (deepest, "SystemStackError", '"message"')):
        assert event["tags"] == ["_rubyexception"]
        assert event["extra"]["exception"].startswith(kind)
        assert part in event["message"]
        assert event["@metadata"] == {"line": event["message"], "identity": event["message"]}
        assert set(event) == {"message", "tags", "extra", "@metadata"}


def test_a_line_that_a_script_gives_back_untouched_has_an_id_and_a_service(monkeypatch):
    monkeypatch.setitem(pipeline.SCRIPTS, "fields.rb", lambda event, _: event.update(tags=["_rubyexception"]))
    identities = set()
    for text in (line("one", order=7), line("two"), "plain"):
        ((index, identity, document),) = pipeline.documents(text, FILE)
        identities.add(identity)
        assert index == f"logs-auth-service-{pipeline.RECEIVED:%Y.%m.%d}"
        assert document.get("message") or document["extra"]["line"] == json.loads(text)
        assert "line" not in document
    assert len(identities) == 3


def test_a_dead_letter_is_the_line_and_the_reason_and_no_longer_marked_as_one():
    refusal = {"reason": "Could not index, action: [everything], response: {status: 400}", "plugin_id": "app-logs"}
    event = {"a[b]": {"c": 1}, "@metadata": {"line": '{"a[b]":{"c":1}}', "dead_letter_queue": refusal, "doc_id": "x"}}
    (letter,) = run_in_ruby("dead-letter.rb", {}, [event])
    assert letter == {
        "service": "dead-letter",
        "level": "error",
        "message": '{"a[b]":{"c":1}}',
        "error": {"message": "Could not index, response: {status: 400}", "type": "app-logs"},
        "@metadata": {"of": "x "},
    }


def test_what_the_shared_layer_writes_passes_unchanged():
    settings = TelemetrySettings.for_service("budget-service")
    formatter = LineFormatter(settings)
    made = Line(EPOCH + 0.123456, logging.WARNING, "allocation made", "budget", {"amount": "10.00"})
    line = formatter.encode(made).decode()
    fields = json.loads(line)
    ((index, _, document),) = pipeline.documents(line.rstrip(), FILE)
    assert index == f"logs-budget-service-{DAY}"
    assert {name: document[name] for name in fields} == fields
    assert set(document) - set(fields) == {"@timestamp", "tags"}
    assert document["@timestamp"] == at("05:37:21.123Z")
