"""Break a part and bring it back, in Docker mode and in local mode; whatever happens meanwhile, it is brought back."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from typing import NamedTuple

import psutil
from stack import postgres
from stack.docker import engine
from stack.errors import StackError
from stack.local import supervisor, verbs
from stack.services import SERVICES, service_named
from stack.settings import Settings

from tests.chaos.parts import NONE, TAKE_AWAY
from tests.chaos.watching import wait

BACK_WITHIN_SECONDS = 15.0
"""In this time Docker or supervisord must have started again what was killed."""
FREEZE_TRIES = 5
"""The kernel may not freeze many busy threads at once, and Docker gives up after two seconds."""
FROZEN_WITHIN_SECONDS = 4.0
"""The engine may still be freezing after its client was interrupted."""
LOG_FOLDERS = [each.name for each in SERVICES]
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Fault(NamedTuple):
    """What breaks a part, and what brings it back; `undo` is harmless where nothing is broken. A `do` may fail halfway."""

    do: Callable[[Settings, str], object]
    undo: Callable[[Settings, str], object]


@contextlib.contextmanager
def broken(settings: Settings, faults: Mapping[str, Fault], part: str, fault: str) -> Generator[None]:
    """Break a part; bring it back afterwards, which no signal interrupts, nor the commands that do it."""
    chosen = faults[fault]
    try:
        chosen.do(settings, part)
        yield
    finally:
        before = {each: signal.signal(each, signal.SIG_IGN) for each in ENDS}
        try:
            chosen.undo(settings, part)
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def _must_come_back(part: str, is_back: Callable[[], bool], start: Callable[[], object]) -> None:
    """Wait until what was killed runs again; if nobody starts it in time, do so and raise `StackError`."""
    if wait(BACK_WITHIN_SECONDS, is_back) is None:
        start()
        raise StackError(f"{part} has not come back by itself within {BACK_WITHIN_SECONDS:.0f} s after its death")


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"docker {' '.join(arguments[:3])}: {done.stderr.strip()}")
    return done.stdout.strip()


def _container(part: str) -> str:
    return engine.answer("ps", "--all", "--quiet", part).split()[0]


def _state(part: str, what: str) -> str:
    return _docker("inspect", "--format", f"{{{{.State.{what}}}}}", _container(part))


def _helper(*arguments: str) -> None:
    """Run a shell command as root in a container of its own, with what these arguments share with it."""
    image = engine.model()["postgres"]["image"]
    *shared, command = arguments
    _docker("run", "--rm", "--network=none", "--user=0", *shared, "--entrypoint=sh", image, "-c", command)


def _kill_container(settings: Settings, part: str) -> None:
    # From outside: after `docker kill` the container would not be started again, as after a crash it is.
    _helper("--pid=host", f"kill -9 {_state(part, 'Pid')}")


def _container_is_back(settings: Settings, part: str) -> None:
    _must_come_back(part, lambda: _state(part, "Status") == "running", lambda: _docker("start", _container(part)))


def _pause_container(settings: Settings, part: str) -> None:
    for left in reversed(range(FREEZE_TRIES)):
        try:
            _docker("pause", _container(part))
            return
        except StackError:
            if not left:
                raise


def _unpause_container(settings: Settings, part: str) -> None:
    deadline = time.monotonic() + FROZEN_WITHIN_SECONDS
    while True:
        is_last = time.monotonic() > deadline
        try:
            if _state(part, "Paused") == "true":
                _docker("unpause", _container(part))
                return
        except StackError:
            if is_last:
                raise
        if is_last:
            return
        time.sleep(0.1)


def _stop_container(settings: Settings, part: str) -> None:
    _docker("stop", _container(part))


def _start_container(settings: Settings, part: str) -> None:
    _stop_container(settings, part)  # the engine goes on with a stop whose client was interrupted: wait for it
    _docker("start", _container(part))


def _networks(part: str) -> list[str]:
    return _docker(
        "inspect", "--format", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}", _container(part)
    ).split()


def _cut_off(settings: Settings, part: str) -> None:
    for each in _networks(part):
        _docker("network", "disconnect", each, _container(part))


def _connect(settings: Settings, part: str) -> None:
    network = engine.project()["networks"]["default"]["name"]
    if network not in _networks(part):
        _docker("network", "connect", "--alias", part, network, _container(part))


def _take_logs_away(settings: Settings, part: str) -> None:
    moved = " && ".join(f"mv {each} {each}.away && touch {each}" for each in LOG_FOLDERS)
    _helper(f"--volumes-from={_container(LOG_FOLDERS[0])}", f"cd /var/log/app && {moved}")


def _give_logs_back(settings: Settings, part: str) -> None:
    moved = "; ".join(f"if [ -d {each}.away ]; then rm -f {each}; mv {each}.away {each}; fi" for each in LOG_FOLDERS)
    _helper(f"--volumes-from={_container(LOG_FOLDERS[0])}", f"cd /var/log/app && {moved}")


NOTHING = Fault(lambda *_: None, lambda *_: None)
DOCKER = {
    NONE: NOTHING,
    "kill": Fault(_kill_container, _container_is_back),
    "stop": Fault(_stop_container, _start_container),
    "pause": Fault(_pause_container, _unpause_container),
    "cut-off": Fault(_cut_off, _connect),
    TAKE_AWAY: Fault(_take_logs_away, _give_logs_back),
}


def _kill_process(settings: Settings, part: str) -> None:
    os.kill(supervisor.states(settings)[part]["pid"], signal.SIGKILL)


def _process_is_back(settings: Settings, part: str) -> None:
    def is_back() -> bool:
        return supervisor.states(settings)[part]["statename"] in ("STARTING", "RUNNING")

    _must_come_back(part, is_back, lambda: _start_process(settings, part))


def _stop_process(settings: Settings, part: str) -> None:
    if part == "postgres":
        password = settings.values["POSTGRES_PASSWORD"]
        postgres.stop(postgres.at(settings.state / "postgres", port=settings.port("POSTGRES_PORT"), password=password))
    else:
        supervisor.stop_services(settings, [service_named(part, verbs.programs(settings))])


def _start_process(settings: Settings, part: str) -> None:
    if part == "postgres":
        supervisor.start_postgres(settings)
    else:
        supervisor.start_service(settings, service_named(part, verbs.programs(settings)))


def _signal_all(settings: Settings, part: str, told: signal.Signals) -> None:
    first = psutil.Process(supervisor.states(settings)[part]["pid"])
    first.send_signal(told)  # before its children are listed: from now on it starts no other
    for each in first.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            each.send_signal(told)


def _take_folders_away(settings: Settings, part: str) -> None:
    for each in LOG_FOLDERS:
        folder = settings.state / "logs" / each
        folder.rename(folder.with_suffix(".away"))
        folder.touch()


def _give_folders_back(settings: Settings, part: str) -> None:
    for each in LOG_FOLDERS:
        folder = settings.state / "logs" / each
        if (away := folder.with_suffix(".away")).exists():
            folder.unlink(missing_ok=True)
            away.rename(folder)


LOCAL = {
    NONE: NOTHING,
    "kill": Fault(_kill_process, _process_is_back),
    "stop": Fault(_stop_process, _start_process),
    "pause": Fault(
        lambda settings, part: _signal_all(settings, part, signal.SIGSTOP),
        lambda settings, part: _signal_all(settings, part, signal.SIGCONT),
    ),
    TAKE_AWAY: Fault(_take_folders_away, _give_folders_back),
}


MEANS: Mapping[str, Mapping[str, Fault]] = {"docker": DOCKER, "local": LOCAL}


def running(settings: Settings, mode: str) -> set[str]:
    """What runs, by the names of the compose file."""
    if mode == "docker":
        return engine.running()
    known = supervisor.states(settings) if supervisor.is_running(settings) else {}
    return {name for name, each in known.items() if each["statename"] in ("STARTING", "RUNNING")}
