"""Which parts of the stack run: what supervisord knows of their processes, and whether they answer."""

from dataclasses import dataclass
from typing import Literal

from stack.settings import Settings


@dataclass(frozen=True, slots=True)
class State:
    """One process of the stack."""

    name: str
    """As supervisord calls it: `auth-service`, `probe`, `postgres`."""
    state: Literal["ready", "starting", "down", "stopped"]
    """`starting` runs and does not answer that it is ready; `stopped` was stopped by somebody."""
    since: float
    """When it came into this state, in seconds since 1970."""
    pid: int | None
    reason: str
    """Why it is not ready; empty if it is."""


class Processes:
    """The states as of the last look, which is one second ago at most."""

    def __init__(self, settings: Settings) -> None:
        raise NotImplementedError

    def states(self) -> dict[str, State]:
        """By name: the services, the probe unless it is switched off, then PostgreSQL."""
        raise NotImplementedError

    async def restart(self, service: str) -> None:
        """Do what `make restart SERVICE=…` does; `StackError` says why it did not succeed."""
        raise NotImplementedError
