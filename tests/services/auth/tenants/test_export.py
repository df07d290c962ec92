"""What auth exports of a tenant is its row of the directory and who may do what, and no secret."""

import json
from uuid import UUID


async def test_the_export_has_the_tenant_its_users_and_their_roles_and_no_secret(
    client, make_user, log_in, tenant, superuser
):
    user = await make_user()
    tokens = (await log_in()).json()
    text, cursor = "", ""
    while cursor is not None:
        answer = await client.get(f"/api/v1/tenants/{tenant}/export", params={"cursor": cursor} if cursor else {})
        assert answer.status_code == 200, answer.text
        text, cursor = text + answer.text, answer.headers.get("next-cursor")
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line["table"] for line in lines} == {"tenants", "roles", "users", "user_roles", "sessions"}
    assert [line["row"]["id"] for line in lines if line["table"] == "tenants"] == [str(tenant)]
    users = {line["row"]["id"]: line["row"]["email"] for line in lines if line["table"] == "users"}
    assert users[user["id"]] == "ada@example.com"
    known = await superuser.fetchval("select password_hash from users where id = $1", UUID(user["id"]))
    hashes = await superuser.fetch("select token_hash from refresh_tokens where tenant_id = $1", tenant)
    assert [secret for secret in (known, hashes[0][0], tokens["refresh_token"]) if secret in text] == []


async def test_who_was_switched_off_exports_nothing_with_a_token_of_before(client, tenant, user_id, superuser):
    await client.get("/api/v1/users")  # adds the row
    await superuser.execute("update users set is_active = false where id = $1", user_id)
    refused = await client.get(f"/api/v1/tenants/{tenant}/export")
    assert (refused.status_code, refused.json()["missing"]) == (403, ["tenant:export"])
