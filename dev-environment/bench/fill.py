"""Creates the table and the row that the endpoint with a database reads: `python -m bench.fill`."""

import asyncio
import os

from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from bench.apps import Base, Product


async def main() -> None:
    """Create the table and the row."""
    engine = create_async_engine(os.environ["DATABASE__URL"])
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session, session.begin():
        session.add(Product(id=1, name="thing", price=100))
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
