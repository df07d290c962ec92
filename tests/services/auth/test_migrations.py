"""What was there before a migration goes on as it was."""

from uuid import uuid4

import asyncpg
from alembic import command
from pydantic import SecretStr
from sqlalchemy import text
from stack import databases, postgres

from libs.service_kit import migrations
from libs.service_kit.database import create_engine
from libs.service_kit.settings import DatabaseSettings
from libs.service_kit.transactions import create_sessions, transaction
from services.auth.keys import service as keys
from tests.fixtures.database import PASSWORD


async def test_a_key_of_before_goes_on_signing_and_is_published(postgres_server):
    await databases.create(postgres.url(postgres_server), ["auth_before"], password=PASSWORD)
    url = postgres.url(postgres_server, database="auth_before", user="auth_before_owner", driver="postgresql+asyncpg")
    await migrations.run("auth", url, lambda config: command.upgrade(config, "0004"))
    engine, old = create_engine(DatabaseSettings(url=SecretStr(url))), keys.new_key()
    async with engine.begin() as connection:
        row = {"kid": old.kid, "pem": old.private_key}
        await connection.execute(text("insert into signing_keys (kid, private_key) values (:kid, :pem)"), row)
    await migrations.run("auth", url, lambda config: command.upgrade(config, "head"))
    sessions = create_sessions(engine)
    async with transaction(sessions) as session:
        assert (await keys.signing_key(session)).kid == old.kid
    assert [key["kid"] for key in (await keys.public_keys(sessions))["keys"]] == [old.kid]
    await engine.dispose()


async def test_the_nearest_maker_of_a_user_of_before_is_known_and_the_password_counts_as_the_makers(postgres_server):
    await databases.create(postgres.url(postgres_server), ["users_before"], password=PASSWORD)
    owner = postgres.url(
        postgres_server, database="users_before", user="users_before_owner", driver="postgresql+asyncpg"
    )
    await migrations.run("auth", owner, lambda config: command.upgrade(config, "0012"))
    superuser, maker = await asyncpg.connect(postgres.url(postgres_server, database="users_before")), uuid4()
    add = """insert into users
    (tenant_id, email, name, password_hash, is_active, has_bootstrap_password, set_up_by, version)
    values (uuidv7(), $1, 'Ada', '', true, false, $2, 1)"""
    await superuser.executemany(add, [("a@example.com", None), ("b@example.com", maker)])
    await migrations.run("auth", owner, lambda config: command.upgrade(config, "head"))
    rows = await superuser.fetch("select makers, has_own_password from users order by email")
    await superuser.close()
    assert [tuple(row) for row in rows] == [([], False), ([maker], False)]
