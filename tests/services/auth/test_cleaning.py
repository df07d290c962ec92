"""Tokens and sessions that have expired are removed, of every tenant, and those that are valid are kept."""

import asyncio
from uuid import UUID

from services.auth.cleaning import clean
from tests.fixtures.waiting import eventually_async


async def test_what_has_expired_is_removed_and_what_is_valid_is_kept(
    client, make_user, sessions, superuser, monkeypatch
):
    monkeypatch.setattr("libs.service_kit.cleaning.PAGES", 1)
    users = [await make_user(f"user-{number}@example.com") for number in range(3)]
    for user in users:
        await client.post("/api/v1/passwords/resets", json={"user_id": user["id"]})
        await superuser.execute(
            "insert into sessions (tenant_id, user_id, expires_at) select tenant_id, user_id, expires_at"
            " from password_resets where user_id = $1",
            UUID(user["id"]),
        )
        await superuser.execute(
            "insert into refresh_tokens (tenant_id, token_hash, session_id, expires_at)"
            " select tenant_id, id::text, id, expires_at from sessions where user_id = $1",
            UUID(user["id"]),
        )
    ids = [UUID(user["id"]) for user in users]
    for table in ("password_resets", "sessions"):
        old = f"update {table} set expires_at = now() - interval '1 second' where user_id = any($1)"
        await superuser.execute(old, ids[:2])
    task = asyncio.create_task(clean(sessions))

    async def is_clean() -> bool:
        assert not task.done()
        left = "select user_id from {} where user_id = any($1)"
        return [
            [row["user_id"] for row in await superuser.fetch(left.format(table), ids)]
            for table in ("password_resets", "sessions", "sessions join refresh_tokens on session_id = sessions.id")
        ] == [ids[2:]] * 3

    await eventually_async(is_clean, 20, "expired rows are left, or valid ones are gone")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
