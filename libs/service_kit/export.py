"""Everything that a service holds of one tenant, page by page as JSON Lines, for the tenant or before it is closed.

A page is rows of one table, so an export costs bounded memory and holds no connection between pages. It is complete
when an answer names no further page; the service then publishes that it has given its part.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from sqlalchemy import MetaData, Table
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts import PLATFORM_TENANT_ID
from libs.contracts.provisioning import TenantExported
from libs.observability.redaction import is_secret
from libs.service_kit import power, standing
from libs.service_kit.auth import Caller, Principal
from libs.service_kit.database import execute
from libs.service_kit.errors import Forbidden, Unavailable, problems
from libs.service_kit.events.outbox import publish
from libs.service_kit.pages import BadCursor
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import Sessions, get_sessions, transaction

ROWS = 1000
"""The most rows of a page."""
JSON_LINES = "application/jsonl"


class ExportForbidden(Forbidden):  # noqa: D101
    detail = "A tenant is exported by its own administrators, or by the platform's."


def export_router(service: str, metadata: MetaData) -> NounRouter:
    """The route that exports the rows of all tables which belong to tenants, without the columns that are secrets."""
    router = NounRouter(prefix="/api/v1/tenants", tags=["tenants"])
    tables = {table.name: table for table in metadata.sorted_tables if _owner(table) and _keys(table)}

    @router.get(
        "/{tenant_id}/export",
        response_class=Response,
        responses=problems(ExportForbidden, BadCursor, Unavailable)
        | {200: {"description": "One page", "content": {JSON_LINES: {"schema": {"type": "string"}}}}},
    )
    async def export_tenant(
        tenant_id: UUID,
        request: Request,
        caller: Caller,
        sessions: Annotated[Sessions, Depends(get_sessions)],
        cursor: Annotated[str | None, Query(max_length=200, description="`Next-Cursor` of the page before")] = None,
    ) -> Response:
        """One page of the tenant's rows: lines of `{"table": …, "row": …}`, and in `Next-Cursor` where the next begins."""
        await power.confirm(request, caller, _needed(caller, tenant_id))
        async with transaction(sessions, tenant_id, caller.id) as session:
            number = await standing.stopped_by(session, tenant_id)
            begun, table, after = _read(tables, cursor, number)
            lines, following = await _page(session, tenant_id, list(tables.values()), table, after)
            if following is None:
                # What was read before a suspension may have changed since, so it does not count for a closing.
                final = number if begun == number else 0
                publish(session, TenantExported(tenant_id=tenant_id, service=service, number=final))
        headers = {"next-cursor": f"{begun}:{following}"} if following else {}
        return Response("".join(f"{line}\n" for line in lines), headers=headers, media_type=JSON_LINES)

    return router


def _needed(caller: Principal, tenant_id: UUID) -> str:
    """The permission by which the caller exports the tenant. Raises `ExportForbidden` if their token has none."""
    for owner, permission in ((tenant_id, "tenant:export"), (PLATFORM_TENANT_ID, "tenants:write")):
        if caller.tenant_id == owner and permission in caller.permissions:
            return permission
    raise ExportForbidden()


def _owner(table: Table) -> str:
    """The column that says whose a row is: in a directory of tenants its own key; empty if rows belong to no tenant."""
    return "tenant_id" if "tenant_id" in table.columns else "id" if table.name == "tenants" else ""


def _keys(table: Table) -> list[str]:
    """The columns that tell the rows of a tenant apart, by which they are ordered; none if one of them is a secret."""
    keys = [column.name for column in table.primary_key if column.name != "tenant_id"]
    return [] if any(map(is_secret, keys)) else keys


def _read(tables: dict[str, Table], cursor: str | None, number: int) -> tuple[int, Table, list[UUID]]:
    """The suspension that held when the export began, the table of the page, and the key of the row before it.

    A cursor is not signed: whoever makes one up skips or repeats rows of a tenant that they may export as a whole. Only
    the platform can have a suspended tenant count as exported that way, and it may close one without an export as well.
    """
    if cursor is None:
        return number, next(iter(tables.values())), []
    try:
        first, name, *after = cursor.split(":")
        begun, table, key = int(first), tables[name], [UUID(each) for each in after]
        is_of_table = len(key) in (0, len(_keys(table)))
        if begun < 0 or not is_of_table or ":".join(map(str, (begun, name, *key))) != cursor:
            raise ValueError("not as an export writes it")
        return begun, table, key
    except (ValueError, KeyError):
        raise BadCursor() from None


async def _page(
    session: AsyncSession, tenant_id: UUID, tables: list[Table], table: Table, after: list[UUID]
) -> tuple[list[str], str | None]:
    """The lines of a page, and where the next one begins, if there is one."""
    keys = ", ".join(_keys(table))
    shown = ", ".join(f'"{column.name}"' for column in table.columns if not is_secret(column.name))
    beyond = f"and ({keys}) > ({', '.join(f'${n}' for n in range(2, 2 + len(after)))})" if after else ""
    # Names of the service's own tables and columns; every value is a parameter.
    statement = f"""select {keys}, json_build_object('table', '{table.name}', 'row', row_to_json(given))::text as line
        from (select {shown} from {table.name} where {_owner(table)} = $1 {beyond} order by {keys} limit {ROWS})
        as given order by {keys}"""  # noqa: S608
    rows = await execute(session, statement, tenant_id, *after)
    lines = [row["line"] for row in rows]
    if len(rows) == ROWS:
        return lines, ":".join([table.name, *(str(rows[-1][key]) for key in _keys(table))])
    following = tables[tables.index(table) + 1 :]
    return lines, following[0].name if following else None
