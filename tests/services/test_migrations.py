"""The models and the migrations of every service say the same, and readiness knows the newest revision."""

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from stack import postgres

from libs.service_kit import migrations
from tests.fixtures.database import SERVICES


@pytest.mark.parametrize("service", SERVICES)
async def test_a_migrated_database_is_what_the_models_describe(postgres_server, service):
    owner = postgres.url(postgres_server, database=service, user=f"{service}_owner", driver="postgresql+asyncpg")
    await migrations.run(service, owner, command.check)


@pytest.mark.parametrize("service", SERVICES)
def test_the_newest_file_is_the_one_head(service):
    config = Config()
    config.set_main_option("script_location", str(migrations.SERVICES / service / "migrations"))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.newest(service)]
