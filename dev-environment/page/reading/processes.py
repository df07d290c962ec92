"""Which parts of the stack run: what supervisord knows of them, and whether services and watchers say they are ready."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.client import HTTPException
from typing import Any, Literal
from xmlrpc.client import Error

from stack.errors import StackError
from stack.local import readiness, supervisor, watchers
from stack.report import tail
from stack.services import SERVICES, Program
from stack.settings import ROOT, Settings

Word = Literal["ready", "starting", "down", "stopped"]
STOPPED = ("STOPPED", "STOPPING")
RUNNING = ("STARTING", "RUNNING")
ASKED = {each.name for each in (*SERVICES, *watchers.WATCHERS)}
# What hangs is red within two seconds, if nothing else hangs: store.STATE_SECONDS until the next look, this until it counts as silent, and
# overview.DRAW_SECONDS until that is drawn make 0.25 + 1.4 + 0.1. Most of it is left to one that is slow: on a machine with
# six times the work it can do, the slowest answer of 700 took 1.2 s.
ANSWER_SECONDS = 1.4
# A process that began less long ago is starting if it has not been ready yet; after that, something is wrong.
SECONDS_TO_BE_READY = 60.0


@dataclass(frozen=True, slots=True)
class State:
    """One process of the stack."""

    name: str
    """As supervisord calls it: `auth-service`, `probe`, `postgres`."""
    state: Word
    """`starting` runs and has not been ready yet; `stopped` was stopped by somebody; anything else is `down`."""
    since: float
    """When it came into this state, in seconds since 1970."""
    pid: int | None
    """None if there is no process; one that was stopped has its process until that ends."""
    reason: str
    """Why it is not ready; empty if it is."""


class Processes:
    """The states as of the last look."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        watching = watchers.started(settings)
        self._asked: list[Program] = [*SERVICES, *watching]
        self._names = [*(each.name for each in settings.programs), "postgres", *(each.name for each in watching)]
        self._states: dict[str, State] = {}
        self._restarting: set[str] = set()
        self._proven: set[str] = set()
        """Who has been ready since somebody started it."""

    def states(self) -> dict[str, State]:
        """By name: the services, the probe unless it is switched off, PostgreSQL, the watchers. Empty before the first look."""
        return self._states

    async def read(self) -> None:
        """Look at all of them."""
        self._states = await asyncio.to_thread(self._look)

    def is_restarting(self, service: str) -> bool:
        """Whether somebody restarts it from this page."""
        return service in self._restarting

    async def restart(self, service: str) -> None:
        """Do what `make restart SERVICE=…` does, unless it is being done; `StackError` says why it did not succeed."""
        if self.is_restarting(service):
            return
        self._restarting.add(service)
        try:
            command = [sys.executable, "-m", "stack", "restart", service]
            process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE, stderr=STDOUT)
            output, _ = await process.communicate()
        finally:
            self._restarting.discard(service)
        if process.returncode:
            raise StackError(tail(output.decode(errors="replace").splitlines()))

    def _look(self) -> dict[str, State]:
        now = time.time()
        try:
            known = supervisor.states(self._settings)
        except (OSError, HTTPException, Error) as error:
            self._proven.clear()
            reason = f"supervisord does not answer ({type(error).__name__}): `make up` starts the stack"
            return {name: self._since(State(name, "down", now, None, reason)) for name in self._names}
        running = [each for each in self._asked if known.get(each.name, {}).get("statename") in RUNNING]
        waiting = readiness.not_ready(self._settings, running, ANSWER_SECONDS) if running else {}
        reasons = {each.name: reason for each, reason in waiting.items()}
        return {
            name: self._since(self._state(name, known.get(name), reasons.get(name, ""), now)) for name in self._names
        }

    def _state(self, name: str, known: Mapping[str, Any] | None, reason: str, now: float) -> State:
        if known is None:
            return State(name, "stopped", now, None, "it was not part of the stack when that was started")
        statename, pid, started = known["statename"], known["pid"] or None, known["start"]
        if statename in STOPPED:
            self._proven.discard(name)
            return State(name, "stopped", now, pid, "it was stopped")
        if statename not in RUNNING:
            return State(name, "down", now, pid, known["spawnerr"] or known["description"] or statename)
        if name not in ASKED and statename != "RUNNING":
            reason = "it has just been started"
        if not reason:
            self._proven.add(name)
            return State(name, "ready", now if name in self._states else started, pid, "")
        is_starting = name not in self._proven and now - started < SECONDS_TO_BE_READY
        return State(name, "starting" if is_starting or name in self._restarting else "down", now, pid, reason)

    def _since(self, state: State) -> State:
        """The state with the time of an earlier look at which it was the same already; another process is ready anew."""
        earlier = self._states.get(state.name)
        if earlier and earlier.state == state.state and (state.state != "ready" or earlier.pid == state.pid):
            return replace(state, since=earlier.since)
        return state
