"""A token says who created its user, so that nobody counts as a second person by an account that they made."""

import jwt


async def test_the_token_of_a_user_names_who_created_it(make_user, log_in, user_id):
    await make_user()
    claims = jwt.decode((await log_in()).json()["access_token"], options={"verify_signature": False})
    assert claims["set_up_by"] == str(user_id)
