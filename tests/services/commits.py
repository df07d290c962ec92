"""Rules whose COMMIT fails: which rules publish, found in their code, and how a test lets the commit of one fail."""

import ast
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import pytest
from prometheus_client import REGISTRY
from sqlalchemy.exc import DBAPIError

from libs.contracts import EVENTS
from libs.contracts.permissions import TENANT_PERMISSIONS
from libs.contracts.tenant import TenantCreated
from libs.service_kit.auth import Principal
from libs.service_kit.preconditions import Expected
from libs.service_kit.transactions import Sessions, transaction

ROOT = Path(__file__).parents[2]
ANY = Expected("*")
Act = Callable[[], Awaitable[object]]
# 53400 is trouble that passes, which the API answers with 503.
DOOM = """create or replace function doom() returns trigger language plpgsql
as $$ begin raise exception 'doomed' using errcode = '53400'; end $$"""


def sites(service: str) -> list[str]:
    """Where the service's code publishes what: `accounts.service.open_account AccountOpened`."""
    found: list[str] = []
    for path in sorted((ROOT / "services" / service).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "services" / service).with_suffix("").parts)
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                found += [f"{module}.{function.name} {event}" for event in _published(function)]
    return found


def _published(function: ast.AST) -> list[str]:
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    return [ast.unparse(call.args[1]).partition("(")[0] for call in calls if ast.unparse(call.func) == "publish"]


def actor_of(tenant_id: UUID, user_id: UUID) -> Principal:
    """A user of this tenant who may do everything."""
    return Principal(user_id, tenant_id, frozenset(TENANT_PERMISSIONS), client_id=None, token="")


async def answered(request: Awaitable[httpx.Response]) -> None:
    """Raise `httpx.HTTPStatusError` unless the answer is a success."""
    answer = await request
    if not answer.is_success:
        raise httpx.HTTPStatusError(answer.text, request=answer.request, response=answer)


@dataclass
class World:
    """What a case works with."""

    sessions: Sessions
    actor: Principal
    superuser: asyncpg.Connection
    lines: pytest.LogCaptureFixture

    async def hear_of_tenant(self, consumer: Callable[..., Awaitable[None]], code: str = "a") -> None:
        """Let a service hear that the actor's tenant has been created."""
        tenant_id = self.actor.tenant_id
        async with transaction(self.sessions, tenant_id) as session:
            await consumer(session, TenantCreated(tenant_id=tenant_id, code=code, name="A"))

    async def hold(self, site: str, act: Act) -> None:
        """Act with a COMMIT that fails, and find nothing of it; act again, and find one line for each event."""
        event = next(each for each in EVENTS.values() if each.__name__ == site.split()[1])
        message = " ".join(event.type.split(".")[:2]).replace("_", " ")
        rows, counted = await self._rows(event.type), _counted()
        await self.superuser.execute(DOOM)
        await self.superuser.execute(
            "create constraint trigger doom after insert on outbox deferrable initially deferred for each row"
            f" when (new.envelope->>'type' = '{event.type}') execute function doom()"
        )
        self.lines.clear()
        try:
            with pytest.raises((DBAPIError, httpx.HTTPStatusError)) as failure:
                await act()
        finally:
            await self.superuser.execute("drop trigger doom on outbox")
        if isinstance(failure.value, httpx.HTTPStatusError):
            assert failure.value.response.status_code == 503
        else:
            assert "doomed" in str(failure.value)
        assert self._said() == []
        assert await self._rows(event.type) == rows
        assert _counted() == counted
        await act()
        assert message in self._said()
        assert len(await self._rows(event.type)) > len(rows)

    def _said(self) -> list[str]:
        ours = ("services.", "libs.service_kit.events.report")
        return [r.getMessage() for r in self.lines.records if r.name.startswith(ours) and r.levelno != logging.ERROR]

    async def _rows(self, event_type: str) -> list[asyncpg.Record]:
        return await self.superuser.fetch("select event_id from outbox where envelope->>'type' = $1", event_type)


def _counted() -> dict[tuple[str, str], float]:
    """What the services count of the business; their gauges follow the time too."""
    ours = ("budget_", "personnel_", "tenant", "auth_", "audit_")
    return {
        (sample.name, str(sample.labels)): sample.value
        for family in REGISTRY.collect()
        if family.name.startswith(ours) and family.type != "gauge"
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
