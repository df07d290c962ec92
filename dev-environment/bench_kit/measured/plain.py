"""The same endpoint without the kit: FastAPI, pydantic and SQLAlchemy as their own manuals show them.

Callers are not authenticated, the request names the tenant, no policy protects the table, a repeated request creates a
second note, and no event is published.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Numeric, UniqueConstraint, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from libs.observability import instrument
from libs.observability.sql import instrument_engine


class Base(DeclarativeBase):
    """The table of the endpoint without the kit."""


class Note(Base):
    """The same columns as in `notes.Note`."""

    __tablename__ = "plain_notes"
    __table_args__ = (UniqueConstraint("tenant_id", "code"),)
    __mapper_args__ = {"eager_defaults": True}
    tenant_id: Mapped[UUID]
    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("uuidv7()"))
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    updated_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    version: Mapped[int] = mapped_column(default=1)
    code: Mapped[str]
    text: Mapped[str]
    amount: Mapped[Decimal] = mapped_column(Numeric(14, 2))


class NoteCreate(BaseModel):
    """A new note."""

    tenant_id: UUID
    code: str
    text: str
    amount: Decimal = Decimal(0)


class NoteOut(BaseModel):
    """A note."""

    model_config = ConfigDict(from_attributes=True)
    id: UUID
    code: str
    text: str
    amount: Decimal
    version: int


async def open_session(request: Request) -> AsyncGenerator[AsyncSession]:
    """A transaction that is committed before the response is sent, as with the kit."""
    async with request.state.sessions.begin() as session:
        yield session


def create_app(pool_size: int) -> FastAPI:
    """Build the application with the telemetry and the pool of a service."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        engine = create_async_engine(os.environ["DATABASE__URL"], pool_size=pool_size, max_overflow=0)
        instrument_engine(engine)
        yield {"sessions": async_sessionmaker(engine, expire_on_commit=False)}
        await engine.dispose()

    app = FastAPI(lifespan=lifespan, telemetry={"tracing": False, "metrics": False, "logs": False})

    @app.post("/api/v1/notes", status_code=201)
    async def create_note(
        wanted: NoteCreate, session: Annotated[AsyncSession, Depends(open_session, scope="function")]
    ) -> NoteOut:
        note = Note(**wanted.model_dump())
        session.add(note)
        await session.flush()
        return NoteOut.model_validate(note)

    @app.get("/health/ready")
    async def ready() -> None:
        """Responds as soon as the server listens."""

    instrument(app)
    return app
