"""The collector reads what Logstash reads, and Loki refuses nothing that it sends."""

import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
DEV = ROOT / "dev-environment"
FILES, TO_LOKI, TO_ELASTICSEARCH = (
    yaml.safe_load((DEV / f"otel-collector/{name}.yaml").read_text())
    for name in ("files", "to-loki", "to-elasticsearch")
)
LOKI = yaml.safe_load((DEV / "loki/loki.yaml").read_text())
SERVICES = yaml.safe_load((ROOT / "docker-compose.devops.yml").read_text())["services"]
LIMITS = LOKI["limits_config"]
MIB, MB = 1024 * 1024, 1_000_000
QUEUE = TO_LOKI["exporters"]["otlp_http"]["sending_queue"]


def test_the_collector_reads_the_files_that_logstash_reads():
    logstash = (DEV / "logstash/logstash.conf").read_text()
    paths = re.findall(r'"(/var/log/app/[^"]+)"', logstash)
    assert paths == FILES["receivers"]["filelog"]["include"]
    (excluded,) = re.findall(r"exclude => (\[.+?\])", logstash)
    assert [f"/var/log/app/**/{name}" for name in json.loads(excluded)] == FILES["receivers"]["filelog"]["exclude"]
    assert (
        SERVICES["otel-collector"]["environment"]["LOG_SERVICES"] == SERVICES["logstash"]["environment"]["LOG_SERVICES"]
    )


def test_nothing_that_waits_is_in_memory_only_or_given_up():
    exporter = TO_LOKI["exporters"]["otlp_http"]
    receiver = FILES["receivers"]["filelog"]
    assert receiver["storage"] == QUEUE["storage"] == "file_storage"
    assert FILES["extensions"]["file_storage"]["fsync"] is True
    assert {each["retry_on_failure"]["max_elapsed_time"] for each in (exporter, receiver)} == {"0s"}
    assert "batch" not in TO_LOKI["service"]["pipelines"]["logs"]["processors"]
    assert "--feature-gates=stanza.synchronousLogEmitter" in SERVICES["otel-collector"]["command"]
    mounted = {each.split(":")[1] for each in SERVICES["otel-collector"]["volumes"]}
    assert FILES["extensions"]["file_storage"]["directory"] in mounted


def test_the_longest_line_fits_into_a_batch_and_a_batch_into_what_loki_takes():
    assert FILES["receivers"]["filelog"]["max_log_size"] == "1MiB"
    assert QUEUE["batch"]["max_size"] >= 2 * MIB
    assert LIMITS["max_line_size"] == "2MB"
    assert LIMITS["ingestion_burst_size_mb"] * MB > 2 * QUEUE["batch"]["max_size"]
    assert int(LIMITS["per_stream_rate_limit_burst"].removesuffix("MB")) * MB > 2 * QUEUE["batch"]["max_size"]
    assert (LIMITS["reject_old_samples"], LIMITS["shard_streams"]["time_sharding_enabled"]) == (False, True)
    services, levels, hours = 6, 6, 168  # a level may be missing
    assert services * levels * hours < LIMITS["max_global_streams_per_user"]


def test_the_collectors_limits_are_below_the_containers():
    limiter = FILES["processors"]["memory_limiter"]
    container = int(SERVICES["otel-collector"]["deploy"]["resources"]["limits"]["memory"].removesuffix("M"))
    go = int(SERVICES["otel-collector"]["environment"]["GOMEMLIMIT"].removesuffix("MiB"))
    assert limiter["limit_mib"] < go < container
    for each in (TO_LOKI, TO_ELASTICSEARCH):
        assert each["service"]["pipelines"]["logs"]["processors"][0] == "memory_limiter"


def test_the_fields_that_fit_are_none_of_those_that_the_index_has_as_objects():
    properties = json.loads((DEV / "elasticsearch/template.json").read_text())["template"]["mappings"]["properties"]
    objects = {name for name, each in properties.items() if "properties" in each or each["type"] == "flattened"}
    (expr,) = (
        each["value"] for each in FILES["receivers"]["filelog"]["operators"] if each.get("field") == "attributes.fits"
    )
    named = [json.loads(each) for each in re.findall(r"#\[0\] in (\[.+?\])", expr)]
    assert named[0] == ["error", "http"]
    assert {*named[0], *named[1]} == objects


def test_lines_are_kept_as_long_as_in_elasticsearch():
    phases = json.loads((DEV / "elasticsearch/ilm.json").read_text())["policy"]["phases"]
    days = int(phases["delete"]["min_age"].removesuffix("d"))
    assert LIMITS["retention_period"] == f"{days * 24}h"
    assert f'duration("{days * 24}h")' in (DEV / "otel-collector/files.yaml").read_text()
    assert LOKI["compactor"]["retention_enabled"] is True


def test_lines_are_found_at_once_however_old_they_are():
    assert LOKI["ingester"]["query_store_max_look_back_period"] == LIMITS["retention_period"]


def test_the_labels_are_few_and_their_values_bounded():
    config = LIMITS["otlp_config"]
    assert config["resource_attributes"]["ignore_defaults"] is True
    everything = [*config["resource_attributes"]["attributes_config"], *config["log_attributes"]]
    labels = [name for each in everything if each["action"] == "index_label" for name in each["attributes"]]
    assert labels == ["service.name", "deployment.environment.name", "level"]
