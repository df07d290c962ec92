"""What `make up MODE=kubernetes` writes for itself: links that follow moved ports, and which images it has made."""

import pytest
import yaml
from stack import mode
from stack.docker import engine
from stack.kubernetes import images, overlay, verbs
from stack.settings import DEFAULTS, Settings

IMAGES = {name: f"{name}:1" for name in ("all-erp/prepare", "all-erp/auth")}


def test_alerts_link_to_the_ports_that_lead_into_the_cluster(tmp_path):
    moved = {"PROMETHEUS_PORT": "19090", "ALERTMANAGER_PORT": "19093"}
    settings = Settings(DEFAULTS | moved | {"STATE_DIR": str(tmp_path)}, {})
    overlay.folder(settings).mkdir()
    overlay.write(settings, IMAGES)
    written = yaml.safe_load((overlay.folder(settings) / "kustomization.yaml").read_text())
    arguments = {each["target"]["name"]: each["patch"] for each in written["patches"] if "name" in each["target"]}
    assert "--web.external-url=http://localhost:19090" in arguments["prometheus"]
    assert "--web.external-url=http://localhost:19093" in arguments["alertmanager"]


@pytest.mark.parametrize(
    ("given", "numbers"), [("", {}), ("budget=3", {"budget-service": 3, "auth-service": 1}), ("2", {"auth-service": 2})]
)
def test_as_many_replicas_are_made_and_stated_as_was_said(tmp_path, given, numbers):
    settings = Settings(DEFAULTS | {"STATE_DIR": str(tmp_path)}, {})
    mode.remember(settings, "kubernetes", scale=given)
    overlay.folder(settings).mkdir()
    overlay.write(settings, IMAGES)
    written = yaml.safe_load((overlay.folder(settings) / "kustomization.yaml").read_text())
    replicas = {each["name"]: each["count"] for each in written["replicas"]}
    assert numbers.items() <= replicas.items()
    assert len(replicas) == (6 if given else 1)
    stated = overlay.folder(settings) / "values/prometheus-environment/INSTANCES"
    assert stated.exists() == bool(given)
    assert {f"{name}={number}" for name, number in numbers.items()} <= {*(stated.read_text() if given else "").split()}


def test_the_images_of_every_start_are_known_until_they_are_removed(tmp_path, monkeypatch):
    settings = Settings(DEFAULTS | {"STATE_DIR": str(tmp_path), "CONTEXT": "elsewhere", "REGISTRY": "r.example/a/"}, {})
    monkeypatch.setattr(
        engine,
        "model",
        lambda: {"auth-service": {"image": "all-erp/auth:dev", "build": {}}, "postgres": {"image": "p:1"}},
    )
    monkeypatch.setattr(engine, "compose", lambda *_, **__: "")
    monkeypatch.setattr(engine, "tag", lambda *_: None)
    verbs._make_folder(settings)
    assert images.built(settings) == []
    for content in ("one", "two", "two"):
        monkeypatch.setattr(engine, "image_id", lambda _, content=content: content)
        assert images.build(settings) == {"all-erp/auth": f"r.example/a/all-erp/auth:{content}"}
    assert images.built(settings) == ["r.example/a/all-erp/auth:one", "r.example/a/all-erp/auth:two"]
