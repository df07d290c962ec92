"""What somebody may do is what their row says, and the other services can ask for it with their token."""

OWN = "/api/v1/users/me/permissions"


async def test_the_own_permissions_are_those_of_the_row_and_not_of_the_token(make_client, user_id, tenant, superuser):
    user = make_client("users:read", "roles:read", user_id=user_id)
    assert (await user.get(OWN)).json() == {"permissions": ["roles:read", "users:read"]}
    await superuser.execute("update roles set permissions = array['roles:read'] where name = $1", f"actor {user_id}")
    assert (await user.get(OWN)).json() == {"permissions": ["roles:read"]}
    await superuser.execute("update users set is_active = false where id = $1", user_id)
    answer = await user.get(OWN)
    assert (answer.status_code, answer.json()) == (200, {"permissions": []})


async def test_they_are_shown_to_nobody_without_a_token(anonymous):
    assert (await anonymous.get(OWN)).status_code == 401
