"""`make logs` goes on through what kubectl, a kubelet and the cluster get wrong, and says each of it once."""

import json
from collections.abc import Callable, Generator
from itertools import islice
from pathlib import Path

import pytest
from stack.kubernetes import cluster, verbs
from stack.services import SERVICES
from stack.settings import DEFAULTS, Settings
from stack.watch import logs

pytestmark = pytest.mark.timeout(60)

AUTH = next(each for each in SERVICES if each.short == "auth")
POD = {
    "metadata": {"name": "auth-1", "uid": "1"},
    "spec": {"containers": [{"name": "service"}]},
    "status": {"containerStatuses": [{"name": "service", "containerID": "a", "state": {"running": {}}}]},
}
# Counts the calls of each kind, does what the test says, and has the pods of the cluster.
KUBECTL = """#!/bin/bash
cd {folder}
for each; do
    case $each in get | logs | exec) kind=$each; break ;; esac
done
echo >>$kind
call=$(wc -l <$kind)
until_asked() {{ until [ "$(wc -l <get)" -ge "$1" ]; do sleep 0.05; done; }}
{does}
[ $kind != get ] || cat pods
"""
Does = Callable[[str], None]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(DEFAULTS | {"STATE_DIR": str(tmp_path / "state"), "CONTEXT": "kind-test"}, {})


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Does:
    """Put a kubectl on the PATH that knows one pod, and does this in `logs` and `exec`."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.1)

    def put(does: str) -> None:
        (tmp_path / "pods").write_text(json.dumps({"items": [POD]}))
        (tmp_path / "kubectl").write_text(KUBECTL.format(folder=tmp_path, does=does))
        (tmp_path / "kubectl").chmod(0o755)

    return put


def first(count: int, lines: Generator[str]) -> list[str]:
    """So many lines; then nobody follows any more."""
    found = list(islice(lines, count))
    lines.close()
    return found


@pytest.mark.parametrize(
    "odd",
    [
        "failed to create fsnotify watcher: too many open files",
        "unable to retrieve container logs for containerd://0a1b",
        "zzz",
        "",
        "2026-13 is no time",
    ],
)
def test_a_line_without_a_time_is_shown_and_hides_no_later_line(settings, kubectl, odd):
    kubectl(f"""
        if [ $kind = logs ]; then
            echo "[pod/auth-1/service] 2026-11-29T10:00:00.000000001Z one"
            [ $call -gt 1 ] || echo "[pod/auth-1/service] {odd}"
            echo "[pod/auth-1/service] 2026-11-29T10:00:01.000000001Z two 2026-11-29T10:00:01Z words"
            [ $call -eq 1 ] || echo "[pod/auth-1/service] {odd}"
            [ $call -eq 1 ] || echo "[pod/auth-1/service] 2026-11-29T12:00:02.000000001+01:00 three"
            [ $call -eq 1 ] || sleep 30
        fi""")
    expected = ["one", odd, "two 2026-11-29T10:00:01Z words", odd, "three"]
    found = first(len(expected), verbs._followed_output(settings, [AUTH.name]))
    assert found == [f"[pod/auth-1/service] {each}\n" for each in expected]


@pytest.mark.parametrize("odd", ['{"timestamp":"yesterday"}', '{"timestamp":9}', '{"message":"x"}', "{"])
def test_a_log_line_with_an_odd_time_or_none_hides_no_later_line(settings, kubectl, odd):
    kubectl(f"""
        if [ $kind = exec ]; then
            echo '{{"timestamp":"2026-11-29T10:00:00.000Z","message":"one"}}'
            [ $call -gt 1 ] || echo '{odd}'
            [ $call -eq 1 ] || echo '{{"timestamp":"2026-11-29T10:00:01.000Z","message":"two"}}'
            [ $call -eq 1 ] || sleep 30
        fi""")
    found = first(3, verbs._followed_files(settings, [AUTH]))
    assert found[1] == f"{odd}\n"
    assert [each["message"] for each in logs.parsed([found[0], found[2]])] == ["one", "two"]


def test_a_cluster_that_does_not_answer_for_a_while_ends_nothing_and_is_told_once(settings, kubectl, capsys):
    kubectl("""
        if [ $kind = logs ]; then
            echo "[p] 2026-11-29T10:00:00Z one"
            until_asked 7
            echo "[p] 2026-11-29T10:00:01Z two"
            sleep 30
        fi
        if [ $call -gt 1 -a $call -lt 4 -o $call -eq 5 ]; then
            echo "E1129 10:00:00.$call memcache.go:265: no such host" >&2
            echo "Unable to connect to the server" >&2
            exit 1
        fi""")
    assert first(2, verbs._followed_output(settings, [AUTH.name])) == ["[p] one\n", "[p] two\n"]
    told = "The cluster does not say what runs, and is asked again: Unable to connect to the server\n"
    assert capsys.readouterr().out == told * 2, "once for each time that it is away"


def test_a_container_that_cannot_be_followed_is_told_once_for_each_reason(settings, kubectl, capsys):
    kubectl("""
        if [ $kind = logs ]; then
            [ $call -lt 6 ] || { echo "[p] 2026-11-29T10:00:00Z one"; sleep 30; }
            echo "E1129 10:00:00.$call memcache.go:265: no such host" >&2
            [ $call -eq 3 ] && echo "error: too many open files" >&2 || echo "error: no such container" >&2
            exit 1
        fi""")
    assert first(1, verbs._followed_output(settings, [AUTH.name])) == ["[p] one\n"]
    told = [f"auth-1 cannot be followed: error: {why}" for why in ("no such container", "too many open files")]
    assert capsys.readouterr().out.splitlines() == told


def test_a_cluster_that_does_not_answer_at_first_is_an_error(settings, kubectl):
    kubectl("echo 'Unable to connect to the server' >&2; exit 1")
    with pytest.raises(cluster.ClusterError, match="Unable to connect"):
        next(verbs._followed_output(settings, [AUTH.name]))
