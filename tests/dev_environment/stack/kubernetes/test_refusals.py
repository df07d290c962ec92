"""What keeps the stack out of a cluster is told in a sentence with its cure, before anything is done there."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from stack import __main__ as command_line
from stack import mode
from stack.docker import engine
from stack.kubernetes import checks, cluster, images, overlay, verbs
from stack.ports import free_port
from stack.settings import DEFAULTS, Settings

VERSION = {"major": "1", "minor": "36+", "gitVersion": "v1.36.3"}
STANDARD = {"metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}
# What a cluster that can take the stack answers.
ANSWERS: dict[str, Any] = {
    "config current-context": "kind-test",
    "version": {"clientVersion": VERSION, "serverVersion": VERSION},
    "get storageclasses": {"items": [STANDARD]},
    "get apiservice v1beta1.metrics.k8s.io": {"kind": "APIService"},
}
OURS = {"metadata": {"labels": {"app.kubernetes.io/part-of": "all-erp"}}}
# A kubectl that only answers: what is done with it is written down.
KUBECTL = """#!{python} -S
import json, sys
asked = " ".join(each for each in sys.argv[1:] if not each.startswith("-"))
open({asked!r}, "a").write(asked + "\\n")
answer = json.load(open({answers!r})).get(asked)
if answer is None and not asked.startswith("get"):
    sys.exit("the server is away")
sys.stdout.write(answer if isinstance(answer, str) else json.dumps(answer) if answer else "")
"""
Answer = Callable[[dict[str, Any]], None]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    moved = {name: str(free_port()) for name in DEFAULTS if name.endswith("_PORT")}
    current = Settings(DEFAULTS | moved | {"STATE_DIR": str(tmp_path / "state")}, {})
    monkeypatch.setattr(command_line, "read", lambda: current)
    monkeypatch.setattr(engine, "why_unavailable", lambda: "")
    monkeypatch.setattr(engine, "running", set)
    return current


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Put a kubectl that answers so, and a kind, on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(answers: dict[str, Any]) -> None:
        (tmp_path / "answers").write_text(json.dumps(answers))
        text = KUBECTL.format(python=sys.executable, asked=str(tmp_path / "asked"), answers=str(tmp_path / "answers"))
        for name, content in (("kubectl", text), ("kind", "#!/bin/sh\n")):
            (tmp_path / name).write_text(content)
            (tmp_path / name).chmod(0o755)

    return put


OLD = VERSION | {"minor": "28", "gitVersion": "v1.28.0"}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"config current-context": ""}, "kubectl has no current context. `kubectl config use-context NAME` sets it"),
        ({"version": None}, "The cluster of context 'kind-test' does not answer: the server is away. Start the cluster"),
        ({"version": {"clientVersion": OLD, "serverVersion": VERSION}}, "kubectl is v1.28.0. 1.30 or later is needed"),
        ({"version": {"clientVersion": VERSION, "serverVersion": OLD}}, "The cluster is v1.28.0. 1.30 or later"),
        ({"get namespace all-erp": {"metadata": {"labels": {}}}}, "The namespace all-erp is somebody else's"),
        ({"get namespace all-erp": OURS}, "all-erp holds the stack of another checkout. `make clean` there"),
        ({"get storageclasses": {"items": [{"metadata": {"name": "slow"}}]}}, "no default StorageClass (there is slow)"),
        ({"config current-context": "production"}, "CONTEXT=production` means it, `kubectl config use-context`"),
    ],
)  # fmt: skip
def test_a_cluster_that_cannot_take_the_stack_is_refused_with_the_cure(
    settings, answer, tmp_path, capsys, changed, told
):
    answer(ANSWERS | changed)
    assert command_line.main(["up", "--mode", "kubernetes"]) == 1
    assert told in capsys.readouterr().err
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [each for each in asked if not each.startswith(("get", "version", "config current"))] == []
    assert not mode.is_settled(settings, None)


def test_without_kubectl_the_mode_is_refused(settings, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command_line.main(["up", "--mode", "kubernetes"]) == 1
    assert "kubectl is not installed" in capsys.readouterr().err


def test_images_for_a_cluster_elsewhere_need_a_registry(settings, answer, monkeypatch, capsys):
    answer(ANSWERS)
    elsewhere = Settings(settings.values | {"CONTEXT": "production"}, {})
    monkeypatch.setattr(command_line, "read", lambda: elsewhere)
    assert command_line.main(["up", "--mode", "kubernetes"]) == 1
    assert "images must be pushed for it. Set REGISTRY in .env" in capsys.readouterr().err


def test_a_registry_that_takes_no_image_leaves_nothing_in_the_cluster(settings, answer, monkeypatch, tmp_path):
    def refuse(*_: object) -> None:
        raise engine.EngineError("it could not be pushed")

    answer(ANSWERS | {"apply": "", "delete namespace all-erp": ""})
    for module, name, does in (
        (images, "build", lambda _: {}),
        (overlay, "write", lambda *_: None),
        (overlay, "render", lambda _: "kind: Namespace"),
        (images, "take_there", refuse),
    ):
        monkeypatch.setattr(module, name, does)
    with pytest.raises(engine.EngineError):
        verbs.up(settings)
    assert (tmp_path / "asked").read_text().splitlines()[-3:] == ["apply", "apply", "delete namespace all-erp"]
    assert not cluster.remembered(settings)


def test_parts_that_are_none_of_a_cluster_are_refused_before_it_is_asked(settings, answer, tmp_path, capsys):
    answer(ANSWERS)
    assert command_line.main(["up", "--mode", "kubernetes", "--parts", "loki"]) == 1
    assert "PARTS names loki: in Kubernetes mode use" in capsys.readouterr().err
    assert not (tmp_path / "asked").exists()


def test_parts_of_another_mode_are_not_kept(settings, answer, capsys):
    answer(ANSWERS | {"get storageclasses": {"items": []}})
    mode.remember(settings, "docker", "metrics loki")
    assert command_line.main(["up", "--mode", "kubernetes"]) == 1
    assert "no default StorageClass" in capsys.readouterr().err


def test_local_mode_has_no_parts_and_says_what_decides_there(settings, capsys):
    assert command_line.main(["up", "--mode", "local", "--parts", "traces"]) == 1
    assert "PARTS: in local mode run the watchers that are on the PATH" in capsys.readouterr().err


VOLUMES = {"items": [{"metadata": {"name": f"data-elasticsearch-{number}"}} for number in range(3)]}


def test_elasticsearch_that_was_stopped_as_one_of_three_is_not_started_alone(settings, answer, tmp_path, capsys):
    answer(ANSWERS | {"get persistentvolumeclaims": VOLUMES})
    assert command_line.main(["up", "--mode", "kubernetes", "--parts", "logs"]) == 1
    told = capsys.readouterr().err
    assert "Elasticsearch was stopped as one of three nodes, and alone it elects nobody. Start the three" in told
    assert "persistentvolumeclaims data-elasticsearch-0 data-elasticsearch-1 data-elasticsearch-2" in told
    assert "apply" not in (tmp_path / "asked").read_text()


@pytest.mark.parametrize(
    ("parts", "changed"),
    [
        ("logs ha", {}),
        ("traces", {}),
        ("logs", {"get statefulset elasticsearch": {"kind": "StatefulSet"}}),
        ("logs", {"get persistentvolumeclaims": {"items": VOLUMES["items"][:1]}}),
    ],
)
def test_one_of_three_is_not_missed_where_the_three_run_or_nothing_is_started_alone(
    settings, answer, capsys, parts, changed
):
    answer(ANSWERS | {"get persistentvolumeclaims": VOLUMES} | changed)
    assert command_line.main(["doctor", "--mode", "kubernetes", "--parts", parts]) == 0
    assert "one of three" not in capsys.readouterr().out


ALONE = "exec elasticsearch-0 bash /setup/alone.sh"
CLAIMS = "delete persistentvolumeclaims data-elasticsearch-1 data-elasticsearch-2"
STOP = "delete statefulset/elasticsearch"


@pytest.mark.parametrize(
    ("before", "leaving", "after", "done"),
    [
        (3, {}, 1, [ALONE, CLAIMS, STOP]),
        (3, {}, 0, [ALONE, CLAIMS, STOP]),
        (3, {"deletionTimestamp": "2026-11-29T16:00:00Z"}, 1, [STOP]),
        (1, {}, 3, [STOP]),
        (3, {}, 3, []),
        (0, {}, 3, []),
    ],
)
def test_elasticsearch_stops_for_another_number_of_nodes_and_moves_the_lines_before(
    settings, answer, tmp_path, before, leaving, after, done
):
    def nodes(number: int, more: dict[str, str]) -> list[dict[str, Any]]:
        metadata = {"name": "elasticsearch", **more}
        return [{"kind": "StatefulSet", "metadata": metadata, "spec": {"replicas": number}}] if number else []

    answer(
        {
            "get statefulsets": {"items": nodes(before, leaving)},
            "get persistentvolumeclaims": VOLUMES,
            **dict.fromkeys((ALONE, CLAIMS, STOP), "done"),
        }
    )
    verbs._count_nodes(settings, yaml.safe_dump_all(nodes(after, {})))
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [each for each in asked if not each.startswith(("get", "config"))] == done


def test_nothing_stops_before_the_lines_are_on_the_first_node(settings, answer, tmp_path):
    three = {"kind": "StatefulSet", "metadata": {"name": "elasticsearch"}, "spec": {"replicas": 3}}
    answer({"get statefulsets": {"items": [three]}})
    with pytest.raises(
        cluster.ClusterError, match=r"not all on elasticsearch-0 yet, so nothing was stopped: the server"
    ):
        verbs._count_nodes(settings, "")
    assert (tmp_path / "asked").read_text().splitlines()[-1] == ALONE


def test_claims_that_are_going_are_none_of_a_node(settings, answer):
    going = [
        {"metadata": each["metadata"] | {"deletionTimestamp": "2026-11-29T16:00:00Z"}} for each in VOLUMES["items"]
    ]
    answer({"get persistentvolumeclaims": {"items": going}})
    assert checks.volumes_of_other_nodes(settings) == []


def remember(settings: Settings, context: str) -> None:
    file = cluster.context_file(settings)
    file.parent.mkdir(parents=True)
    file.write_text(context)


def test_the_namespace_of_the_last_start_is_ours(settings, answer, capsys):
    answer(ANSWERS | {"get namespace all-erp": OURS})
    remember(settings, "kind-test")
    assert command_line.main(["doctor", "--mode", "kubernetes"]) == 0
    assert "The namespace all-erp is ours" in capsys.readouterr().out


def test_a_stack_that_is_in_one_cluster_is_not_started_in_another(settings, answer, monkeypatch, capsys):
    answer(ANSWERS)
    remember(settings, "lab")
    elsewhere = Settings(settings.values | {"CONTEXT": "kind-test"}, {})
    monkeypatch.setattr(command_line, "read", lambda: elsewhere)
    assert command_line.main(["up", "--mode", "kubernetes"]) == 1
    assert "is in the cluster of context 'lab': `make clean` first" in capsys.readouterr().err


def test_all_verbs_keep_to_the_cluster_of_the_last_start(settings):
    remember(settings, "lab")
    elsewhere = Settings(settings.values | {"CONTEXT": "kind-test"}, {})
    assert cluster.command(elsewhere, "get", "pods")[1] == "--context=lab"


def test_a_cluster_that_has_gone_can_be_forgotten(settings, answer, capsys):
    answer(ANSWERS | {"config get-contexts": "lab\n"})
    remember(settings, "kind-test")
    verbs.down(settings)
    verbs.clean(settings)
    assert "The cluster has gone: kubectl no longer knows the context kind-test" in capsys.readouterr().out
    assert not cluster.remembered(settings)


def test_without_a_metrics_api_the_stack_starts_with_a_warning(settings, answer, capsys):
    answer({name: value for name, value in ANSWERS.items() if "apiservice" not in name})
    assert command_line.main(["doctor", "--mode", "kubernetes"]) == 0
    assert "warning  The cluster has no metrics API" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("postgres:18.6", "docker.io/library/postgres:18.6"),
        ("all-erp/auth:1", "docker.io/all-erp/auth:1"),
        ("quay.io/some/exporter:1", "quay.io/some/exporter:1"),
        ("localhost:5000/auth:1", "localhost:5000/auth:1"),
    ],
)
def test_the_full_name_of_an_image_begins_with_its_registry(image, full):
    assert cluster.full_name(image) == full


def test_a_node_has_what_it_names_and_what_runs_there(settings, answer):
    def pod(node: str, state: str, *images: str) -> dict[str, Any]:
        names = [f"container-{number}" for number, _ in enumerate(images)]
        containers = [{"name": name, "image": image} for name, image in zip(names, images, strict=True)]
        own, *beside = [{"name": name, "state": {state: {}}} for name in names]
        return {
            "spec": {"nodeName": node, "containers": containers[:1], "initContainers": containers[1:]},
            "status": {"containerStatuses": [own], "initContainerStatuses": beside},
        }

    nodes = [
        {"metadata": {"name": name}, "status": {"images": [{"names": ["docker.io/a/large:1"]}, {"names": None}]}}
        for name in ("one", "two")
    ]
    pods = [
        pod("one", "running", "postgres:18", "otel/collector:1"),
        pod("two", "running", "postgres:18"),
        pod("two", "running", "otel/collector:1"),
        pod("one", "running", "a/only-on-one:1"),
        pod("one", "waiting", "a/not-yet:1"),
        pod("two", "waiting", "a/not-yet:1"),
        {"spec": {"containers": [{"name": "without-a-node", "image": "a/none:1"}]}, "status": {}},
    ]
    answer(ANSWERS | {"get nodes": {"items": nodes}, "get pods": {"items": pods}})
    held = {"docker.io/a/large:1", "docker.io/library/postgres:18", "docker.io/otel/collector:1"}
    assert cluster.images_on_every_node(settings) == held


def mailpit(*, pod_image: str, seconds: float) -> dict[str, Any]:
    """What the cluster answers of a Deployment that is not ready, and of its only pod, whose image it cannot pull.

    The pod has been there for that many seconds.
    """
    labels = {"app.kubernetes.io/name": "mailpit"}

    def template(image: str) -> dict[str, Any]:
        return {"metadata": {"labels": labels, "name": "mailpit"}, "spec": {"containers": [{"image": image}]}}

    status = {
        "startTime": f"{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}",
        "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no such host"}}}],
    }
    deployment = {
        "kind": "Deployment",
        "metadata": {"name": "mailpit", "generation": 1},
        "spec": {"replicas": 1, "template": template("mailpit:2")},
    }
    return {
        f"get {cluster.WORKLOADS}": {"items": [deployment]},
        "get pods": {"items": [template(pod_image) | {"status": status}]},
    }


def test_an_image_that_cannot_be_pulled_ends_the_wait(settings, answer):
    answer(ANSWERS | mailpit(pod_image="mailpit:2", seconds=cluster.STUCK_SECONDS + 5))
    with pytest.raises(cluster.ClusterError, match="mailpit cannot start: ErrImagePull: no such host"):
        cluster.unfinished(settings)


def test_an_image_that_could_not_be_pulled_once_is_waited_for(settings, answer):
    answer(ANSWERS | mailpit(pod_image="mailpit:2", seconds=5))
    assert cluster.unfinished(settings) == {"mailpit": "ErrImagePull: no such host"}


def test_an_image_of_an_older_version_does_not(settings, answer):
    answer(ANSWERS | mailpit(pod_image="mailpit:1", seconds=cluster.STUCK_SECONDS + 5))
    assert cluster.unfinished(settings) == {"mailpit": "it starts"}


def node(name: str, *, ready: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


def exporters(*, ready: int, updated: int = 3) -> dict[str, Any]:
    """What the cluster answers of a DaemonSet on three nodes, of which one is dead, and of its pods."""
    template = {
        "metadata": {"labels": {"app.kubernetes.io/name": "node-exporter"}},
        "spec": {"containers": [{"image": "node-exporter:1"}]},
    }
    pods = [
        {
            "metadata": template["metadata"] | {"name": f"node-exporter-{name}"},
            "spec": template["spec"] | {"nodeName": name},
            "status": {},
        }
        for name in ("one", "two", "three")
    ]
    daemon_set = {
        "kind": "DaemonSet",
        "metadata": {"name": "node-exporter", "generation": 1},
        "spec": {"template": template},
        "status": {
            "observedGeneration": 1,
            "desiredNumberScheduled": 3,
            "updatedNumberScheduled": updated,
            "numberReady": ready,
        },
    }
    nodes = [node("one", ready="True"), node("two", ready="True"), node("three", ready="Unknown")]
    return {
        f"get {cluster.WORKLOADS}": {"items": [daemon_set]},
        "get pods": {"items": pods},
        "get nodes": {"items": nodes},
    }


@pytest.mark.parametrize(("ready", "updated"), [(2, 3), (2, 2), (3, 2)])
def test_nobody_waits_for_what_is_to_run_on_a_dead_node(settings, answer, ready, updated):
    answer(ANSWERS | exporters(ready=ready, updated=updated))
    assert cluster.unfinished(settings) == {}


@pytest.mark.parametrize(("ready", "updated"), [(1, 3), (2, 1)])
def test_what_runs_on_the_other_nodes_is_waited_for(settings, answer, ready, updated):
    answer(ANSWERS | exporters(ready=ready, updated=updated))
    assert cluster.unfinished(settings) == {"node-exporter": "it starts"}


def test_a_pod_that_cannot_end_since_its_node_is_dead_is_not_waited_for(settings, answer):
    def pod(name: str, **metadata: str) -> dict[str, Any]:
        labels = {"app.kubernetes.io/name": f"service-on-{name}"}
        return {"metadata": {"labels": labels, **metadata}, "spec": {"nodeName": name}}

    now = "2026-11-29T10:00:00Z"
    pods = [pod("one", deletionTimestamp=now), pod("two"), pod("three", deletionTimestamp=now)]
    answer(ANSWERS | exporters(ready=3) | {"get pods": {"items": pods}})
    assert verbs._leaving(settings) == {"service-on-one": "one of its pods stops"}
