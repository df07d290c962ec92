"""The page knows within one look what runs: under a real supervisord, whose programs answer as services do."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from page.reading.processes import Processes
from stack import mode, settings
from stack.errors import StackError
from stack.local import supervisor, watchers
from stack.settings import Settings

from tests.fixtures.local_stack import environment_of
from tests.fixtures.waiting import eventually, eventually_async

AUTH, BUDGET = "auth-service", "budget-service"
# Answers that it is ready, unless the file that is named after its port says why not.
ANSWERING = """\
import http.server, pathlib, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        why = pathlib.Path(sys.argv[2])
        self.send_response(503 if why.exists() else 200)
        self.end_headers()
        self.wfile.write(why.read_bytes() if why.exists() else b"{}")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
HEAD = """\
[unix_http_server]
file={socket}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
logfile={run}/supervisord.log
pidfile={run}/supervisord.pid
childlogdir={run}
[group:services]
programs={names}
[program:postgres]
command=sleep 1000
startsecs=0
"""
PROGRAM = """
[program:{name}]
command={python} -S {script} {port} {run}/{name}.json
autorestart=true
startsecs=10
"""


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    environment = environment_of(tmp_path)
    for name in settings.DEFAULTS:  # what the shell says of others reaches no verb that the page runs
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    current = settings.read(environment, Path("/none"))
    current.run.mkdir(parents=True)
    socket = supervisor.socket(current)
    socket.parent.mkdir(parents=True, exist_ok=True)
    mode.remember(current, "local", "")
    script = tmp_path / "answering.py"
    script.write_text(ANSWERING)
    names = ",".join(each.name for each in current.programs)
    text = HEAD.format(socket=socket, run=current.run, names=names)
    for each in current.programs:
        port = current.port(each.port_variable)
        text += PROGRAM.format(name=each.name, python=sys.executable, script=script, port=port, run=current.run)
    (current.run / "supervisord.conf").write_text(text)
    command = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(current.run / "supervisord.conf")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        # One that does not answer yet would not be told to end.
        eventually(lambda: supervisor.is_running(current), 60, "supervisord does not answer")
        yield current
        supervisor.shut_down(current) if running.poll() is None else None


async def until(processes: Processes, name: str, wanted: str, reason: str = "") -> None:
    """Look until this program is in this state, for this reason if one is given."""

    async def look() -> bool:
        await processes.read()
        found = processes.states()[name]
        return found.state == wanted and reason in ("", found.reason)

    await eventually_async(look, 30, lambda: f"{name} is not {wanted}: {processes.states()}")


async def test_what_is_killed_is_down_at_the_next_look_and_ready_as_another_process(stack):
    processes = Processes(stack)
    for name in (AUTH, BUDGET, "postgres"):
        await until(processes, name, "ready")
    assert list(processes.states()) == [*(each.name for each in stack.programs), "postgres"]
    before = processes.states()[AUTH]
    await processes.read()
    assert processes.states()[AUTH] == before
    assert before.reason == ""

    process = psutil.Process(before.pid)
    process.kill()
    process.wait(10)
    await processes.read()
    killed = processes.states()[AUTH]
    assert (killed.state, killed.since > before.since, bool(killed.reason)) == ("down", True, True)
    assert processes.states()[BUDGET].state == "ready"
    await processes.read()
    if processes.states()[AUTH].state == "down":
        assert processes.states()[AUTH].since == killed.since
    await until(processes, AUTH, "ready")
    after = processes.states()[AUTH]
    assert after.pid != before.pid
    assert after.since >= killed.since


async def test_a_service_that_runs_and_is_not_ready_says_why(stack):
    (stack.run / f"{AUTH}.json").write_text('{"detail": "the database does not answer"}')
    processes = Processes(stack)
    await until(processes, AUTH, "starting", "the database does not answer")
    (stack.run / f"{AUTH}.json").unlink()
    await until(processes, AUTH, "ready")
    (stack.run / f"{AUTH}.json").write_text("[]")
    await processes.read()
    assert (processes.states()[AUTH].state, processes.states()[AUTH].reason) == ("down", "it answers 503")


async def test_a_service_that_hangs_is_down_before_it_has_hung_for_two_seconds(stack):
    processes = Processes(stack)
    await until(processes, AUTH, "ready")
    process = psutil.Process(processes.states()[AUTH].pid)
    process.suspend()
    asyncio.get_running_loop().call_later(2, process.resume)
    await processes.read()
    assert processes.states()[AUTH].state == "down"
    assert "TimeoutError" in processes.states()[AUTH].reason
    await until(processes, AUTH, "ready")


async def test_a_service_that_was_stopped_is_not_down_and_a_restart_brings_it_back(stack):
    processes = Processes(stack)
    await until(processes, AUTH, "ready")
    before = processes.states()[AUTH]
    supervisor.stop_services(stack, [each for each in stack.programs if each.name == AUTH])
    await processes.read()
    assert processes.states()[AUTH].state == "stopped"
    await processes.restart(AUTH)
    await processes.read()
    assert processes.states()[AUTH].state == "ready"
    assert processes.states()[AUTH].pid != before.pid


async def test_a_restart_that_does_not_succeed_says_why(stack):
    with pytest.raises(StackError, match="There is no service 'nobody'"):
        await Processes(stack).restart("nobody")


async def test_the_watchers_that_were_started_are_looked_at_too(tmp_path, monkeypatch):
    (tmp_path / "alertmanager").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    current = settings.read(environment_of(tmp_path) | {"WATCHERS": "all"}, Path("/none"))
    watchers.choose(current)
    processes = Processes(current)
    await processes.read()
    assert processes.states()["alertmanager"].state == "down"


async def test_a_service_that_is_being_restarted_is_not_restarted_by_another(stack):
    processes = Processes(stack)
    first = asyncio.create_task(processes.restart("nobody"))
    await asyncio.sleep(0)
    assert processes.is_restarting("nobody")
    await processes.restart("nobody")
    assert processes.is_restarting("nobody")
    with pytest.raises(StackError):
        await first
    assert not processes.is_restarting("nobody")


async def test_without_supervisord_everything_is_down(stack):
    processes = Processes(stack)
    await until(processes, AUTH, "ready")
    supervisor.shut_down(stack)
    await processes.read()
    assert {each.state for each in processes.states().values()} == {"down"}
    assert "make up" in processes.states()[AUTH].reason
