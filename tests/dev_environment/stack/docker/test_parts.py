"""What `PARTS` means, over the model of the real compose files."""

import pytest
from stack.docker import engine, parts
from stack.errors import SettingError

from tests.dev_environment.stack.docker.model import MODEL, PROBE, SERVICES, services_of

BASE = {"postgres", "rabbitmq", "prepare", "log-volume"}
ALONE = [name for name, each in MODEL.items() if not each.get("profiles")]
OTHERS = {name for name, each in MODEL.items() if "ha" in each.get("profiles", ())}
LOKI = {"loki", "loki-volumes", "otel-collector"}


@pytest.mark.parametrize("everything", ["", "all", "all traces"])
def test_all_is_everything_but_what_has_a_profile(everything):
    assert parts.chosen(everything, MODEL) == ALONE


def test_loki_takes_the_place_of_logs_or_comes_to_all():
    in_place = set(parts.chosen("metrics traces loki", MODEL))
    assert (in_place & LOKI, in_place & {*parts.GROUPS["logs"]}) == (LOKI, set())
    assert set(parts.chosen("all loki", MODEL)) == {*ALONE, *LOKI}


@pytest.mark.parametrize(
    ("given", "without", "others"),
    [
        ("ha", "all", OTHERS),
        ("all ha", "all", OTHERS),
        ("metrics ha", "metrics", {"prometheus-2", "alertmanager-2", "alertmanager-3"}),
        ("logs, ha", "logs", {"elasticsearch-2", "elasticsearch-3"}),
        ("traces ha", "traces", set()),
    ],
)
def test_ha_is_several_of_each_watcher_that_is_there(given, without, others):
    chosen = parts.chosen(given, MODEL)
    assert set(chosen) == set(parts.chosen(without, MODEL)) | others
    assert parts.profiles(chosen, MODEL) == (["ha"] if others else [])


def test_one_node_does_not_bring_the_others_that_it_only_waits_for():
    assert not OTHERS & set(parts.chosen("logs", MODEL))


def test_the_groups_hold_every_watcher_once():
    watchers = services_of(engine.FILES[1]).keys()
    named = [name for group in parts.GROUPS.values() for name in group]
    assert len(named) == len(set(named))
    needed = {each for name in named for each in MODEL[name].get("depends_on", ())}
    assert (set(named) | needed) - OTHERS == watchers - OTHERS


def test_a_group_comes_with_what_it_needs_and_with_the_five_services_and_the_probe():
    assert set(parts.chosen("traces", MODEL)) == SERVICES | BASE | {PROBE, "jaeger", "jaeger-volume"}


@pytest.mark.parametrize("given", ["", "all", "traces"])
def test_a_probe_that_is_switched_off_does_not_run(given):
    off = {**MODEL, PROBE: MODEL[PROBE] | {"deploy": MODEL[PROBE]["deploy"] | {"replicas": 0}}}
    assert set(parts.chosen(given, MODEL)) - set(parts.chosen(given, off)) == {PROBE}


def test_named_services_come_alone():
    assert set(parts.chosen("auth, tenant-service", MODEL)) == BASE | {"auth-service", "tenant-service"}


def test_a_name_that_is_no_part_is_refused_with_the_names_that_are():
    with pytest.raises(
        SettingError, match=r"PARTS names metric: use metrics, logs, traces, loki, all, ha, or .*kibana"
    ):
        parts.chosen("metric traces", MODEL)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("logs", ["kibana-setup"]),
        ("elasticsearch elasticsearch-setup", ["elasticsearch-setup"]),
        ("traces", []),
    ],
)
def test_one_shots_that_nothing_waits_for_are_found(names, expected):
    assert parts.one_shots(parts.chosen(names, MODEL), MODEL) == expected


def stated(given: str, **replicas: int) -> dict[str, int]:
    scaled = {f"{short}-service": {"deploy": {"replicas": number}} for short, number in replicas.items()}
    model = {name: each | scaled.get(name, {}) for name, each in MODEL.items()}
    words = parts.stated(parts.chosen(given, model), model).split()
    return {job: int(number) for job, number in (each.split("=") for each in words)}


def test_each_job_of_prometheus_is_stated_and_what_is_left_out_as_none():
    of_all = stated("")
    assert {job for job, number in of_all.items() if not number} == {"loki", "otel-collector"}
    assert {number for job, number in of_all.items() if number} == {1}
    of_metrics = stated("metrics")
    left_out = {job for job in of_all if of_all[job] and not of_metrics[job]}
    assert left_out == {"jaeger", "jaeger-spanmetrics", "elasticsearch", "logstash"}
    assert of_all.keys() == of_metrics.keys()
    with_elasticsearch = stated("metrics elasticsearch elasticsearch-exporter")
    assert (with_elasticsearch["elasticsearch"], with_elasticsearch["logstash"]) == (1, 0)


def test_as_many_are_stated_as_there_are_to_be():
    found = stated("ha", budget=3)
    several = {job: number for job, number in found.items() if number > 1}
    assert several == {"budget-service": 3, "prometheus": 2, "alertmanager": 3, "elasticsearch": 3}
    assert stated("metrics ha")["elasticsearch"] == 0
