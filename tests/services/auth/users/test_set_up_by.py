"""A token says who created its user or reset their password, so that nobody counts as a second person by that account."""

from uuid import uuid4

import httpx
import jwt


def set_up_by(tokens: httpx.Response) -> str:
    return jwt.decode(tokens.json()["access_token"], options={"verify_signature": False})["set_up_by"]


async def test_the_token_of_a_user_names_who_created_it(make_user, log_in, user_id):
    await make_user()
    assert set_up_by(await log_in()) == str(user_id)


async def test_the_token_of_a_user_whose_password_was_reset_names_who_did(make_user, make_client, anonymous, log_in):
    user, second = await make_user(), uuid4()
    reset = await make_client(user_id=second).post("/api/v1/passwords/resets", json={"user_id": user["id"]})
    wanted = {"token": reset.json()["token"], "new_password": "seven purple otters"}
    assert (await anonymous.post("/api/v1/passwords/resets/use", json=wanted)).status_code == 204
    assert set_up_by(await log_in(password="seven purple otters")) == str(second)
