"""The compose files as docker compose itself reads them, each alone and both in either order."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DEV, DEVOPS = "docker-compose.dev.yml", "docker-compose.devops.yml"
FRONT = "dev-environment/haproxy/compose.yml"


@pytest.fixture(
    scope="module", params=[(DEV,), (DEVOPS,), (DEV, DEVOPS), (DEVOPS, DEV), (DEV, DEVOPS, FRONT)], ids="+".join
)
def model(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The rendered configuration, without .env and with none of our variables in the environment."""
    return rendered(request.param)


def rendered(names: tuple[str, ...], env_file: Path = Path(os.devnull), **shell: str) -> dict[str, Any]:
    files = [part for file in names for part in ("--file", file)]
    command = ["docker", "compose", "--env-file", str(env_file), *files, "config", "--format", "json"]
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(command, cwd=ROOT, env=kept | shell, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def of_containers(model: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The environment that each container gets: `config` writes $$ for a dollar sign."""
    return {
        name: {
            key: value.replace("$$", "$") for key, value in (each.get("environment") or {}).items() if value is not None
        }
        for name, each in model["services"].items()
    }


def test_project_network_and_log_volume_have_the_same_names(model):
    assert model["name"] == model["networks"]["default"]["name"] == "all-erp"
    assert model["volumes"]["app-logs"]["name"] == "all-erp-logs"


def test_without_a_profile_there_is_one_of_each_watcher(model):
    assert [name for name, each in model["services"].items() if each.get("profiles")] == []
    assert [name for name in model["services"] if name[-1].isdigit()] == []


def test_every_container_is_bounded_and_pinned(model):
    for name, each in model["services"].items():
        assert int(each["deploy"]["resources"]["limits"]["memory"]) <= 1536 * 2**20, name
        assert each["logging"]["options"] == {"max-size": "10m", "max-file": "3"}, name
        assert each["restart"] == "no" or each["healthcheck"]["test"], name
        assert "build" in each or (":" in each["image"] and not each["image"].endswith(":latest")), name


def test_ports_are_published_on_this_machine_only(model):
    addresses = {port.get("host_ip") for each in model["services"].values() for port in each.get("ports", ())}
    assert addresses == {"127.0.0.1"}


def test_the_front_of_replicas_has_the_addresses_of_the_services():
    alone, in_front = rendered((DEV,))["services"], rendered((DEV, FRONT))["services"]
    services = [name for name in alone if name.endswith("-service")]
    assert [name for name in services if in_front[name].get("ports")] == []
    published = [port for name in services for port in alone[name]["ports"]]
    assert sorted(in_front["haproxy"]["ports"], key=str) == sorted(published, key=str)
    lines = (ROOT / "dev-environment/haproxy/haproxy.cfg").read_text().splitlines()
    for name, port in ((name, alone[name]["ports"][0]["target"]) for name in services):
        assert {f"  bind :{port}", f"  server-template {name.removesuffix('-service')} 10 {name}:{port}"} <= {*lines}


def test_what_we_build_cannot_write_to_itself_and_stays_the_user_of_its_dockerfile(model):
    for name, each in model["services"].items():
        if "build" in each:
            assert (each["read_only"], each["cap_drop"], each.get("user")) == (True, ["ALL"], None), name


def test_the_settings_of_the_env_file_and_of_the_shell_reach_each_service(tmp_path):
    (tmp_path / ".env").write_text(
        "DATABASE__POOL_SIZE=3\nEVENTS__PREFETCH=2\nOTEL_TRACES_SAMPLER=always_off\nHOST=x\n"
    )
    given = of_containers(rendered((DEV,), tmp_path / ".env", EVENTS__PREFETCH="1", LOG_FILES_KEPT="9"))
    names = ("DATABASE__POOL_SIZE", "EVENTS__PREFETCH", "OTEL_TRACES_SAMPLER", "LOG_FILES_KEPT", "HOST")
    services = [name for name in given if name.endswith("-service")]
    assert {tuple(given[name].get(each) for each in names) for name in services} == {
        ("3", "1", "always_off", "9", None)
    }
    assert "DATABASE__POOL_SIZE" not in of_containers(rendered((DEV,)))["auth-service"]


def test_users_and_passwords_reach_the_containers_as_they_are(tmp_path):
    odd = '/#?@%41:$X${X}"\\ &+;é :x:'
    names = (
        "POSTGRES_PASSWORD",
        "RABBITMQ_USER",
        "RABBITMQ_PASSWORD",
        "AUTH_BROKER_PASSWORD",
        "BOOTSTRAP__ADMIN_PASSWORD",
        "BOOTSTRAP__SERVICE_SECRET",
    )
    (tmp_path / ".env").write_text("".join(f"{name}='{odd} {name}'\n" for name in names))
    postgres, user, password, own, admin, secret = (f"{odd} {name}" for name in names)
    given = of_containers(rendered((DEV, DEVOPS), tmp_path / ".env"))
    pasted = {key for each in given.values() for key, value in each.items() if odd in value and "://" in value}
    assert pasted == set()
    assert given["postgres"]["POSTGRES_PASSWORD"] == given["prepare"]["POSTGRES_PASSWORD"] == postgres
    assert given["postgres-exporter"]["PGPASSWORD"] == given["auth-service"]["DATABASE__PASSWORD"] == postgres
    assert [given["rabbitmq"][f"ADMINISTRATOR_{each}"] for each in ("USER", "PASSWORD")] == [user, password]
    assert given["rabbitmq"]["AUTH_BROKER_PASSWORD"] == given["auth-service"]["EVENTS__BROKER_PASSWORD"] == own
    assert given["prepare"]["BOOTSTRAP__ADMIN_PASSWORD"] == given["probe"]["BOOTSTRAP__ADMIN_PASSWORD"] == admin
    assert given["prepare"]["BOOTSTRAP__SERVICE_SECRET"] == secret


def test_what_the_shell_says_of_other_servers_reaches_no_container():
    names = ("http_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "PGHOST", "PGSSLMODE", "PGPASSWORD", "SSL_CERT_FILE")
    given = of_containers(rendered((DEV, DEVOPS), **dict.fromkeys(names, "elsewhere")))
    assert [name for name, each in given.items() if "elsewhere" in each.values()] == []


def test_the_golden_env_files_are_what_this_compose_reads(tmp_path):
    file = ROOT / "tests/dev_environment/stack/golden_env_files.json"
    golden = [(content, values) for content, values in json.loads(file.read_text())]
    names = sorted({name for _, values in golden for name in values or ()} | {"A", "B", "Y"})
    (tmp_path / "compose.yml").write_text(
        json.dumps({"name": "x", "services": {"a": {"image": "i", "environment": names}}})
    )
    for content, values in golden:
        (tmp_path / ".env").write_text(content, newline="")
        command = ["docker", "compose", "config", "--format", "json"]
        shell = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"X": "x", "EMPTY": ""}
        done = subprocess.run(command, cwd=tmp_path, env=shell, capture_output=True, text=True, check=False)
        read = None if done.returncode else of_containers(json.loads(done.stdout))["a"]
        assert read == values, (content, done.stderr)


def test_no_image_declares_a_volume_that_has_no_name(docker):
    """`docker compose down` would leave it, and nothing could say later whose it was."""
    for name, each in rendered((DEV, DEVOPS))["services"].items():
        try:
            declared = (
                json.loads(docker("image", "inspect", "--format", "{{json .Config.Volumes}}", each["image"])) or {}
            )
        except subprocess.CalledProcessError:  # the image is not here
            continue
        there = {mount["target"] for mount in each.get("volumes", ())} | {
            path.partition(":")[0] for path in each.get("tmpfs", ())
        }
        assert declared.keys() <= there, name
